# SPDX-License-Identifier: Apache-2.0
"""The Compliance page: the lowest section first, what it means, and the steps that close its gaps."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from checkvalve.server.db.database import Database
from checkvalve.server.scorecard import actions
from checkvalve.server.scorecard.shipped import shipped
from tests.server.web import gear, scored
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = pytest.mark.slow


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


def viewer(plant: Plant, org: str = "north") -> User:
    return plant.users[org, "viewer"]


def close(plant: Plant, scope: str, **said: str) -> None:
    there = scored.opened(plant, scope)
    for question in shipped().questions:
        scored.say(plant, there.id, "operator", said.get(question.id, "4"), question.id)
    person = scored.by(plant)
    plant.db.write_now("close", actions.close, scored.act(plant, person), there.id, person, {}, 0)


def test_before_anything_was_answered_the_page_says_how_to_begin(plant: Plant) -> None:
    page = ask(plant, viewer(plant), "/compliance").text
    assert "Nobody has said yet how ready this place is." in page
    assert "Whoever manages the scorecard here can begin one." in page
    assert 'action="/compliance/begin"' in ask(plant, plant.users["north", "compliance-officer"], "/compliance").text
    scored.opened(plant, gear.site(plant, plant.organisations["north"], "Visby"))
    assert "0 of 25 questions are answered" in ask(plant, viewer(plant), "/compliance").text


def test_the_lowest_section_stands_first_and_its_steps_lead_somewhere(plant: Plant) -> None:
    org = plant.organisations["north"]
    low = dict.fromkeys(("RE1", "RE2", "RE3", "RE4"), "1") | {"RE5": "not_sure"}
    close(plant, org, **low)
    said = data(plant, viewer(plant), "/compliance")
    assert said["sentence"] == "Regulatory exposure is At Risk with 4 of 20."
    assert "in all 84 of 100, Strong" in said["detail"]
    assert [one["id"] for one in said["low"]] == ["RE"]
    page = ask(plant, viewer(plant), "/compliance").text
    for told in (
        shipped().guide.sections["RE"].low,
        'href="/audit"',
        "1 Not Sure",
        "own reading",
    ):
        assert told in page, told
    assert "Internal audit first." not in page
    scored.planned(plant, org)
    assert "Ask the insurer" in ask(plant, viewer(plant), "/compliance").text


def test_five_not_sure_raise_the_banner_whatever_the_score(plant: Plant) -> None:
    close(plant, plant.organisations["north"], **dict.fromkeys(("PM1", "AA1", "AI1", "RE1", "OR1"), "not_sure"))
    page = ask(plant, viewer(plant), "/compliance").text
    assert "Internal audit first." in page
    assert "in all 80 of 100, Strong" in page


def test_another_organisation_sees_nothing_of_it(plant: Plant) -> None:
    close(plant, plant.organisations["north"], PM1="0")
    said = data(plant, viewer(plant, "south"), "/compliance")
    assert (said["past"], said["sections"], said["gaps"]) == ([], [], [])
