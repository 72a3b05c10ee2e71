# SPDX-License-Identifier: Apache-2.0
"""The page of values: what is set where, what was, and setting it; a secret's text is in no answer."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve.protocol.declared import Secret, Variable
from checkvalve.protocol.exchange import State
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import Device
from checkvalve.server.values.model import DEVICE
from tests.parts import stock
from tests.server.web import gear
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = pytest.mark.slow

SECRET = "planted-2718281828"


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def north(plant: Plant) -> str:
    return plant.organisations["north"]


@pytest.fixture
def pump(plant: Plant, north: str) -> Device:
    """Return a device that runs a release which leaves an address, a zone and a password open."""
    site = gear.site(plant, north, "Visby")
    device = gear.device(plant, site, "pump-07")
    gear.heard(plant, device, state=State.COMMITTED, active=gear.RELEASE)
    stock.release(
        plant.db,
        plant.new_id(),
        f"pump-station@{gear.RELEASE}",
        plant.time,
        version="2.4.0",
        scope=north,
        v=2,
        variables=(Variable(name="ADDRESS", kind="address"), Variable(name="ZONE", default="west")),
        secrets=(Secret(name="password"),),
    )
    return device


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def put(
    plant: Plant, place: str, name: str, content: str = "", user: User | None = None, **more: str
) -> httpx.Response:
    form = {"place": place, "kind": "variable", "name": name, "content": content, "line": "", "note": "", **more}
    return ask(plant, user or operator(plant), "/values", form)


def shown(plant: Plant, query: str = "", user: User | None = None) -> dict[str, Any]:
    return data(plant, user or operator(plant), f"/values{query}")


def test_an_empty_page_says_what_values_are_for(plant: Plant) -> None:
    page = ask(plant, operator(plant), "/values").text
    assert "No value" in page or "0 values" in page
    assert "checkvalve config set" in page


def test_what_is_set_is_listed_with_its_place_who_and_why(plant: Plant, north: str) -> None:
    assert put(plant, north, "ADDRESS", "10.20.0.5", note="MoC 4711", line="pump-station").status_code == 303
    item = shown(plant)["items"][0]
    assert (item["name"], item["value"], item["line"], item["note"]) == (
        "ADDRESS",
        "10.20.0.5",
        "pump-station",
        "MoC 4711",
    )
    put(plant, north, "ADDRESS", "10.20.0.6", line="pump-station")
    after = shown(plant)
    assert [one["value"] for one in after["items"]] == ["10.20.0.6"]
    assert [one["words"] for one in after["history"]] == ["set to 10.20.0.6", "set to 10.20.0.5"]


def test_a_secret_is_set_and_is_in_no_page_nor_its_data(plant: Plant, north: str) -> None:
    assert put(plant, north, "password", kind="secret", secret=SECRET).status_code == 303
    assert shown(plant)["items"][0]["sealed"]
    refused = put(plant, north, "Not A Name", SECRET, kind="secret", secret=SECRET)
    assert refused.status_code == 422
    pages = [refused.text, ask(plant, operator(plant), "/values").text, str(shown(plant))]
    assert not any(SECRET in page for page in pages)


def test_a_value_is_taken_away_again(plant: Plant, north: str) -> None:
    put(plant, north, "ADDRESS", "10.20.0.5")
    form = {"place": north, "kind": "variable", "name": "ADDRESS", "line": ""}
    assert ask(plant, operator(plant), "/values/unset", form).status_code == 303
    after = shown(plant)
    assert after["items"] == []
    assert after["history"][0]["words"] == "taken away"


def test_the_form_begins_with_what_is_to_be_changed(plant: Plant, north: str) -> None:
    put(plant, north, "gateway.conf", "a = 1\nb = 2\n", kind="file")
    item = shown(plant)["items"][0]
    assert (item["lines"], item["whole"]) == ("2 lines", "a = 1\nb = 2\n")
    form = shown(plant, f"?change={item['id']}")["set"]
    assert (form["place"], form["kind"], form["name"], form["content"]) == (
        north,
        "file",
        "gateway.conf",
        "a = 1\nb = 2\n",
    )


def test_a_refused_value_keeps_what_was_typed(plant: Plant, pump: Device, north: str) -> None:
    refused = put(plant, north, "ADDRESS", "ten dot one", line="pump-station")
    assert refused.status_code == 422
    assert "IP address" in refused.text
    assert "ten dot one" in refused.text
    assert pump.name
    assert shown(plant)["items"] == []


def test_who_may_only_read_sees_no_form_and_another_organisation_sees_nothing(plant: Plant, north: str) -> None:
    put(plant, north, "ADDRESS", "10.20.0.5")
    viewer = plant.users["north", "viewer"]
    seen = shown(plant, user=viewer)
    assert (len(seen["items"]), seen["set"], seen["items"][0]["change_href"]) == (1, None, "")
    assert put(plant, north, "ADDRESS", "10.9.9.9", user=viewer).status_code == 403
    south = plant.users["south", "operator"]
    assert shown(plant, user=south)["items"] == []
    assert put(plant, north, "ADDRESS", "10.9.9.9", user=south).status_code in {403, 404}


def test_a_device_says_what_fills_its_release_from_where_and_what_is_missing(
    plant: Plant, pump: Device, north: str
) -> None:
    put(plant, north, "ADDRESS", "10.20.0.5")
    put(plant, DEVICE + pump.id, "ADDRESS", "10.20.0.7")
    section = data(plant, operator(plant), f"/devices/{pump.id}")["values"]
    rows = {one["name"]: one for one in section["items"]}
    assert rows["ADDRESS"]["value"] == "10.20.0.7"
    assert rows["ADDRESS"]["origin"].endswith("Visby / pump-07")
    assert rows["ZONE"]["origin"] == "the release itself"
    assert (rows["password"]["missing"], rows["password"]["shape"]) == (True, "bad")
    page = ask(plant, operator(plant), f"/devices/{pump.id}").text
    assert "10.20.0.7" in page
    form = shown(plant, f"?device={pump.id}")["set"]
    assert form["place"] == DEVICE + pump.id
