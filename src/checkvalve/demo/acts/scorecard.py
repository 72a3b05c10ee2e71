# SPDX-License-Identifier: Apache-2.0
"""Act: before any device is there, two people say how ready the plant is, and not alike."""

from typing import Any

from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "Before any device: how ready is the plant? Two people answer, and not alike"
UNSURE = ("PM2", "AA3", "AI2", "RE2", "OR4")
WEAK = ("RE1", "RE3", "RE4", "RE5")  # of the section that comes out lowest
APART = "PM1"


def play(stage: Stage) -> list[Fact]:
    """Have Anna answer all, an administrator say something else once, settle that, close it and plan the first step."""
    anna, admin = stage.caller("anna"), stage.caller("admin")
    scope = anna.get("/api/v1/me")["bindings"][0]["scope"]
    at = f"/api/v1/assessments/{admin.post('/api/v1/assessments', scope=scope)['assessment']['id']}"
    for question in anna.get(at)["questions"]:
        anna.post(f"{at}/replies", question=question["id"], said=_said(question["id"]))
    admin.post(f"{at}/replies", question=APART, said="0", comment="Not at Visby.")
    early = admin.refusal(f"{at}/close")
    admin.post(f"{at}/decisions", question=APART, said="1", comment="As it is at most sites.")
    closed = admin.post(f"{at}/close")
    late = anna.refusal(f"{at}/replies", question=APART, said="4")
    stage.say(
        f"Anna and Admin answered {closed['assessment']['asked']} questions; {len(UNSURE)} of them with Not Sure."
    )
    return [_result(stage, scope, closed), _history(closed, early.code if early else "", late.code if late else "")]


def _said(question: str) -> str:
    return "not_sure" if question in UNSURE else "1" if question in WEAK else "4"


def _result(stage: Stage, scope: str, closed: dict[str, Any]) -> Fact:
    found = closed["assessment"]["declared"]
    (lowest,) = [section for section in found["sections"] if section["id"] in found["lowest"]]
    (guidance,) = [each for each in closed["guide"] if each["section"] == lowest["id"]]
    gap = stage.caller("anna").post("/api/v1/gaps", scope=scope, step=guidance["steps"][0]["id"], owner="Anna")
    return Fact(
        "A plant without devices scores itself: the lowest section stands first, with the steps that close its gaps",
        f"{lowest['title']} {lowest['score']:g} of {lowest['most']}, in all {found['total']:g} of {found['most']}; "
        f"{found['not_sure']} Not Sure: {'internal audit first' if closed['banner'] else 'no banner'}; "
        f"planned: {gap['text']}",
        "the lowest is named; five Not Sure ask for an audit",
        f"checkvalve scorecard show {closed['assessment']['id']}",
        lowest["id"] == "RE" and lowest["low"] and found["internal_audit"] and bool(closed["banner"]),
    )


def _history(closed: dict[str, Any], early: str, late: str) -> Fact:
    words = [reply["said"] for reply in closed["replies"] if reply["question"] == APART]
    (counted,) = [answer["said"] for answer in closed["answers"] if answer["question"] == APART]
    return Fact(
        "Where people differ nothing is averaged: somebody settles it, and a closed result takes nothing more",
        f"said {' and '.join(words)}, settled {counted}; closing before: {early}; answering after: {late}",
        "both words kept; refused before and after",
        f"checkvalve scorecard show {closed['assessment']['id']} --answers",
        (words, counted, early, late) == (["4", "0"], "1", "assessment.unfinished", "assessment.ended"),
    )
