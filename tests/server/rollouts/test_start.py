# SPDX-License-Identifier: Apache-2.0
"""When a rollout may start: a table of every state and every standing."""

import pytest

from checkvalve.ids import PersonId, RolloutId
from checkvalve.server.approvals.model import Approved, Expired, Rejected, Standing, Used, Waiting, Withdrawn
from checkvalve.server.rollouts import intent, start
from checkvalve.server.rollouts.model import Go, Intent, No, Rollout, State
from tests.conftest import NOON
from tests.server.rollouts.world import RELEASE

ANN, BEN = PersonId("ann"), PersonId("ben")
STANDINGS: list[Standing | None] = [
    None,
    Waiting(1, 2),
    Approved((ANN, BEN)),
    Rejected(ANN, "Not in winter."),
    Expired(NOON),
    Used(NOON),
    Withdrawn(NOON),
]


def _rollout(state: State, approvals: int) -> Rollout:
    data = intent.compose(Intent(RELEASE, "site=visby", approvals))
    return Rollout(RolloutId("r"), "/o/", "Patch", data, state, None, PersonId("asker"), NOON, NOON)


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("approvals", [0, 1, 2])
@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.DRAFT, "rollout.not_proposed"),
        (State.STARTED, "rollout.started"),
        (State.PAUSED, "rollout.started"),
        (State.DONE, "rollout.started"),
        (State.UNDONE, "rollout.started"),
        (State.CANCELLED, "rollout.cancelled"),
    ],
)
def test_only_a_proposed_one_starts(state: State, code: str, approvals: int, standing: Standing | None) -> None:
    verdict = start.judge(_rollout(state, approvals), standing)
    assert isinstance(verdict, No)
    assert verdict.code == code


@pytest.mark.parametrize(
    ("approvals", "standing", "code"),
    [
        (1, None, "rollout.not_approved"),
        (2, None, "rollout.not_approved"),
        (1, Waiting(0, 1), "rollout.not_approved"),
        (2, Waiting(1, 2), "rollout.not_approved"),
        (2, Approved((ANN,)), "rollout.not_approved"),
        (1, Approved(()), "rollout.not_approved"),
        (1, Rejected(ANN, ""), "rollout.rejected"),
        (0, Rejected(ANN, ""), "rollout.rejected"),
        (1, Expired(NOON), "rollout.approval_expired"),
        (1, Used(NOON), "rollout.approval_used"),
        (1, Withdrawn(NOON), "rollout.approval_withdrawn"),
    ],
)
def test_a_proposed_one_does_not_start_unapproved(approvals: int, standing: Standing | None, code: str) -> None:
    verdict = start.judge(_rollout(State.PROPOSED, approvals), standing)
    assert isinstance(verdict, No)
    assert verdict.code == code
    assert verdict.sentence.endswith(".")
    assert verdict.remedy.endswith(".")


@pytest.mark.parametrize(
    ("approvals", "standing", "by"),
    [
        (0, None, ()),
        (1, Approved((ANN,)), (ANN,)),
        (1, Approved((ANN, BEN)), (ANN, BEN)),
        (2, Approved((ANN, BEN)), (ANN, BEN)),
    ],
)
def test_a_proposed_and_approved_one_starts(
    approvals: int, standing: Standing | None, by: tuple[PersonId, ...]
) -> None:
    assert start.judge(_rollout(State.PROPOSED, approvals), standing) == Go(by)


def test_an_approved_one_does_not_start_while_its_release_cannot_be_taken() -> None:
    withdrawn = No("release.withdrawn", "press-line 2.4.1 was withdrawn.", "Choose another release.")
    assert start.judge(_rollout(State.PROPOSED, 1), Approved((ANN,)), withdrawn) == withdrawn
    assert start.judge(_rollout(State.STARTED, 1), Approved((ANN,)), withdrawn) != withdrawn


def test_a_refusal_says_how_many_are_there_and_why_it_was_rejected() -> None:
    missing = start.judge(_rollout(State.PROPOSED, 2), Waiting(1, 2))
    rejected = start.judge(_rollout(State.PROPOSED, 1), Rejected(ANN, "Not in winter."))
    assert isinstance(missing, No)
    assert isinstance(rejected, No)
    assert missing.sentence == "It has 1 of 2 approvals."
    assert rejected.sentence == "It was rejected: Not in winter."
