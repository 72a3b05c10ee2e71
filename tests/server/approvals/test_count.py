# SPDX-License-Identifier: Apache-2.0
"""The count of votes: a table of its rules, and the laws that hold for any votes."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import ApprovalId, PersonId
from checkvalve.server.approvals import count
from checkvalve.server.approvals.model import (
    Approval,
    Approved,
    Choice,
    Expired,
    Rejected,
    Standing,
    Used,
    Vote,
    Waiting,
    Withdrawn,
)
from tests.conftest import NOON

ASKER, ANN, BEN, CAT = (PersonId(name) for name in ("asker", "ann", "ben", "cat"))
PEOPLE = (ASKER, ANN, BEN, CAT)
ALL = frozenset(PEOPLE)
END = NOON + timedelta(days=7)


def _approval(needed: int = 1, used: datetime | None = None, withdrawn: datetime | None = None) -> Approval:
    return Approval(ApprovalId("a"), "/o/", "rollout:r", "Start it.", "d", needed, ASKER, NOON, END, used, withdrawn)


def _yes(person: PersonId, minute: int = 0) -> Vote:
    return Vote(ApprovalId("a"), person, Choice.APPROVE, "", NOON + timedelta(minutes=minute))


def _no(person: PersonId, minute: int = 0) -> Vote:
    return replace(_yes(person, minute), choice=Choice.REJECT, note="Not in winter.")


@pytest.mark.parametrize(
    ("approval", "votes", "entitled", "standing"),
    [
        (_approval(), [], ALL, Waiting(0, 1)),
        (_approval(), [_yes(ANN)], ALL, Approved((ANN,))),
        (_approval(2), [_yes(ANN)], ALL, Waiting(1, 2)),
        (_approval(2), [_yes(BEN, 2), _yes(ANN, 1)], ALL, Approved((ANN, BEN))),
        (_approval(), [_yes(ANN), _yes(BEN)], ALL, Approved((ANN, BEN))),
        (_approval(), [_yes(ASKER)], ALL, Waiting(0, 1)),
        (_approval(), [_no(ASKER), _yes(ANN)], ALL, Approved((ANN,))),
        (_approval(2), [_yes(ASKER), _yes(ANN)], ALL, Waiting(1, 2)),
        (_approval(2), [_yes(ANN, 1), _yes(ANN, 2)], ALL, Waiting(1, 2)),
        (_approval(), [_yes(ANN)], ALL - {ANN}, Waiting(0, 1)),
        (_approval(), [_yes(ANN), _no(BEN, 1)], ALL, Rejected(BEN, "Not in winter.")),
        (_approval(), [_yes(ANN), _no(BEN, 1)], ALL - {BEN}, Rejected(BEN, "Not in winter.")),
        (_approval(0), [], ALL, Waiting(0, 1)),
        (_approval(-1), [], ALL, Waiting(0, 1)),
        (_approval(used=NOON), [_yes(ANN)], ALL, Used(NOON)),
        (_approval(used=NOON, withdrawn=NOON), [_no(ANN)], ALL, Used(NOON)),
        (_approval(withdrawn=NOON), [_yes(ANN)], ALL, Withdrawn(NOON)),
    ],
)
def test_the_rules_of_the_count(
    approval: Approval, votes: list[Vote], entitled: frozenset[PersonId], standing: Standing
) -> None:
    assert count.judge(approval, votes, entitled, NOON) == standing


@pytest.mark.parametrize(
    ("before_the_end", "standing"),
    [(timedelta(milliseconds=1), Approved((ANN,))), (timedelta(), Expired(END)), (-timedelta(days=1), Expired(END))],
)
def test_it_expires_at_the_moment_itself(before_the_end: timedelta, standing: Standing) -> None:
    assert count.judge(_approval(), [_yes(ANN)], ALL, END - before_the_end) == standing


def test_a_rejected_one_stays_rejected_after_its_expiry() -> None:
    assert count.judge(_approval(), [_no(ANN)], ALL, END) == Rejected(ANN, "Not in winter.")


@pytest.mark.parametrize(
    "standing",
    [
        Waiting(0, 1),
        Approved((ANN,)),
        Rejected(ANN, "No."),
        Rejected(ANN, ""),
        Expired(NOON),
        Used(NOON),
        Withdrawn(NOON),
    ],
)
def test_each_standing_is_said_in_a_sentence_and_only_two_are_open(standing: Standing) -> None:
    said = count.said(standing)
    assert said[0].isupper()
    assert said.endswith(".")
    assert count.is_open(standing) == isinstance(standing, Waiting | Approved)


moments = st.integers(-3, 3).map(lambda days: END + timedelta(days=days))
closed = st.none() | st.just(NOON)
approvals = st.builds(_approval, needed=st.integers(-1, 4), used=closed, withdrawn=closed)
votes = st.lists(
    st.builds(
        Vote,
        st.just(ApprovalId("a")),
        st.sampled_from(PEOPLE),
        st.sampled_from(Choice),
        st.sampled_from(["", "Why not."]),
        st.integers(0, 60).map(lambda minute: NOON + timedelta(minutes=minute)),
    ),
    max_size=8,
)
some = st.frozensets(st.sampled_from(PEOPLE))


def _approved(standing: Standing) -> bool:
    return isinstance(standing, Approved)


@given(approvals, votes, some, some, moments)
def test_taking_rights_away_never_approves(
    approval: Approval, cast: list[Vote], entitled: frozenset[PersonId], taken: frozenset[PersonId], now: datetime
) -> None:
    if not _approved(count.judge(approval, cast, entitled, now)):
        assert not _approved(count.judge(approval, cast, entitled - taken, now))


@given(approvals, votes, some, st.integers(0, 4), moments)
def test_needing_more_people_never_approves_sooner(
    approval: Approval, cast: list[Vote], entitled: frozenset[PersonId], more: int, now: datetime
) -> None:
    if not _approved(count.judge(approval, cast, entitled, now)):
        stricter = replace(approval, needed=approval.needed + more)
        assert not _approved(count.judge(stricter, cast, entitled, now))


@given(approvals, votes, some, moments)
def test_the_requesters_votes_and_rights_change_nothing(
    approval: Approval, cast: list[Vote], entitled: frozenset[PersonId], now: datetime
) -> None:
    others = [vote for vote in cast if vote.person != ASKER]
    standing = count.judge(approval, cast, entitled, now)
    assert standing == count.judge(approval, others, entitled - {ASKER}, now)
    assert standing == count.judge(approval, others, entitled | {ASKER}, now)


@given(approvals, votes, some, moments)
def test_approved_means_enough_different_entitled_others_and_nobody_against(
    approval: Approval, cast: list[Vote], entitled: frozenset[PersonId], now: datetime
) -> None:
    match count.judge(approval, cast, entitled, now):
        case Approved(by):
            assert len(set(by)) == len(by) >= max(approval.needed, 1)
            assert set(by) <= entitled - {ASKER}
            assert all(vote.choice is Choice.APPROVE for vote in cast if vote.person != ASKER)
            assert now < approval.expires_at
        case Waiting(have, needed):
            assert have < needed
        case _:
            pass


@given(approvals, votes, some, moments)
def test_the_order_in_which_rows_are_read_changes_nothing(
    approval: Approval, cast: list[Vote], entitled: frozenset[PersonId], now: datetime
) -> None:
    one_each = list({vote.person: vote for vote in cast}.values())
    turned = one_each[::-1]
    assert count.judge(approval, one_each, entitled, now) == count.judge(approval, turned, entitled, now)
