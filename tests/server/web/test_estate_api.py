# SPDX-License-Identifier: Apache-2.0
"""The declared estate over the API: stretches, dates, files, and what is refused before it is read."""

import asyncio
from typing import Any

import httpx
import pytest

from checkvalve.server.audit.model import Kind
from checkvalve.server.estate.csvs import LARGEST
from tests.server.web import gear
from tests.server.web.plant import Plant, User

HEADING = "site,kind,class,number,note"


def ask(plant: Plant, user: User, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
    answer = send(plant, user, "GET", path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(plant: Plant, user: User, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
    async def request() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.request(method, f"/api/v1/estate{path}", **more)

    return asyncio.run(request())


def bring(plant: Plant, user: User, text: str, kind: str = "text/csv", **query: str) -> httpx.Response:
    return send(plant, user, "POST", "/import", content=text.encode(), headers={"content-type": kind}, params=query)


def test_classes_come_in_stretches_and_as_they_were_at_a_date(plant: Plant) -> None:
    user = plant.users["north", "compliance-officer"]
    site = gear.site(plant, plant.organisations["north"], "Visby")
    file = "\n".join([HEADING, *(f"{site},device,class {number},{number},note" for number in range(1, 8))])
    tried = bring(plant, user, file, dry_run="true")
    assert (tried.json()["dry_run"], tried.json()["added"]) == (True, 7)
    assert ask(plant, user, "/")["items"] == []
    assert bring(plant, user, file).json()["added"] == 7
    then = plant.time.isoformat()
    plant.later(minutes=1)
    body = {"scope": site, "kind": "device", "class": "CLASS 1", "number": 0}
    assert send(plant, user, "POST", "", json=body).json()["ended"] == 1
    seen, after = [], ""
    while True:
        page = ask(plant, user, "/", limit="3", after=after)
        seen += [one["class"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"class {number}" for number in range(2, 8)]
    assert (page["totals"]["devices"], page["places"][0]["where"]) == (27, page["items"][0]["where"])
    assert ask(plant, user, "/", at=then)["totals"]["devices"] == 28
    assert ask(plant, user, "/", at="2020-01-01T00:00:00Z")["items"] == []
    history = ask(plant, user, "/history", **{"class": "Class 1", "place": site, "kind": "device"})
    assert [one["number"] for one in history["items"]] == [0, 1]
    assert ask(plant, plant.users["south", "viewer"], "/history")["items"] == []


@pytest.mark.parametrize("at", ["2026-11-03T12:00:00", "0001-01-01T00:00:00+14:00", "yesterday"])
def test_a_date_without_its_zone_or_out_of_time_is_refused(plant: Plant, at: str) -> None:
    assert send(plant, plant.users["north", "viewer"], "GET", "", params={"at": at}).status_code == 400


def test_a_file_is_of_the_places_that_one_may_declare_at_and_no_other(plant: Plant) -> None:
    user = plant.users["north", "operator"]
    north, south = (gear.site(plant, plant.organisations[org], "Visby") for org in ("north", "south"))
    refused = bring(plant, user, f"{HEADING}\n{north},device,PLC,1,\n{south},device,PLC,1,\n")
    assert (refused.status_code, refused.json()["code"]) == (422, "estate.file")
    assert "line 3" in refused.json()["remedy"]
    assert plant.entries(1)[0].kind is Kind.REFUSED
    other = gear.site(plant, plant.organisations["north"], "Malmö")
    both = f"{HEADING}\n{north},device,PLC,1,\n{other},device,PLC,1,\n"
    assert bring(plant, user, both, scope=other).json()["code"] == "estate.file"
    assert bring(plant, user, both).json()["added"] == 2
    entry = plant.entries(1)[0]
    assert (entry.scope, entry.facts["added"]) == (plant.organisations["north"], 2)
    assert bring(plant, user, f"{HEADING}\n").json()["unchanged"] == 0


def test_what_no_file_is_and_what_a_form_can_send_is_refused(plant: Plant) -> None:
    user = plant.users["north", "operator"]
    assert bring(plant, user, f"{HEADING}\n", kind="text/plain").status_code == 415
    assert bring(plant, user, f"{HEADING}\n", kind="application/x-www-form-urlencoded").status_code == 415
    assert bring(plant, user, "x" * (LARGEST + 1)).json()["code"] == "estate.file_size"
    assert bring(plant, user, "x" * (3 * LARGEST)).status_code == 413
    root = {"scope": "/", "kind": "device", "class": "PLC", "number": 1}
    assert send(plant, user, "POST", "", json=root).status_code == 403
    everywhere = plant.user("/", "both", "operator")
    assert send(plant, everywhere, "POST", "", json=root).json()["code"] == "estate.place"
