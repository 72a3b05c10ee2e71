# SPDX-License-Identifier: Apache-2.0
"""Tags on pages: what hangs and for whom, what waits behind it, and the forms that hang and lift."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from checkvalve.protocol.exchange import State, Tag
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device
from tests.server.web import gear
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = pytest.mark.slow

REASON = "The pump is open."


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def site(plant: Plant) -> str:
    return gear.site(plant, plant.organisations["north"], "Visby")


@pytest.fixture
def pump(plant: Plant, site: str) -> Device:
    device = gear.device(plant, site, "pump-07")
    gear.heard(plant, device, state=State.COMMITTED, active=gear.RELEASE)
    return device


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def viewer(plant: Plant) -> User:
    return plant.users["north", "viewer"]


def local(plant: Plant) -> Tag:
    at = int(plant.time.timestamp() * 1000)
    return Tag(id=plant.new_id(), name="Ola\u202e Ek", reason="I am inside.", at=at, by="device")


def test_a_tag_is_hung_on_the_page_of_a_device_and_lifted_there(plant: Plant, pump: Device) -> None:
    form = {"reason": REASON, "number": "PTW-118", "name": "Gun Berg"}
    assert ask(plant, operator(plant), f"/devices/{pump.id}/hold", form).status_code == 303
    (tag,) = data(plant, operator(plant), f"/devices/{pump.id}")["held"]["items"]
    assert [tag[name] for name in ("name", "reason", "number", "by")] == ["Gun Berg", REASON, "PTW-118", "plane"]
    page = ask(plant, operator(plant), f"/devices/{pump.id}").text
    assert "A lock-out tag hangs: nothing is switched here." in page
    assert "permit PTW-118" in page
    lifted = ask(plant, operator(plant), f"/devices/{pump.id}/lift", {"hold": tag["id"]})
    assert (lifted.status_code, lifted.headers["location"]) == (303, f"/devices/{pump.id}")
    assert data(plant, operator(plant), f"/devices/{pump.id}")["held"]["n"] == 0


def test_the_tag_of_somebody_else_asks_why_it_is_lifted_and_keeps_what_was_typed(plant: Plant, pump: Device) -> None:
    tag = gear.hold(plant, pump.scope)
    other = plant.user(plant.organisations["north"], role="operator")
    refused = ask(plant, other, f"/devices/{pump.id}/lift", {"hold": tag.id, "reason": " "})
    assert refused.status_code == 422
    assert "This tag was hung by somebody else: Gun Berg." in refused.text
    assert ask(plant, other, f"/devices/{pump.id}/lift", {"hold": tag.id, "reason": "Seen by two."}).status_code == 303
    history = data(plant, other, "/holds")["history"]
    assert [(one["id"], one["lifted_why"]) for one in history] == [(tag.id, "Seen by two.")]


def test_a_tag_of_the_device_is_shown_and_offers_nothing(plant: Plant, pump: Device) -> None:
    gear.heard(plant, pump, state=State.HELD, active=gear.RELEASE, held=(local(plant),))
    shown = data(plant, operator(plant), f"/devices/{pump.id}")
    (tag,) = shown["held"]["items"]
    assert (tag["by"], tag["lift"]) == ("device", None)
    assert "only somebody there can lift it" in tag["where"]
    assert "\u202e" not in tag["name"]
    assert "is held by a tag" in shown["sentence"]
    assert [one["name"] for one in data(plant, operator(plant), "/holds")["locked"]] == ["pump-07"]


def test_a_device_that_does_not_know_of_its_tag_yet_is_said_to_switch_still(plant: Plant, pump: Device) -> None:
    tag = gear.hold(plant, pump.scope)
    assert data(plant, operator(plant), f"/devices/{pump.id}")["held"]["items"][0]["note"]
    at = int(plant.time.timestamp() * 1000)
    knows = Tag(id=tag.id, name="Gun", reason=REASON, at=at, by="plane")
    plant.db.write_now("capability", lambda tx: fleet_writes.visited(tx, pump.id, {"capability": 3}))
    assert "may still switch" in data(plant, operator(plant), f"/devices/{pump.id}")["held"]["items"][0]["note"]
    gear.heard(plant, pump, state=State.COMMITTED, active=gear.RELEASE, held=(knows,))
    assert data(plant, operator(plant), f"/devices/{pump.id}")["held"]["items"][0]["note"] == ""


def test_a_tag_is_hung_at_a_place_and_holds_what_stands_below_it(plant: Plant, site: str, pump: Device) -> None:
    area = plant.scope(site, ScopeKind.AREA, "Pump hall")
    below = gear.device(plant, area, "pump-08")
    form = {"place": site, "reason": REASON, "number": "", "name": "Gun Berg"}
    assert ask(plant, operator(plant), "/holds", form).headers["location"] == "/holds"
    (row,) = data(plant, viewer(plant), "/holds")["items"]
    assert (row["held"], row["lift"]["enabled"], row["note"]) == (2, False, "2 of them do not know yet")
    for one in (pump, below):
        assert data(plant, viewer(plant), f"/devices/{one.id}")["held"]["n"] == 1
    fleet = data(plant, viewer(plant), f"/fleet?scope={area}")
    assert fleet["tags"]["n"] == 1
    assert [one["held"] for one in fleet["devices"]] == ["held by a tag"]
    assert "held by a tag" in ask(plant, viewer(plant), "/fleet").text


def test_a_form_that_is_refused_keeps_what_was_typed(plant: Plant, site: str, pump: Device) -> None:
    refused = ask(plant, operator(plant), "/holds", {"place": site, "reason": "", "name": "Gun", "number": "PTW-9"})
    assert refused.status_code == 422
    assert 'value="PTW-9"' in refused.text
    on = ask(plant, operator(plant), f"/devices/{pump.id}/hold", {"reason": "", "name": "Gun", "number": "PTW-9"})
    assert on.status_code == 422
    assert 'value="PTW-9"' in on.text


def test_who_may_only_look_hangs_and_lifts_nothing(plant: Plant, site: str, pump: Device) -> None:
    tag = gear.hold(plant, site)
    for path, form in (
        ("/holds", {"place": site, "reason": REASON}),
        (f"/holds/{tag.id}/lift", {"reason": "x"}),
        (f"/devices/{pump.id}/hold", {"reason": REASON}),
        (f"/devices/{pump.id}/lift", {"hold": tag.id, "reason": "x"}),
    ):
        assert ask(plant, viewer(plant), path, form).status_code == 403
    assert plant.entries()[0].kind is Kind.REFUSED
    south = plant.users["south", "operator"]
    assert ask(plant, south, f"/holds/{tag.id}/lift", {"reason": "x"}).status_code == 404
    assert data(plant, south, "/holds")["items"] == []


def test_fleet_finds_those_that_are_held_and_those_that_wait_for_a_permit(plant: Plant, site: str) -> None:
    held, waits = gear.device(plant, site, "held-1"), gear.device(plant, site, "waits-1")
    gear.heard(plant, held, state=State.HELD, held=(local(plant),))
    gear.heard(plant, waits, state=State.WAITING_PERMIT, reason="The permit says no.")
    for query, name in (("held=yes", "held-1"), ("step=waiting_permit", "waits-1")):
        found = data(plant, operator(plant), f"/fleet?{query}")
        assert [one["name"] for one in found["devices"]] == [name]
        assert sum(chip["current"] for chip in found["chips"]) == 1
    assert len(data(plant, operator(plant), "/fleet?step=nonsense&held=")["devices"]) == 2


def test_today_says_what_is_held_by_whom_and_what_waits(plant: Plant, site: str, pump: Device) -> None:
    gear.hold(plant, site)
    gear.heard(plant, pump, state=State.HELD, held=(local(plant),))
    for number in range(10):
        waits = gear.device(plant, site, f"waits-{number}")
        gear.heard(plant, waits, state=State.WAITING_PERMIT, reason="The permit says no.")
    shown = data(plant, operator(plant), "/today")
    labels = [one["label"] for one in shown["held"]]
    assert labels[0].startswith("Held: ")
    assert labels[1] == "Held at the device: pump-07"
    assert [label for label in labels if label.startswith("Waits for its permit")] == labels[2:]
    assert len(labels) == 10
    assert [more["words"] for more in shown["held_more"]] == ["All 10 that wait for a permit"]
    assert (shown["held"][0]["who"], REASON in shown["held"][0]["what"]) == ("Gun Berg", True)
    assert "Held and waiting" in ask(plant, operator(plant), "/today").text


def test_the_record_tells_of_tags_by_their_reason(plant: Plant, site: str) -> None:
    gear.hold(plant, site)
    told = data(plant, plant.users["north", "auditor"], "/audit?action=hold.")["items"]
    assert [(one["verb"], one["object"]) for one in told] == [("hung a tag:", REASON)]
