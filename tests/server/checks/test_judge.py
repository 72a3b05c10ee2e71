# SPDX-License-Identifier: Apache-2.0
"""What is known about a check: unknown is never a pass."""

from datetime import UTC, datetime, timedelta

import pytest

from checkvalve.server.checks import judge
from checkvalve.server.checks.model import Check, Run, State, Verdict
from checkvalve.server.checks.shipped import shipped
from checkvalve.server.scorecard.shipped import shipped as standard

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHECK = Check("patch.verify", "patch", "Patches", "Verified", "It waits for rollouts.")


def ran(outcome: State, **ago: float) -> Run:
    return Run(CHECK.id, NOW - timedelta(**ago), outcome, "29 of 29.")


@pytest.mark.parametrize(
    ("run", "state", "reason"),
    [
        (None, State.NOT_ENOUGH_DATA, "It waits for rollouts."),
        (ran(State.PASS, days=1), State.PASS, "29 of 29."),
        (ran(State.FAIL, days=7), State.FAIL, "29 of 29."),
        (ran(State.PASS, days=7, seconds=1), State.STALE, "It last ran on 2026-11-17, and said then: 29 of 29."),
        (ran(State.FAIL, days=30), State.STALE, "It last ran on 2026-10-25, and said then: 29 of 29."),
        (ran(State.ERROR, days=30), State.ERROR, "29 of 29."),
        (ran(State.NOT_APPLICABLE, days=300), State.NOT_APPLICABLE, "29 of 29."),
        (ran(State.NOT_ENOUGH_DATA, days=1), State.NOT_ENOUGH_DATA, "29 of 29."),
        (ran(State.PASS, days=-1), State.ERROR, "It ran at a time that is still to come: look at the plane's clock."),
    ],
)
def test_a_check_says_what_its_newest_run_found_as_long_as_that_is_fresh(
    run: Run | None, state: State, reason: str
) -> None:
    assert judge.verdict(CHECK, run, NOW) == Verdict(state, reason)


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ([], None),
        ([State.PASS, State.PASS], State.PASS),
        ([State.PASS, State.NOT_ENOUGH_DATA], State.NOT_ENOUGH_DATA),
        ([State.PASS, State.STALE, State.NOT_ENOUGH_DATA], State.STALE),
        ([State.FAIL, State.ERROR], State.FAIL),
        ([State.PASS, State.NOT_APPLICABLE], State.PASS),
        ([State.NOT_APPLICABLE], State.NOT_APPLICABLE),
    ],
)
def test_the_worst_of_several_counts_and_what_does_not_apply_counts_nothing(
    states: list[State], together: State | None
) -> None:
    assert judge.together(states) is together


def test_every_check_is_there_once_and_no_run_means_not_enough_data() -> None:
    ids = [check.id for check in shipped()]
    assert (len(ids), len(set(ids))) == (73, 73)
    known = judge.all_of(shipped(), {}, NOW)
    assert judge.counts(verdict.state for verdict in known.values()) == {State.NOT_ENOUGH_DATA: 73}


def test_every_check_that_a_question_names_exists() -> None:
    named = {check for question in standard().questions for check in question.checks}
    assert named - {check.id for check in shipped()} == set()
