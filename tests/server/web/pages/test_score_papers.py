# SPDX-License-Identifier: Apache-2.0
"""The plan, the guide, the trend, and what is handed over."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from checkvalve.server.db.database import Database
from checkvalve.server.scorecard.shipped import shipped
from tests.server.web import gear, scored
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def org(plant: Plant) -> str:
    return plant.organisations["north"]


def officer(plant: Plant, org: str = "north") -> User:
    return plant.users[org, "compliance-officer"]


def test_a_step_is_planned_from_the_scorecard_and_changed_on_the_plan(plant: Plant, org: str) -> None:
    scored.closed(plant, org, "1")
    user = officer(plant)
    step = data(plant, user, "/compliance")["low"][0]["steps"][0]
    form = {"place": org, "step": step["id"], "back": "PM"}
    assert ask(plant, user, "/compliance/plan", form).headers["location"] == "/compliance#low-PM"
    assert ask(plant, user, "/compliance/plan", form).status_code == 303
    (row,) = data(plant, user, "/compliance/plan")["items"]
    assert (row["step"], row["state"], data(plant, user, "/compliance/plan")["sentence"]) == (
        "pm-1",
        "open",
        "1 step is open.",
    )
    at = f"/compliance/plan/{row['id']}"
    yesterday = (plant.time - timedelta(days=1)).date().isoformat()
    ask(plant, user, at, {"owner": "Rut", "due": yesterday, "state": "doing", "note": ""})
    late = data(plant, user, "/compliance/plan")
    assert late["sentence"] == "1 step is overdue, 1 are open."
    refused = ask(plant, user, at, {"owner": HOSTILE, "due": "", "state": "dropped", "note": ""})
    assert (refused.status_code, "Whoever drops a step says why" in refused.text) == (422, True)
    assert (HOSTILE in refused.text, "&lt;script&gt;" in refused.text) == (False, True)
    ask(plant, user, at, {"owner": "Rut", "due": "", "state": "dropped", "note": "Sold."})
    assert data(plant, user, "/compliance/plan?state=going")["items"] == []
    ask(plant, user, at, {"owner": "Rut", "due": "", "state": "open", "note": "Sold."})
    (again,) = data(plant, user, "/compliance/plan?state=open")["items"]
    assert (again["state"], again["due"]) == ("open", "-")
    assert ask(plant, officer(plant, "south"), at, {"state": "done"}).status_code == 404


def test_ones_own_steps_are_found_sorted_and_exported_without_formulas(plant: Plant, org: str) -> None:
    user = officer(plant)
    for text, owner in (('=HYPERLINK("http://x")', "Zoe"), ("Ask the insurer", "+Abe")):
        form = {"place": org, "step": "", "section": "RE", "text": text, "owner": owner, "due": ""}
        assert ask(plant, user, "/compliance/plan", form).status_code == 303
    owners = [one["owner"] for one in data(plant, user, "/compliance/plan?sort=owner")["items"]]
    assert owners == ["+Abe", "Zoe"]
    assert len(data(plant, user, "/compliance/plan?text=INSURER&section=RE")["items"]) == 1
    assert data(plant, user, "/compliance/plan?section=PM")["items"] == []
    for form in (
        {"section": "RE", "text": ""},
        {"section": "ZZ", "text": "x"},
        {"section": "RE", "text": "x", "due": "soon"},
    ):
        assert ask(plant, user, "/compliance/plan", {"place": org, "step": "", "owner": "", **form}).status_code == 422
    got = ask(plant, user, "/api/v1/gaps/export")
    assert got.headers["content-disposition"] == 'attachment; filename="plan.csv"'
    rows = list(csv.reader(io.StringIO(got.content.decode("utf-8-sig"))))
    assert {row[3] for row in rows[1:]} == {'\'=HYPERLINK("http://x")', "Ask the insurer"}
    assert {row[4] for row in rows[1:]} == {"Zoe", "'+Abe"}


def test_the_guide_reads_without_any_assessment(plant: Plant) -> None:
    page = ask(plant, officer(plant), "/compliance/guide").text
    for section in shipped().sections:
        assert f'id="{section.id}"' in page
        assert shipped().guide.sections[section.id].steps[0].text.replace("'", "&#39;") in page


def test_the_trend_keeps_the_lowest_section_and_places_without_a_result_are_named(plant: Plant, org: str) -> None:
    user = officer(plant)
    gear.site(plant, org, "Visby")
    scored.closed(plant, org, "1")
    assert data(plant, user, "/compliance")["trend"] is None
    scored.closed(plant, org, "3")
    said = data(plant, user, "/compliance")
    assert said["trend"]["says"].startswith("north: 25 on ")
    assert len(said["trend"]["points"]) == 2
    assert said["trend"]["points"][0]["low_y"] > said["trend"]["points"][1]["low_y"]
    assert [(one["where"], one["band"]) for one in said["sites"]] == [
        ("north", "Developing"),
        ("north / Visby", "not assessed yet"),
    ]


def test_what_is_handed_over_is_one_file_that_fetches_nothing(plant: Plant, org: str) -> None:
    there = scored.opened(plant, org)
    early = ask(plant, officer(plant), f"/compliance/print?assessment={there.id}")
    assert (early.status_code, "still open" in early.text) == (409, True)
    base = f"/compliance/assess/{there.id}"
    for question in shipped().questions:
        form = {"question": question.id, "then": "", "said": "1", "comment": HOSTILE}
        ask(plant, officer(plant), base, form)
    scored.backed(plant, there.id)
    ask(plant, officer(plant), f"{base}/close", {})
    printed = ask(plant, officer(plant), f"/compliance/print?assessment={there.id}")
    file = ask(plant, officer(plant), f"/compliance/export?assessment={there.id}")
    assert file.headers["content-disposition"] == f'attachment; filename="readiness-{there.id}.html"'
    assert file.headers["content-type"] == "application/octet-stream"
    for text in (printed.text, file.text):
        assert HOSTILE not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        for told in ("All sections are At Risk with 5 of 20 each.", "own reading", *shipped().digests.values()):
            assert told in text, told
    assert "default-src &#39;none&#39;" in file.text
    assert not re.search(r"<(script|link|img|iframe|object|a)\b|@import|url\(|\bon\w+=", file.text.replace("\n", " "))
    assert ask(plant, officer(plant, "south"), f"/compliance/export?assessment={there.id}").status_code == 404
    assert data(plant, officer(plant), "/compliance/print")["id"] == there.id


def test_nothing_to_print_says_how_to_come_to_something(plant: Plant) -> None:
    none = ask(plant, officer(plant), "/compliance/print")
    assert (none.status_code, "Begin and close an assessment" in none.text) == (404, True)
