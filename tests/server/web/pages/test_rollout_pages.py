# SPDX-License-Identifier: Apache-2.0
"""The page of a rollout: how far it is, why it stands, who goes when, and what its buttons do."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from checkvalve.protocol.exchange import State as Attempt
from checkvalve.server.db.database import Database
from checkvalve.server.rollouts.model import Lane, Outcome, Plan, State
from checkvalve.server.web.pages import lanes
from tests.server.web import gear, goods
from tests.server.web.pages.rolling import EXITED, Course
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import ROLES, Plant, User, door

# Of the databases the rooms know, and `test_pages` asks both.
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

SIX = tuple(f"pump-{number}" for number in range(1, 7))


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def course(plant: Plant) -> Course:
    """Return a rollout to six devices that has just begun: one first, then in waves of two."""
    return Course(plant).stand(*SIX).begin()


def shown(course: Course, query: str = "", user: User | None = None) -> dict[str, Any]:
    return data(course.plant, user or course.operator, f"{course.path}{query}")


def page(course: Course, query: str = "", user: User | None = None) -> str:
    return ask(course.plant, user or course.operator, f"{course.path}{query}").text


def press(course: Course, verb: str, user: User | None = None, **form: str) -> int:
    return ask(course.plant, user or course.operator, f"{course.path}/{verb}", form).status_code


def verbs(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {verb["name"]: verb for verb in said["verbs"]}


def parts(said: dict[str, Any], lane: int) -> dict[str, int]:
    return {part["name"]: part["number"] for part in said["lanes"][lane]["parts"]}


# How far it is


def test_one_that_begins_says_how_far_it_is_and_what_comes_then(course: Course) -> None:
    said = shown(course)
    assert said["sentence"] == f"Autumn patch goes on: 0 of 6 devices run {course.runs}."
    assert said["next"] == "The canary wave waits for 1 device of 1."
    assert said["next_why"] == "Then wave 1 opens: 2 devices."
    assert [lane["name"] for lane in said["lanes"]] == ["Canary wave", "Wave 1", "Wave 2", "Wave 3"]
    assert parts(said, 0) == {"ordered": 1}
    assert parts(said, 1) == {"waiting": 2}
    assert "Canary wave: 1 ordered, of 1 device." in page(course)


def test_a_device_that_takes_its_order_up_is_shown_with_its_step(course: Course) -> None:
    (canary,) = course.wave(0)
    course.takes_up(canary, Attempt.VERIFYING)
    said = shown(course)
    assert parts(said, 0) == {"verifying": 1}
    row = next(one for one in said["members"] if one["name"] == canary)
    assert (row["shape"], row["word"], row["wave_name"]) == ("info", "verifying", "Canary wave")


def test_green_is_what_a_receipt_says(course: Course) -> None:
    (canary,) = course.wave(0)
    course.takes_up(canary, Attempt.COMMITTED)
    assert {part["shape"] for part in shown(course)["lanes"][0]["parts"]} == {"info"}
    course.ends(canary)
    assert course.turn()
    said = shown(course)
    assert parts(said, 0) == {"committed": 1}
    assert said["lanes"][0]["parts"][0]["shape"] == "ok"
    assert parts(said, 1) == {"ordered": 2}
    assert said["next"] == "Wave 1 waits for 2 devices of 2."


def test_one_that_waits_for_silent_devices_says_so(course: Course) -> None:
    (canary,) = course.wave(0)
    course.plant.plane.rolling.since = course.plant.time
    course.plant.later(minutes=25)
    said = shown(course)
    assert parts(said, 0) == {"silent": 1}
    assert said["sentence"] == f"Autumn patch waits for what cannot be heard: 0 of 6 devices run {course.runs}."
    assert said["next"] == "The canary wave waits: none of its 1 device can be heard."
    row = next(one for one in said["members"] if one["name"] == canary)
    assert (row["shape"], row["word"]) == ("unknown", "silent")


def test_one_that_is_done_is_green_only_if_nobody_stayed_behind(plant: Plant) -> None:
    course = Course(plant, Plan(0, 0)).stand("pump-1", "pump-2").begin()
    assert shown(course)["lanes"][0]["name"] == "All at once"
    for name in ("pump-1", "pump-2"):
        course.ends(name)
    course.turn()
    said = shown(course)
    assert said["sentence"] == f"Autumn patch is done: 2 of 2 devices run {course.runs}."
    assert (said["shape"], said["next"], said["live"]) == ("ok", "2 devices took it.", False)
    assert "sse-connect" not in page(course)


# Why it stands


def test_one_that_is_paused_says_why_and_shows_the_last_lines_of_what_failed(course: Course) -> None:
    (canary,) = course.wave(0)
    course.ends(canary, Outcome.ROLLED_BACK, EXITED)
    course.turn()
    said = shown(course)
    assert said["sentence"] == f"Autumn patch is paused: 0 of 6 devices run {course.runs}, 1 failed."
    assert said["next"] == f"1 of 1 device of the canary wave failed. {canary} rolled back: {EXITED}"
    assert said["next_verb"]["href"] == "#failed"
    (failed,) = said["failed"]
    assert (failed["word"], failed["sentence"]) == ("rolled back", f"{canary}: {EXITED}")
    assert failed["logs"] == [{"service": "web", "wrong": "It exited.", "logs": "no\nluck"}]
    assert "no\nluck" in page(course)
    assert verbs(said)["resume"]["label"] == f"Continue; leave this 1 on {'b' * 12}"
    assert verbs(said)["pause"]["why"] == "The rollout is paused already. Resume it, undo it, or cancel it."


def test_those_that_failed_are_grouped_by_why(plant: Plant) -> None:
    course = Course(plant, Plan(0, 0)).stand(*SIX).begin()
    for name in SIX[:3]:
        course.ends(name, Outcome.ROLLED_BACK, EXITED)
    course.ends(SIX[3], Outcome.DEGRADED, "No way back.", quiet=True)
    first, second = shown(course)["failed"]
    assert (first["number"], second["number"]) == (3, 1)
    assert first["sentence"] == f"3 devices, pump-1 among them: {EXITED}"
    assert (second["logs"], second["nothing"]) == ([], "Its receipt has not come yet.")
    assert [one["name"] for one in shown(course, "?outcome=failed")["members"]] == list(SIX[:4])
    assert [one["name"] for one in shown(course, "?outcome=open")["members"]] == list(SIX[4:])


def test_a_paused_one_stands_first_in_what_needs_you(course: Course) -> None:
    course.plant.pause(course.id, "rollout.canary_failed", "1 of 1 device of the canary wave failed.")
    said = data(course.plant, course.operator, "/today")
    assert said["sentence"] == "One rollout is paused and needs a decision."
    assert (said["needs"][0]["label"], said["needs"][0]["press"]) == ("Paused: Autumn patch", "Decide")
    assert said["first"]["what"] == "Autumn patch is paused."
    assert said["live"][0]["progress"] == "0 of 6 devices, canary wave"
    viewer = data(course.plant, course.plant.users["north", "viewer"], "/today")
    assert viewer["needs"] == []
    listed = data(course.plant, course.operator, "/rollouts")
    assert listed["sentence"] == "One rollout; 1 is paused."


# Who goes when


def test_a_draft_shows_who_would_go_when_and_who_is_passed_over(plant: Plant) -> None:
    course = Course(plant).stand(*SIX)
    gear.quarantine(plant, course.devices["pump-6"].id)
    course.draft()
    plan = shown(course)["plan"]
    assert plan["sentence"] == "5 devices would go, 1 device first, then the rest in waves of 2."
    assert [(wave["name"], wave["count"]) for wave in plan["waves"]] == [
        ("Canary wave", 1),
        ("Wave 1", 2),
        ("Wave 2", 2),
    ]
    assert plan["passed"][0]["reason"] == "1 device is in quarantine."
    assert plan["obstacle"] is None
    assert "pump-6" in page(course)


def test_what_is_in_the_way_stands_above_the_plan_and_beside_start(plant: Plant) -> None:
    course = Course(plant).stand("pump-1").draft("tag:nowhere")
    said = shown(course)
    assert said["plan"]["obstacle"]["sentence"] == "In the way: Nothing here answers to tag:nowhere."
    press(course, "propose")
    start = verbs(shown(course))["start"]
    assert (start["enabled"], start["why"].startswith("Nothing here answers to tag:nowhere.")) == (False, True)


def test_a_new_draft_has_canaries_and_waves(plant: Plant) -> None:
    course = Course(plant).stand(*SIX)
    form = {"name": "N", "scope": plant.organisations["north"], "release": course.release.ref, "selector": "all"}
    form |= {"approvals": "0", "canary": "2", "step": "3"}
    made = ask(plant, course.operator, "/rollouts", form)
    assert made.status_code == 303, made.text
    said = data(plant, course.operator, made.headers["location"])
    assert [wave["count"] for wave in said["plan"]["waves"]] == [2, 3, 1]
    for wrong in ({"canary": "6"}, {"canary": "x"}, {"step": "-1"}, {"selector": "tag:"}):
        assert ask(plant, course.operator, "/rollouts", form | wrong).status_code == 422, wrong
    assert ", at character 5." in ask(plant, course.operator, "/rollouts", form | {"selector": "all )"}).text


# What can be done


def test_it_is_paused_continued_and_cancelled_by_forms(course: Course) -> None:
    assert press(course, "pause", reason="Storm warning.") == 303
    said = shown(course)
    assert said["next"] == "operator.north: Storm warning."
    assert parts(said, 0) == {"held": 1}
    assert press(course, "pause", reason="") == 409
    assert press(course, "resume", reason="") == 303
    assert course.now().state is State.STARTED
    assert press(course, "cancel") == 303
    said = shown(course)
    assert said["sentence"] == f"Autumn patch was cancelled: 0 of 6 devices run {course.runs}."
    assert parts(said, 0) == {"never": 1}


def test_what_cannot_be_undone_says_why(plant: Plant) -> None:
    course = Course(plant, Plan(0, 0)).stand("pump-1", "pump-2", active="").begin()
    course.ends("pump-1")
    said = data(plant, course.operator, f"{course.path}/undo")
    assert said["enabled"] is False
    assert "nothing ran on it before" in said["why_not"]
    assert press(course, "undo", reason="x") == 409


def test_undoing_asks_first_names_who_goes_back_to_what_and_leads_to_what_does_it(plant: Plant) -> None:
    before = goods.published(plant, "north")
    course = Course(plant, Plan(1, 0)).stand("pump-1", "pump-2", active=before.digest).begin()
    (canary,) = course.wave(0)
    course.ends(canary)
    said = data(plant, course.operator, f"{course.path}/undo")
    assert said["sentence"] == "Undoing Autumn patch sends 1 device back."
    assert said["going"][0]["words"] == f"1 device to {before.name} {before.version}"
    assert [one["name"] for one in said["going"][0]["names"]] == [canary]
    assert course.now().state is State.STARTED
    answer = ask(plant, course.operator, f"{course.path}/undo", {"reason": "It leaks."})
    assert answer.status_code == 303
    undo = data(plant, course.operator, answer.headers["location"])
    assert undo["sentence"] == "Undo of Autumn patch goes on: 0 of 1 device runs what ran before."
    assert undo["undoes"]["name"] == "Autumn patch"
    undone = shown(course)
    assert (undone["sentence"], undone["undone_by"]["name"]) == ("Autumn patch was undone.", "Undo of Autumn patch")
    assert undone["next"] == "operator.north: It leaks."


def test_whoever_may_not_is_told_why_and_refused(course: Course) -> None:
    for role in ROLES:
        user = course.plant.users["north", role]
        if ask(course.plant, user, course.path).status_code == 403:
            continue
        may, said = role == "operator", verbs(shown(course, user=user))
        assert (said["pause"]["enabled"], said["undo"]["enabled"]) == (may, may), role
        if not may:
            assert "rollout.start" in said["pause"]["why"]
            pressed = [press(course, verb, user, reason="x") for verb in ("pause", "undo", "cancel")]
            assert pressed == [403, 403, 403], role
    assert course.now().state is State.STARTED


def test_another_organisation_hears_nothing_of_it(course: Course) -> None:
    stranger = course.plant.users["south", "operator"]
    for path in ("", "/events", "/undo"):
        assert ask(course.plant, stranger, f"{course.path}{path}").status_code == 404


# Lanes


def lane(wave: int, **counts: int) -> Lane:
    return Lane(wave, sum(counts.values()), **counts)  # type: ignore[arg-type]


def test_of_many_waves_those_at_work_are_shown_and_the_rest_is_summed(course: Course) -> None:
    rollout = course.now()
    found = [
        lane(0, committed=1),
        *(lane(n, committed=10) for n in range(1, 500)),
        *(lane(n, going=10) for n in range(500, 1000)),
    ]
    said = lanes.shown(replace(rollout, wave=500, waves=1000), found)
    assert [one["name"] for one in said] == [
        "Canary wave",
        "Waves 1 to 497",
        "Wave 498",
        "Wave 499",
        "Wave 500",
        "Wave 501",
        "Wave 502",
        "Waves 503 to 999",
    ]
    assert sum(one["total"] for one in said) == 9_991  # type: ignore[misc]
    for one in said:
        assert sum(part["width"] for part in one["bar"]) == lanes.WIDE  # type: ignore[attr-defined]
