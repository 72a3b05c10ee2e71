# SPDX-License-Identifier: Apache-2.0
"""Voting, and what approvals say of themselves, on real databases."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from checkvalve.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, StaleError
from checkvalve.ids import ApprovalId, PersonId
from checkvalve.server.access.model import Visibility
from checkvalve.server.approvals import queries, writes
from checkvalve.server.approvals.model import Approval, Approved, Choice, Expired, Rejected, Waiting, Withdrawn
from checkvalve.server.audit.model import Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from tests.server.rollouts.world import APPROVER, World

DIGEST = "ab" * 32


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _asked(world: World, by: PersonId, needed: int = 1, scope: str = "") -> ApprovalId:
    approval = Approval(
        id=ApprovalId(world.new_id()),
        scope=scope or world.site,
        subject="rollout:r",
        sentence="Start it.",
        digest=DIGEST,
        needed=needed,
        requester=by,
        made_at=world.now,
        expires_at=world.now + timedelta(days=7),
    )
    world.database.write_now("open", writes.open_, approval)
    return approval.id


def _waits(world: World, person: PersonId, *paths: str) -> list[ApprovalId]:
    seen = Visibility(paths or (world.org,))
    found = world.database.read_now("waiting", queries.waiting_for, seen, person, world.now)
    return [approval.id for approval in found]


def test_what_was_opened_is_read_back_whole(world: World) -> None:
    asker = world.person("operator")
    approval = _asked(world, asker, needed=2)
    read = world.approval(approval)
    assert (read.requester, read.needed, read.digest, read.scope) == (asker, 2, DIGEST, world.site)
    assert (read.expires_at - read.made_at, read.used_at, read.withdrawn_at) == (timedelta(days=7), None, None)
    assert world.database.read_now("scope", queries.scope_of, approval) == world.site


def test_a_vote_leaves_one_entry_that_names_what_was_approved(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    approval = _asked(world, asker)
    assert world.vote(voter, approval, note=" Seen on the bench. ") == Approved((voter,))
    (entry,) = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("approval.vote", f"approval:{approval}", world.site)
    assert (entry.kind, entry.actor.id) == (Kind.OUTCOME, voter)
    assert entry.facts == {
        "after": {"choice": "approve", "note": "Seen on the bench."},
        "before": None,
        "digest": DIGEST,
        "needed": 1,
        "person": voter,
        "sentence": "Start it.",
        "standing": "approved",
        "subject": "rollout:r",
    }


def test_a_requester_never_counts_as_approver_even_with_the_right_to_vote(world: World) -> None:
    asker = world.approver()
    approval = _asked(world, asker)
    error = world.refused("approval.own", world.vote, asker, approval)
    assert isinstance(error, ForbiddenError)
    # Nor does a row that came about in some other way.
    row = {"approval": approval, "person": asker, "choice": "approve", "note": "", "at": world.now}
    world.run(sa.insert(schema.votes).values(row))
    assert world.standing(approval) == Waiting(0, 1)


def test_a_vote_for_another_digest_is_stale(world: World) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    error = world.refused("approval.stale", world.vote, voter, approval, digest="cd" * 32)
    assert isinstance(error, StaleError)
    assert error.facts == {"asked": DIGEST}


def test_two_needed_means_two_different_people(world: World) -> None:
    ann, ben = world.approver(), world.approver()
    approval = _asked(world, world.person(), needed=2)
    assert world.vote(ann, approval) == Waiting(1, 2)
    assert world.vote(ann, approval, note="Again.") == Waiting(1, 2)
    world.later(minutes=1)
    assert world.vote(ben, approval) == Approved((ann, ben))


def test_a_second_vote_replaces_the_first_while_open_and_the_entry_says_both(world: World) -> None:
    ann, ben = world.approver(), world.approver()
    approval = _asked(world, world.person())
    world.vote(ann, approval, note="Fine.")
    world.vote(ben, approval)
    assert world.vote(ann, approval, Choice.REJECT, note="Not fine.") == Rejected(ann, "Not fine.")
    assert world.entries()[0].facts["before"] == {"choice": "approve", "note": "Fine."}
    assert len(world.database.read_now("votes", queries.votes, approval)) == 2


def test_one_no_ends_it_for_everyone(world: World) -> None:
    ann, ben = world.approver(), world.approver()
    approval = _asked(world, world.person())
    world.vote(ann, approval, Choice.REJECT, note="Not in winter.")
    for voter in (ann, ben):
        error = world.refused("approval.closed", world.vote, voter, approval)
        assert isinstance(error, ConflictError)
        assert "Not in winter." in error.sentence


def test_a_no_still_ends_it_when_its_voter_has_lost_the_right(world: World) -> None:
    ann, ben = world.approver(), world.approver()
    approval = _asked(world, world.person())
    world.vote(ben, approval)
    world.vote(ann, approval, Choice.REJECT)
    world.unbind(ann)
    assert world.standing(approval) == Rejected(ann, "")


def test_a_voter_without_the_right_is_refused(world: World) -> None:
    approval = _asked(world, world.person())
    elsewhere = world.person(APPROVER, world.other)
    for voter in (world.person(), world.person("platform-admin", "/"), world.person("operator"), elsewhere):
        for choice in Choice:
            error = world.refused("approval.right", world.vote, voter, approval, choice)
            assert isinstance(error, ForbiddenError)


def test_a_disabled_voter_is_refused(world: World) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    world.disable(voter)
    world.refused("approval.right", world.vote, voter, approval)


@pytest.mark.parametrize("how", ["role taken away", "role ended", "disabled"])
def test_a_voter_who_lost_the_right_after_voting_does_not_count(world: World, how: str) -> None:
    voter = world.person()
    world.bind(voter, APPROVER, world.org, until=world.now + timedelta(hours=1))
    approval = _asked(world, world.person())
    assert world.vote(voter, approval) == Approved((voter,))
    match how:
        case "role taken away":
            world.unbind(voter)
        case "role ended":
            world.later(hours=1)
        case _:
            world.disable(voter)
    assert world.standing(approval) == Waiting(0, 1)


def test_a_right_that_comes_back_brings_the_vote_back(world: World) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    world.vote(voter, approval)
    world.disable(voter)
    assert world.standing(approval) == Waiting(0, 1)
    world.enable(voter)
    assert world.standing(approval) == Approved((voter,))


def test_nothing_is_voted_on_from_the_moment_of_its_expiry(world: World) -> None:
    ann, ben = world.approver(), world.approver()
    approval = _asked(world, world.person())
    end = world.approval(approval).expires_at
    world.now = end - timedelta(milliseconds=1)
    world.vote(ann, approval)
    world.now = end
    assert world.standing(approval) == Expired(end)
    world.refused("approval.closed", world.vote, ben, approval)


def test_an_approval_is_used_once(world: World) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    world.vote(voter, approval)
    read = world.approval(approval)
    assert world.database.write_now("use", writes.use, read, world.now) == Approved((voter,))
    # Also for a caller that still holds it as it was.
    for known in (read, world.approval(approval)):
        world.refused("approval.used", world.database.write_now, "use", writes.use, known, world.now)
    world.refused("approval.closed", world.vote, voter, approval)
    world.refused("approval.closed", world.database.write_now, "withdraw", writes.withdraw, approval, world.now)


@pytest.mark.parametrize("how", ["waiting", "rejected", "expired", "withdrawn"])
def test_an_approval_that_is_not_one_cannot_be_used(world: World, how: str) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    match how:
        case "rejected":
            world.vote(voter, approval, Choice.REJECT)
        case "expired":
            world.vote(voter, approval)
            world.later(days=7)
        case "withdrawn":
            world.vote(voter, approval)
            world.database.write_now("withdraw", writes.withdraw, approval, world.now)
            assert world.standing(approval) == Withdrawn(world.now)
        case _:
            pass
    read = world.approval(approval)
    world.refused(f"approval.{how}", world.database.write_now, "use", writes.use, read, world.now)


@pytest.mark.parametrize("note", ["a\nb", "\x00", "\x1b[2J", "a\u202eb", "x" * 2_001])
def test_a_note_that_is_no_plain_line_is_refused(world: World, note: str) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    error = world.refused("approval.note", world.vote, voter, approval, note=note)
    assert isinstance(error, InvalidError)


def test_what_may_not_be_seen_is_not_there(world: World) -> None:
    approval = _asked(world, world.person())
    for seen in (Visibility(()), Visibility((world.other,))):
        with pytest.raises(NotFoundError, match=r"approval\.not_found"):
            world.database.read_now("approval", queries.approval, approval, seen)
        assert world.database.read_now("listed", queries.listed, seen) == []
    world.refused("approval.not_found", world.vote, world.person(), ApprovalId("0" * 26), digest=DIGEST)


def test_lists_come_newest_first_and_in_pages(world: World) -> None:
    asker = world.person()
    ids = [_asked(world, asker, scope=world.other if number % 2 else world.site) for number in range(6)]
    seen = Visibility((world.site,))
    first = world.database.read_now("listed", queries.listed, seen, limit=2)
    assert [approval.id for approval in first] == [ids[4], ids[2]]
    rest = world.database.read_now("listed", queries.listed, seen, limit=2, before=first[-1].id)
    assert [approval.id for approval in rest] == [ids[0]]


def test_what_waits_for_a_person_is_what_their_word_can_still_move(world: World) -> None:
    asker, ann, ben = world.approver(), world.approver(), world.approver()
    first, second = _asked(world, asker), _asked(world, asker, needed=2)
    mine = _asked(world, ann, needed=2)
    _asked(world, asker, scope=world.other)
    assert _waits(world, ann) == [first, second]
    assert _waits(world, asker) == [mine]
    assert _waits(world, ben) == [first, second, mine]
    assert _waits(world, ben, world.other) == []
    assert _waits(world, world.person("operator")) == []
    world.vote(ann, second)
    assert _waits(world, ann) == [first]
    world.vote(ann, first)
    assert _waits(world, ben) == [second, mine]
    world.database.write_now("withdraw", writes.withdraw, mine, world.now)
    assert _waits(world, ben) == [second]
    world.unbind(ann)
    assert _waits(world, ann) == []
    world.disable(ben)
    assert _waits(world, ben) == []
    world.enable(ben)
    world.later(days=7)
    assert _waits(world, ben) == []


def test_a_vote_is_kept_with_its_moment_and_person(world: World) -> None:
    voter = world.approver()
    approval = _asked(world, world.person())
    world.vote(voter, approval, note="Yes.")
    (kept,) = world.database.read_now("votes", queries.votes, approval)
    assert replace(kept, note="") == replace(kept, person=voter, approval=approval, at=world.now, note="")
    assert kept.note == "Yes."
