# SPDX-License-Identifier: Apache-2.0
"""Assessing on pages: one question a screen, what others said, settling, closing, and comparing."""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from checkvalve.server.db.database import Database
from checkvalve.server.scorecard.shipped import shipped
from tests.server.web import gear, scored
from tests.server.web.pages.test_pages import HTML, ask, data
from tests.server.web.plant import ORIGIN, Plant, User, door

pytestmark = pytest.mark.slow


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


def officer(plant: Plant, org: str = "north") -> User:
    return plant.users[org, "compliance-officer"]


def onward(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_twenty_five_answers_lead_from_question_to_question_and_at_the_end_to_the_review(
    plant: Plant, site: str
) -> None:
    user = officer(plant)
    at = onward(ask(plant, user, "/compliance/begin", {"place": site, "title": ""}))
    here, asked = at, []
    for _ in shipped().questions:
        said = data(plant, user, here)
        asked.append(said["question"])
        form = {"question": said["question"], "then": said["then"], "said": "2", "comment": "As in\r\nMay."}
        here = onward(ask(plant, user, at, form))
    assert asked == [question.id for question in shipped().questions]
    assert here == f"{at}/review"
    review = data(plant, user, here)
    assert review["sentence"].endswith("It can be closed.")
    assert review["rows"][0]["words"][0]["comment"] == "As in May."
    assert onward(ask(plant, user, f"{at}/close", {})) == "/compliance"
    closed = data(plant, user, here)
    assert "All sections are Developing with 10 of 20 each." in closed["sentence"]
    late = ask(plant, user, at, {"question": "PM1", "then": "", "said": "4"})
    assert late.status_code == 409
    assert "nothing is added to it any more" in late.text


def test_one_goes_on_where_one_stopped_and_can_take_an_answer_back(plant: Plant, site: str) -> None:
    user, at = officer(plant), f"/compliance/assess/{scored.opened(plant, site).id}"
    for question in ("PM1", "PM3"):
        ask(plant, user, at, {"question": question, "then": "", "said": "3"})
    assert data(plant, user, at)["question"] == "PM2"
    assert data(plant, user, f"{at}?q=pm2")["then"] == "PM4"
    back = onward(ask(plant, user, at, {"question": "PM1", "said": ""}))
    assert parse_qs(urlsplit(back).query) == {"q": ["PM1"]}
    assert data(plant, user, at)["question"] == "PM1"


def test_what_others_said_is_shown_only_to_whoever_has_answered(plant: Plant, site: str) -> None:
    user, there = officer(plant), scored.opened(plant, site).id
    scored.say(plant, there, "operator", "4")
    assert data(plant, user, f"/compliance/assess/{there}?q=PM1")["others"] == []
    ask(plant, user, f"/compliance/assess/{there}", {"question": "PM1", "then": "", "said": "1"})
    (other,) = data(plant, user, f"/compliance/assess/{there}?q=PM1")["others"]
    assert other["text"].endswith(": 4")


def test_people_who_differ_are_settled_on_the_review(plant: Plant, site: str) -> None:
    user, there = officer(plant), scored.opened(plant, site).id
    scored.say(plant, there, "operator", "4")
    scored.say(plant, there, "viewer", "1")
    base = f"/compliance/assess/{there}"
    (row,) = data(plant, user, f"{base}/review")["differ"]
    assert (row["id"], len(row["words"])) == ("PM1", 2)
    refused = ask(plant, user, f"{base}/settle", {"question": "PM1", "said": "not_applicable", "comment": "Kept <b>"})
    assert refused.status_code == 422
    assert "Kept &lt;b&gt;" in refused.text
    onward(ask(plant, user, f"{base}/settle", {"question": "PM1", "said": "2", "comment": "As measured."}))
    (row,) = data(plant, user, f"{base}/review")["rows"]
    assert (row["said"], row["decided_why"]) == ("2", "As measured.")


def test_what_does_not_apply_needs_a_reason_and_giving_up_too(plant: Plant, site: str) -> None:
    user, base = officer(plant), f"/compliance/assess/{scored.opened(plant, site).id}"
    refused = ask(plant, user, base, {"question": "AI1", "then": "", "said": "not_applicable", "reason": " "})
    assert (refused.status_code, "What does not apply has a reason" in refused.text) == (422, True)
    onward(ask(plant, user, base, {"question": "AI1", "then": "", "said": "not_applicable", "reason": "No radio."}))
    assert ask(plant, user, f"{base}/drop", {"why": ""}).status_code == 422
    onward(ask(plant, user, f"{base}/drop", {"why": "The wrong site."}))
    assert "The wrong site." in data(plant, user, f"{base}/review")["detail"]


def test_a_file_is_added_on_the_page_and_one_that_is_too_large_is_not(plant: Plant, site: str) -> None:
    user, base = officer(plant), f"/compliance/assess/{scored.opened(plant, site).id}"

    def add(content: bytes, **said: str) -> httpx.Response:
        headers = {**HTML, **user.headers}
        form = {"csrf": headers.pop("x-csrf-token", ""), "question": "AI1", **said}

        async def go() -> httpx.Response:
            async with plant.client(**headers) as client:
                files = {"file": ("<script>.pdf", content, "application/pdf")}
                return await client.post(f"{base}/evidence", data=form, files=files, headers={"origin": ORIGIN})

        return asyncio.run(go())

    assert onward(add(b"%PDF", owner="Rut")).endswith("?q=AI1#evidence")
    (one,) = data(plant, user, f"{base}?q=AI1")["evidence"]
    assert (one["name"], one["owner"], one["state"]) == ("_script_.pdf", "Rut", "kept here")
    back = ask(plant, user, one["href"])
    assert (back.content, back.headers["content-disposition"][:10]) == (b"%PDF", "attachment")
    assert add(b"%PDF", digest="sha256:" + "0" * 64).status_code == 422
    assert add(b"%PDF", expires="soon").status_code == 422
    assert add(bytes(34 << 20)).status_code == 413
    onward(ask(plant, user, f"/compliance/evidence/{one['id']}/remove", {"why": "Of another site."}))
    (one,) = data(plant, user, f"{base}?q=AI1")["evidence"]
    assert (one["state"], one["note"]) == ("removed", "Of another site.")


def test_after_a_refused_form_another_place_can_still_be_chosen(plant: Plant, site: str) -> None:
    user, base = officer(plant), f"/compliance/assess/{scored.opened(plant, site).id}"
    refused = ask(plant, user, f"{base}/settle", {"question": "PM1", "said": "2"})
    assert refused.status_code == 409
    (href,) = {unescape(found) for found in re.findall(r'class="depth-2" href="([^"]+)"', refused.text)}
    assert (urlsplit(href).path, ask(plant, user, href).status_code) == ("/compliance", 200)


def test_unknown_questions_and_foreign_assessments_are_not_there(plant: Plant, site: str) -> None:
    at = f"/compliance/assess/{scored.opened(plant, site).id}"
    assert ask(plant, officer(plant), f"{at}?q=ZZ9").status_code == 404
    for path in (at, f"{at}/review"):
        assert ask(plant, officer(plant, "south"), path).status_code == 404
    assert ask(plant, officer(plant, "south"), f"{at}/close", {}).status_code == 404
    viewer = ask(plant, plant.users["north", "viewer"], at)
    assert "You may read this assessment and not answer it." in viewer.text


def test_two_assessments_stand_beside_each_other(plant: Plant, site: str) -> None:
    user = officer(plant)
    assert data(plant, user, "/compliance/compare")["compared"] is False
    first = scored.closed(plant, site, "2").id
    second = scored.closed(plant, site, "3").id
    said = data(plant, user, "/compliance/compare")
    assert (said["before"], said["after"], {one["word"] for one in said["sections"]}) == (
        first,
        second,
        {"better by 5"},
    )
    around = data(plant, user, f"/compliance/compare?before={second}&after={first}")
    assert {one["word"] for one in around["sections"]} == {"worse by 5"}
    assert "better by 5" in ask(plant, user, "/compliance/compare").text
    assert ask(plant, user, f"/compliance/compare?after={'0' * 26}").status_code == 404
