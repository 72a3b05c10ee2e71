# SPDX-License-Identifier: Apache-2.0
"""The life of a rollout on real databases: drafted, proposed, approved, started once, or cancelled."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from checkvalve.errors import ConflictError, ForbiddenError, NotFoundError, StaleError
from checkvalve.ids import ApprovalId, PersonId, RolloutId
from checkvalve.server.access.model import Visibility
from checkvalve.server.approvals.model import Choice, Used, Waiting, Withdrawn
from checkvalve.server.audit.model import Act, Actor, Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.rollouts import actions, intent, queries
from checkvalve.server.rollouts.model import Intent, Rollout, State
from tests.server.rollouts.world import APPROVER, RELEASE, World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _digest(world: World, rollout: RolloutId) -> str:
    return world.rollout(rollout).digest


def test_drafted_proposed_approved_by_two_and_started_with_one_entry_each(world: World) -> None:
    asker, ann, ben = world.person("operator"), world.approver(), world.approver()
    rollout, approval = world.proposed(asker, approvals=2)
    world.vote(ann, approval)
    world.later(minutes=1)
    world.vote(ben, approval)
    started = world.start(asker, rollout)
    assert started == world.rollout(rollout)
    assert (started.state, started.changed_at, started.approval) == (State.STARTED, world.now, approval)
    assert world.standing(approval) == Used(world.now)
    said = ["rollout.start", "approval.vote", "approval.vote", "rollout.propose", "rollout.draft"]
    assert [entry.action for entry in world.entries()] == said
    assert {entry.kind for entry in world.entries()} == {Kind.OUTCOME}
    assert {entry.scope for entry in world.entries()} == {world.site}
    assert {entry.subject for entry in world.entries("rollout.")} == {f"rollout:{rollout}"}


def test_the_entry_of_a_start_names_the_approval_its_digest_and_who_approved(world: World) -> None:
    asker, ann, ben = world.person("operator"), world.approver(), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(ann, approval)
    world.later(minutes=1)
    world.vote(ben, approval)
    world.start(asker, rollout)
    assert world.entries()[0].facts == {
        "after": {"state": "started"},
        "approval": approval,
        "approved_by": [ann, ben],
        "before": {"state": "proposed"},
        "change": "MOC-12",
        "digest": world.approval(approval).digest,
        "name": "Patch",
        "devices": 1,
        "release": RELEASE,
        "selector": world.rollout(rollout).wanted.selector,
        "waves": [1],
    }


def test_a_proposal_asks_for_approval_of_exactly_this_for_seven_days(world: World) -> None:
    asker = world.person("operator")
    rollout, approval = world.proposed(asker, approvals=2)
    asked = world.approval(approval)
    assert (asked.subject, asked.scope, asked.needed) == (f"rollout:{rollout}", world.site, 2)
    assert (asked.digest, asked.requester) == (_digest(world, rollout), asker)
    assert asked.expires_at == world.now + timedelta(days=7)
    selector = world.rollout(rollout).wanted.selector
    said = f"press-line@sha256:5e5e5e5e5e5e on {selector}, 1 device first, then the rest at once, under MOC-12."
    assert said in asked.sentence
    facts = world.entries()[0].facts
    assert (facts["approval"], facts["digest"], facts["needed"]) == (approval, asked.digest, 2)
    assert facts["expires"] == "2026-11-10T12:00:00.000Z"


def test_a_rollout_that_needs_no_approval_starts_without_one_and_says_so(world: World) -> None:
    asker = world.person("operator")
    rollout, _ = world.proposed(asker, approvals=0)
    assert world.rows()["approvals"] == []
    assert world.start(asker, rollout).approval is None
    facts = world.entries()[0].facts
    assert (facts["approval"], facts["approved_by"]) == (None, [])


def test_a_draft_does_not_start(world: World) -> None:
    asker = world.person("operator")
    for approvals in (0, 1):
        rollout = world.drafted(asker, approvals)
        assert isinstance(world.refused("rollout.not_proposed", world.start, asker, rollout), ConflictError)


def test_a_requester_never_counts_as_approver_even_with_the_right_to_vote(world: World) -> None:
    asker = world.person("operator")
    world.bind(asker, APPROVER, "/")
    rollout, approval = world.proposed(asker)
    world.refused("approval.own", world.vote, asker, approval)
    row = {"approval": approval, "person": asker, "choice": "approve", "note": "", "at": world.now}
    world.run(sa.insert(schema.votes).values(row))
    world.refused("rollout.not_approved", world.start, asker, rollout)


def test_nobody_proposes_what_another_drafted_so_no_drafter_approves_their_own(world: World) -> None:
    drafter, other = world.approver(), world.person("operator")
    rollout = world.drafted(drafter)
    error = world.refused("rollout.not_drafter", world.propose, other, rollout)
    assert isinstance(error, ForbiddenError)


def test_a_replayed_proposal_is_refused(world: World) -> None:
    asker = world.person("operator")
    rollout, _ = world.proposed(asker)
    assert isinstance(world.refused("rollout.not_draft", world.propose, asker, rollout), ConflictError)
    assert len(world.rows()["approvals"]) == 1


def test_a_started_rollout_is_not_started_again(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(voter, approval)
    world.start(asker, rollout)
    error = world.refused("rollout.started", world.start, asker, rollout)
    assert isinstance(error, ConflictError)
    assert error.sentence == "The rollout was started already."
    world.refused("rollout.not_draft", world.propose, asker, rollout)


def test_two_are_needed_and_one_is_not_enough(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker, approvals=2)
    world.vote(voter, approval)
    world.vote(voter, approval)
    error = world.refused("rollout.not_approved", world.start, asker, rollout)
    assert error.sentence == "It has 1 of 2 approvals."


@pytest.mark.parametrize("how", ["role taken away", "role moved", "disabled"])
def test_a_voter_who_lost_the_right_after_voting_does_not_count_at_start(world: World, how: str) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(voter, approval)
    match how:
        case "disabled":
            world.disable(voter)
        case "role moved":
            world.unbind(voter)
            world.bind(voter, APPROVER, world.other)
        case _:
            world.unbind(voter)
    world.refused("rollout.not_approved", world.start, asker, rollout)
    assert world.standing(approval) == Waiting(0, 1)


def test_an_approval_that_expired_before_the_start_is_none(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(voter, approval)
    world.now = world.approval(approval).expires_at
    error = world.refused("rollout.approval_expired", world.start, asker, rollout)
    assert error.sentence == "The request for approval expired at 2026-11-10T12:00:00.000Z."
    world.later(milliseconds=-1)
    assert world.start(asker, rollout).state is State.STARTED


def test_one_no_keeps_it_from_starting_whatever_others_said(world: World) -> None:
    asker, ann, ben = world.person("operator"), world.approver(), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(ann, approval)
    world.vote(ben, approval, Choice.REJECT, note="Not in winter.")
    world.refused("rollout.rejected", world.start, asker, rollout)
    world.disable(ben)
    assert "Not in winter." in world.refused("rollout.rejected", world.start, asker, rollout).sentence


def test_an_approval_given_for_other_bytes_starts_nothing(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(voter, approval)
    other = intent.compose(Intent(RELEASE, "all", 1, "MOC-12", "Valve firmware."))
    world.run(sa.update(schema.rollouts).where(schema.rollouts.c.id == rollout).values(intent=other))
    assert isinstance(world.refused("rollout.changed", world.start, asker, rollout), StaleError)


def test_an_approval_given_for_another_rollout_starts_nothing(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    _, approval = world.proposed(asker)
    rollout, _ = world.proposed(asker)
    world.vote(voter, approval)
    world.run(sa.update(schema.rollouts).where(schema.rollouts.c.id == rollout).values(approval=approval))
    world.refused("rollout.changed", world.start, asker, rollout)


def test_two_starts_at_the_same_time_start_it_once(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    for _ in range(5):
        rollout, approval = world.proposed(asker)
        world.vote(voter, approval)
        before = len(world.entries("rollout.start"))
        results = _at_once([world.act(asker) for _ in range(6)], world, rollout)
        assert [type(result) for result in results].count(Rollout) == 1
        refused = [result for result in results if isinstance(result, ConflictError)]
        assert {error.code for error in refused} == {"rollout.started"}
        assert len(refused) == 5
        assert len(world.entries("rollout.start")) == before + 1
        assert world.rollout(rollout).state is State.STARTED


def _at_once(acts: list[Act], world: World, rollout: RolloutId) -> list[object]:
    ready = Barrier(len(acts))

    def go(act: Act) -> object:
        ready.wait()
        try:
            return world.database.write_now("rollout.start", actions.start, act, rollout, world.new_id)
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(go, acts))


def test_a_start_and_a_cancel_at_the_same_time_are_done_one_after_the_other(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    for _ in range(5):
        rollout, approval = world.proposed(asker)
        world.vote(voter, approval)
        ready = Barrier(2)

        def go(function: Callable[[PersonId, RolloutId], Rollout], ready: Barrier, rollout: RolloutId) -> object:
            ready.wait()
            try:
                return function(asker, rollout)
            except ConflictError as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(go, function, ready, rollout).result for function in (world.start, world.cancel)]
            started, cancelled = (result() for result in done)
        read, asked = world.rollout(rollout), world.approval(approval)
        assert isinstance(cancelled, Rollout)
        assert read.state is State.CANCELLED
        if isinstance(started, Rollout):  # and was cancelled then: its device keeps nothing of it
            assert (read.waves, asked.withdrawn_at) == (1, None)
        else:
            assert (read.started_at, asked.used_at) == (None, None)
        assert world.rows()["assignments"] == []


@pytest.mark.parametrize("approvals", [0, 1])
def test_a_draft_can_be_cancelled_and_is_then_over(world: World, approvals: int) -> None:
    asker = world.person("operator")
    rollout = world.drafted(asker, approvals)
    assert world.cancel(asker, rollout).state is State.CANCELLED
    assert world.entries()[0].facts["withdrawn"] is False
    world.refused("rollout.is_cancelled", world.cancel, asker, rollout)
    world.refused("rollout.cancelled", world.start, asker, rollout)
    world.refused("rollout.not_draft", world.propose, asker, rollout)


def test_cancelling_withdraws_the_open_approval(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rollout, approval = world.proposed(asker)
    world.vote(voter, approval)
    world.cancel(asker, rollout)
    assert world.standing(approval) == Withdrawn(world.now)
    assert world.entries()[0].facts["withdrawn"] is True
    world.refused("approval.closed", world.vote, voter, approval)
    world.refused("rollout.cancelled", world.start, asker, rollout)


def test_cancelling_leaves_a_closed_approval_as_it_was(world: World) -> None:
    asker, voter = world.person("operator"), world.approver()
    rejected, approval = world.proposed(asker)
    expired, _ = world.proposed(asker)
    world.vote(voter, approval, Choice.REJECT)
    world.later(days=7)
    before = world.rows()["approvals"]
    world.cancel(asker, rejected)
    world.cancel(asker, expired)
    assert world.rows()["approvals"] == before


def test_a_wrong_draft_leaves_nothing(world: World) -> None:
    asker, good = world.person("operator"), Intent(RELEASE, "site=visby", 1)
    world.stock()

    def draft(name: str, scope: str, wanted: Intent, actor: Actor) -> Rollout:
        act = Act(id=world.act(asker).id, at=world.now, actor=actor)
        rollout = RolloutId(world.new_id())
        return world.database.write_now("draft", actions.draft, act, rollout, scope, name, wanted)

    person = Actor("person", asker, "Ann")
    world.refused("rollout.name", draft, "a\x07b", world.site, good, person)
    world.refused("rollout.selector", draft, "Patch", world.site, replace(good, selector=" "), person)
    for nobodys in ("x", "press-line", "press-line@9", "other@2.4.1", "@", "", "press-line@2.4.1\0", "a" * 10_000):
        world.refused("release.unknown", draft, "Patch", world.site, replace(good, release=nobodys), person)
    world.refused("scope.not_found", draft, "Patch", "/nowhere/", good, person)
    # A token's own id is nobody's: who drafts is compared with who votes, so it must be a person.
    world.refused("person.not_found", draft, "Patch", world.site, good, Actor("token", world.new_id(), "CI"))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("drafted", "release.not_published"),
        ("withdrawn", "release.withdrawn"),
        ("discarded", "release.unknown"),
    ],
)
def test_only_a_release_that_people_signed_and_kept_is_rolled_out(world: World, state: str, code: str) -> None:
    asker = world.person("operator")
    proposed, _ = world.proposed(asker, approvals=0)
    world.stock(state)
    world.refused(code, world.start, asker, proposed)
    act, wanted = world.act(asker), Intent(RELEASE, "site=visby", 0)
    draft = world.database.write_now
    world.refused(code, draft, "draft", actions.draft, act, RolloutId(world.new_id()), world.site, "Patch", wanted)
    world.stock()
    assert world.start(asker, proposed).state is State.STARTED


def test_a_release_named_by_its_version_is_kept_by_its_digest(world: World) -> None:
    asker = world.person("operator")
    world.stock()
    act, wanted, rollout = world.act(asker), Intent(" press-line@2.4.1 ", "site=visby", 0), RolloutId(world.new_id())
    world.database.write_now("draft", actions.draft, act, rollout, world.site, "Patch", wanted)
    assert world.rollout(rollout).wanted.release == RELEASE


def test_a_release_of_another_organisation_is_unknown(world: World) -> None:
    asker, foreign = world.person("operator"), world.place("/", "organisation")
    world.stock()
    act, wanted = world.act(asker), Intent(RELEASE, "all", 0)
    draft = world.database.write_now
    world.refused(
        "release.unknown", draft, "draft", actions.draft, act, RolloutId(world.new_id()), foreign, "Patch", wanted
    )


def test_what_may_not_be_seen_is_not_there(world: World) -> None:
    asker = world.person("operator")
    rollout = world.drafted(asker)
    assert world.database.read_now("scope", queries.scope_of, rollout) == world.site
    for seen in (Visibility(()), Visibility((world.other,))):
        with pytest.raises(NotFoundError, match=r"rollout\.not_found"):
            world.database.read_now("rollout", queries.rollout, rollout, seen)
        assert world.database.read_now("listed", queries.listed, seen) == []
    nothing = RolloutId("0" * 26)
    for function in (world.start, world.cancel, world.propose):
        world.refused("rollout.not_found", function, asker, nothing)


def test_lists_come_newest_first_in_pages_and_by_state(world: World) -> None:
    asker = world.person("operator")
    ids = [world.drafted(asker, scope=world.other if number % 2 else world.site) for number in range(6)]
    world.propose(asker, ids[0])
    seen = Visibility((world.site,))
    first = world.database.read_now("listed", queries.listed, seen, limit=2)
    assert [rollout.id for rollout in first] == [ids[4], ids[2]]
    rest = world.database.read_now("listed", queries.listed, seen, limit=2, before=first[-1].id)
    assert [rollout.id for rollout in rest] == [ids[0]]
    proposed = world.database.read_now("listed", queries.listed, Visibility(("/",)), state=State.PROPOSED)
    assert [rollout.id for rollout in proposed] == [ids[0]]


def test_where_the_approval_stands_is_read_with_the_rollout(world: World) -> None:
    asker = world.person("operator")
    rollout = world.drafted(asker)
    assert world.database.read_now("standing", queries.standing, world.rollout(rollout), world.now) is None
    approval = world.propose(asker, rollout)
    assert approval == ApprovalId(world.rollout(rollout).approval or "")
    standing = world.database.read_now("standing", queries.standing, world.rollout(rollout), world.now)
    assert standing == Waiting(0, 1)
