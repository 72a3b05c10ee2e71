# SPDX-License-Identifier: Apache-2.0
"""Assessments and gap plans over HTTP: several people, one result, and a plan that follows from it."""

import asyncio
from typing import Any

import httpx
import pytest

from checkvalve.server.scorecard.shipped import shipped
from tests.server.web import gear, scored
from tests.server.web.plant import Plant, User


@pytest.fixture
def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


@pytest.fixture
def officer(plant: Plant) -> User:
    return plant.users["north", "compliance-officer"]


@pytest.fixture
def visby(plant: Plant) -> str:
    return gear.site(plant, plant.organisations["north"], "Visby")


def _send(plant: Plant, user: User, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:  # noqa: ANN401
    async def send() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.request(method, f"/api/v1/{path}", json=body, params=query)

    return asyncio.run(send())


def _done(plant: Plant, user: User, method: str, path: str, body: object = None, **query: Any) -> Any:  # noqa: ANN401 - JSON
    found = _send(plant, user, method, path, body, **query)
    assert found.is_success, found.text
    return found.json()


def _begun(plant: Plant, officer: User, scope: str) -> str:
    ident: str = _done(plant, officer, "POST", "assessments", {"scope": scope})["assessment"]["id"]
    return f"assessments/{ident}"


def _standing(whole: Any, question: str) -> tuple[str, str | None]:  # noqa: ANN401 - JSON
    (found,) = [each for each in whole["answers"] if each["question"] == question]
    return found["standing"], found["said"]


def test_two_people_answer_differ_and_an_officer_settles_and_closes(
    plant: Plant, operator: User, officer: User, visby: str
) -> None:
    at = _begun(plant, officer, visby)
    for question in shipped().questions:
        said = "not_sure" if question.id in {"PM2", "AA3", "AI2", "RE2", "OR4"} else "3"
        _done(plant, operator, "POST", f"{at}/replies", {"question": question.id, "said": said})
    whole = _done(plant, officer, "POST", f"{at}/replies", {"question": "PM1", "said": "0", "comment": "Not here."})
    assert _standing(whole, "PM1") == ("differ", None)
    refused = _send(plant, officer, "POST", f"{at}/close")
    assert (refused.status_code, refused.json()["code"]) == (409, "assessment.unfinished")
    settled = _done(plant, officer, "POST", f"{at}/decisions", {"question": "PM1", "said": "1"})
    assert _standing(settled, "PM1") == ("decided", "1")
    assert [(one["name"], one["counts"]) for one in settled["decisions"]] == [(officer.person.name, True)]
    closed = _done(plant, officer, "POST", f"{at}/close")
    found = closed["assessment"]["declared"]
    assert (found["total"], found["lowest"], found["not_sure"], found["internal_audit"]) == (58.0, ["PM"], 5, True)
    assert closed["banner"] == shipped().guide.not_sure
    assert [section["low"] for section in found["sections"]] == [True, False, False, False, False]
    late = _send(plant, operator, "POST", f"{at}/replies", {"question": "PM1", "said": "4"})
    assert (late.status_code, late.json()["code"]) == (409, "assessment.ended")
    (listed,) = _done(plant, operator, "GET", "assessments", scope=visby, state="closed")["items"]
    assert listed == closed["assessment"]
    assert listed["where"].endswith("/Visby")


def test_every_low_section_comes_with_steps_that_go_into_a_plan_once(
    plant: Plant, operator: User, officer: User, visby: str
) -> None:
    whole = _done(plant, officer, "GET", _begun(plant, officer, visby))
    steps = {guidance["section"]: [step["id"] for step in guidance["steps"]] for guidance in whole["guide"]}
    assert list(steps) == ["PM", "AA", "AI", "RE", "OR"]
    asked = {"scope": visby, "step": steps["RE"][0], "owner": "Rut", "due": "2020-01-31"}
    gap = _done(plant, operator, "POST", "gaps", asked)
    assert (gap["section"], gap["state"], gap["overdue"]) == ("RE", "open", True)
    assert _done(plant, operator, "POST", "gaps", asked)["id"] == gap["id"]
    done = _done(plant, operator, "POST", f"gaps/{gap['id']}", {"state": "done"})
    assert (done["state"], done["overdue"], done["owner"]) == ("done", False, "Rut")
    assert _done(plant, operator, "GET", "gaps", scope=visby)["items"] == [done]


def test_what_backs_an_answer_is_linked_and_removed_and_stays_in_the_history(
    plant: Plant, operator: User, officer: User, visby: str
) -> None:
    at = _begun(plant, officer, visby)
    whole = _done(plant, operator, "POST", f"{at}/evidence", scored.LINK | {"expires": "2000-01-01"})
    (one,) = whole["evidence"]
    assert (one["name"], one["state"], one["added_by"]) == ("firewall.pdf", "expired", operator.person.id)
    removed = _done(plant, operator, "POST", f"evidence/{one['id']}/remove", {"why": "Of another site."})
    assert (removed["state"], removed["removed_why"]) == ("removed", "Of another site.")
    assert [each["state"] for each in _done(plant, operator, "GET", at)["evidence"]] == ["removed"]
    for link in ("", "javascript:alert(1)"):
        refused = _send(plant, operator, "POST", f"{at}/evidence", scored.LINK | {"link": link})
        assert (refused.status_code, refused.json()["code"]) == (422, "evidence.link")


@pytest.mark.parametrize(
    "body",
    [
        {"question": "PM1", "said": "5"},
        {"question": "PM1", "said": "not_applicable"},
        {"question": "PM1", "said": 4},
        {"question": "PM1"},
        {"question": "PM1", "said": "4", "comment": "x" * 2_001},
        {"question": "PM1", "said": "4", "points": 4},
    ],
    ids=["five", "no reason", "a number", "nothing", "long", "another field"],
)
def test_words_that_are_no_answer_are_refused_and_nothing_is_kept(
    plant: Plant, operator: User, officer: User, visby: str, body: dict[str, Any]
) -> None:
    at = _begun(plant, officer, visby)
    assert _send(plant, operator, "POST", f"{at}/replies", body).status_code in {400, 422}
    assert _done(plant, operator, "GET", at)["replies"] == []
