# SPDX-License-Identifier: Apache-2.0
"""The declared estate on its page: a sentence first, a form, a file that is seen before it counts, and the way back."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from tests.server.web import gear
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import ORIGIN, Plant, User, door

pytestmark = pytest.mark.slow

HEADING = "site,kind,class,number,note"


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


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def viewer(plant: Plant) -> User:
    return plant.users["north", "viewer"]


def declare(plant: Plant, site: str, number: str = "640", **more: str) -> httpx.Response:
    form = {"place": site, "kind": "device", "class": "PLC", "number": number, "note": ""} | more
    return ask(plant, operator(plant), "/estate", form)


def upload(plant: Plant, user: User, text: bytes, **more: str) -> httpx.Response:
    """Send a file as a browser does."""
    headers = {"accept": "text/html", **user.headers}
    token = headers.pop("x-csrf-token")

    async def request() -> httpx.Response:
        async with plant.client(**headers) as client:
            files = {"file": ("estate.csv", text, "text/csv")}
            return await client.post(
                "/estate/import", data={"csrf": token, **more}, files=files, headers={"origin": ORIGIN}
            )

    return asyncio.run(request())


def test_an_empty_estate_says_what_will_stand_here_and_how(plant: Plant) -> None:
    gear.site(plant, plant.organisations["north"], "Visby")
    page = ask(plant, operator(plant), "/estate").text
    assert "Nothing is declared yet; no device is managed." in page
    assert "Declare the first class below" in page
    assert "Visby" in page
    assert "estate.declare" in ask(plant, viewer(plant), "/estate").text
    assert data(plant, viewer(plant), "/estate")["places"] == []


def test_what_is_declared_stands_against_what_is_managed(plant: Plant, site: str) -> None:
    gear.device(plant, site, "pump-07")
    assert declare(plant, site).status_code == 303
    assert declare(plant, site, "1210", kind="legacy", **{"class": "RTU"}).status_code == 303
    declare(plant, plant.organisations["north"], "0")
    said = data(plant, viewer(plant), "/estate")
    assert said["sentence"] == "You declared 640 devices and 1,210 legacy assets at 1 site; 1 device is managed."
    (place,) = said["places"]
    assert (place["scope"], place["word"], place["bar"]["managed"]) == (site, "1 of 640", 1)
    assert [(one["class"], one["number"]) for one in said["items"]] == [("PLC", 640), ("RTU", 1_210)]
    page = ask(plant, viewer(plant), "/estate").text
    assert said["sentence"] in page
    assert "Declare a class" not in page
    assert data(plant, plant.users["south", "operator"], "/estate")["places"] == []


def test_sites_are_found_by_name_and_class_and_put_in_order(plant: Plant, site: str) -> None:
    other = gear.site(plant, plant.organisations["north"], "Malmö")
    declare(plant, site)
    declare(plant, other, "900", **{"class": "Press gateway"})

    def shown(query: str) -> list[str]:
        return [one["scope"] for one in data(plant, operator(plant), f"/estate?{query}")["places"]]

    assert shown("") == [other, site]
    assert shown("text=VISB") == [site]
    assert shown("text=press") == [other]
    assert shown("text=nothing") == []
    assert "Nothing declared has this" in ask(plant, operator(plant), "/estate?text=nothing").text
    assert shown("sort=declared") == [other, site]
    declare(plant, site, "9000")
    assert shown("sort=open") == [site, other]


def test_a_form_that_was_refused_keeps_what_was_typed(plant: Plant, site: str) -> None:
    for number, code in (("1 210", 422), ("-1", 422), ("9999999", 422)):
        refused = declare(plant, site, number, note="counted")
        assert refused.status_code == code
        assert 'value="counted"' in refused.text
    assert declare(plant, plant.organisations["south"]).status_code == 404
    assert declare(plant, "nowhere").status_code == 404
    assert ask(plant, viewer(plant), "/estate", {"place": site, "kind": "device"}).status_code == 422
    form = {"place": site, "kind": "device", "class": "PLC", "number": "1"}
    assert ask(plant, viewer(plant), "/estate", form).status_code == 403
    assert data(plant, operator(plant), "/estate")["items"] == []


def test_a_file_is_seen_before_it_counts(plant: Plant, site: str) -> None:
    declare(plant, site, "600")
    text = f"{HEADING}\r\n{site},device,plc,640,<b>counted</b>\r\n{site},legacy,'=RTU,7,\r\n".encode()
    seen = upload(plant, operator(plant), text)
    assert seen.status_code == 200
    assert "It would add 1, change 1 and end 0; 0 would stay the same." in seen.text
    assert "&lt;b&gt;counted" in seen.text
    assert [one["number"] for one in data(plant, operator(plant), "/estate")["items"]] == [600]
    done = upload(plant, operator(plant), b"", csv=text.decode(), sure="yes")
    assert done.status_code == 303
    assert [one["number"] for one in data(plant, operator(plant), "/estate")["items"]] == [640, 7]
    again = upload(plant, operator(plant), text)
    assert "nothing would change" in again.text
    export = ask(plant, operator(plant), "/api/v1/estate/export")
    assert export.headers["content-disposition"] == 'attachment; filename="estate.csv"'
    assert "nothing would change" in upload(plant, operator(plant), export.content).text


def test_a_file_with_wrong_lines_is_shown_again_with_every_reason(plant: Plant, site: str) -> None:
    text = f"{HEADING}\n{site},device,PLC,640,\nAtlantis,device,PLC,1,\n{site},device,=cmd,1,\n"
    refused = upload(plant, operator(plant), b"", csv=text, sure="yes")
    assert refused.status_code == 422
    assert "2 of its 3 lines are wrong" in refused.text
    assert "<li>line 3: " in refused.text
    assert "<li>line 4: " in refused.text
    assert "Atlantis,device,PLC,1," in refused.text
    assert data(plant, operator(plant), "/estate")["items"] == []
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action) == (Kind.REFUSED, "estate.declare")
    assert upload(plant, viewer(plant), text.encode()).status_code == 403
    for bad in (b"", b"\xff\xfe", b"a\0b", f'{HEADING}\n"'.encode(), b"x" * (1 << 20) + b"x"):
        assert upload(plant, operator(plant), bad).status_code == 422


def test_the_former_number_is_declared_again_with_one_press(plant: Plant, site: str) -> None:
    declare(plant, site, "600", note="drawings")
    plant.later(minutes=1)
    declare(plant, site, "6")
    plant.later(minutes=1)
    address = data(plant, operator(plant), "/estate")["items"][0]["history_href"]
    said = data(plant, operator(plant), address)
    assert [(one["number"], one["word"], one["again"]) for one in said["items"]] == [
        (6, "counts now", ""),
        (600, "former", "Declare 600 again"),
    ]
    assert "Declare 600 again" in ask(plant, operator(plant), address).text
    assert "again</button>" not in ask(plant, viewer(plant), address).text
    former = said["items"][1]
    form = {"back": "history", "place": site, "kind": "device", "class": former["class_raw"], "number": "600"}
    done = ask(plant, operator(plant), "/estate", form | {"note": former["note_raw"]})
    assert (done.status_code, done.headers["location"]) == (303, address.replace("plc", "PLC"))
    assert [one["number"] for one in data(plant, operator(plant), address)["items"]] == [600, 6, 600]
    gone = data(plant, plant.users["south", "operator"], address)
    assert (gone["items"], gone["sentence"]) == ([], "Nothing was ever declared under this name here.")
    assert ask(plant, operator(plant), "/estate/history?place=%00").status_code in {200, 422}
