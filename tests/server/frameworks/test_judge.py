# SPDX-License-Identifier: Apache-2.0
"""What is known about what laws ask: by the checks that answer it, and never by a percentage alone."""

from dataclasses import replace
from datetime import UTC, date, datetime

from checkvalve.server.checks import judge as check_judge
from checkvalve.server.checks.model import State, Verdict
from checkvalve.server.checks.shipped import shipped as checks
from checkvalve.server.frameworks import judge
from checkvalve.server.frameworks.model import Answer, Coverage, Framework, Requirement
from checkvalve.server.frameworks.shipped import shipped

ONE = Requirement("f", "Art. 1", "Patch", "op", Coverage.DATA, ("a", "b"), (), None, reread=True)


def known(**states: State) -> dict[str, Verdict]:
    return {check: Verdict(state, "") for check, state in states.items()}


def test_a_requirement_is_as_good_as_the_worst_of_its_checks_and_names_it() -> None:
    said = judge.answer(ONE, known(a=State.PASS, b=State.FAIL))
    assert said == Answer(State.FAIL, "At least one of its checks fails: b.")
    assert judge.answer(ONE, known(a=State.PASS, b=State.PASS)).state is State.PASS
    assert judge.answer(ONE, known(a=State.NOT_ENOUGH_DATA, b=State.PASS)).state is State.NOT_ENOUGH_DATA


def test_what_only_people_can_say_is_never_passed_by_data() -> None:
    attested = replace(ONE, coverage=Coverage.ATTESTED)
    assert judge.answer(attested, known(a=State.PASS, b=State.PASS)).state is None
    assert judge.answer(attested, known(a=State.FAIL, b=State.PASS)).state is State.FAIL
    assert judge.answer(replace(ONE, checks=()), {}).state is None


def test_a_framework_is_counted_state_by_state_the_worst_first() -> None:
    rows = (ONE, replace(ONE, id="2", checks=("a",)), replace(ONE, id="3", checks=()))
    framework = Framework("f", "F", "1", "own_words", None, "", rows)
    found = judge.counts(framework, known(a=State.PASS, b=State.STALE))
    assert list(found.items()) == [(State.STALE, 1), (State.PASS, 1), (None, 1)]


def test_eighteen_frameworks_ask_181_things_and_each_is_answered_by_checks_that_exist() -> None:
    rows = [each for framework in shipped() for each in framework.requirements]
    assert (len(shipped()), len(rows), sum(not each.reread for each in rows)) == (18, 181, 18)
    ids = {check.id for check in checks()}
    assert {check for each in rows for check in each.checks} - ids == set()
    assert all(each.checks for each in rows)
    places = [(each.framework, each.id) for each in rows]
    assert len(set(places)) == len(places)
    now = datetime(2026, 11, 24, tzinfo=UTC)
    verdicts = check_judge.all_of(checks(), {}, now)
    assert {judge.answer(each, verdicts).state for each in rows} == {State.NOT_ENOUGH_DATA}


def test_deadlines_are_said_in_full() -> None:
    cra = next(each for each in shipped() if each.id == "cra")
    report = next(each for each in cra.requirements if each.id == "Art. 14(2)")
    assert report.clock == (
        "early warning: within 24 hours, from aware",
        "notification: within 72 hours, from aware",
        "final: within 14 days, from corrective measure available",
    )
    assert (cra.valid_from, cra.note) == (date(2027, 12, 11), "Art. 14 applies from 2026-09-11.")
