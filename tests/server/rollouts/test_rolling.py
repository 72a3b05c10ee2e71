# SPDX-License-Identifier: Apache-2.0
"""What a rollout does with devices, on real databases: started, paused, resumed, cancelled and undone."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa

from checkvalve.errors import ConflictError
from checkvalve.ids import DeviceId, PersonId, RolloutId
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import State as Step
from checkvalve.server.access.model import Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.db.types import EPOCH
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Signed, Trust
from checkvalve.server.rollouts import actions, intent, queries
from checkvalve.server.rollouts.model import Done, Lane, Outcome, Plan, Planned, Rollout, Seat, State
from tests.parts import stock
from tests.server.rollouts.world import OLD, RELEASE, World

ONE_THEN_TWO = Plan(canary=1, step=2)
NEWER = "press-newer@sha256:" + "77" * 32


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.fixture
def ann(world: World) -> PersonId:
    return world.person("operator")


def _lanes(world: World, rollout: RolloutId) -> list[Lane]:
    found = world.rollout(rollout)
    return world.database.read_now("lanes", queries.lanes, found, world.now, EPOCH)


def _planned(world: World, rollout: RolloutId) -> Planned:
    return world.database.read_now("planned", queries.planned, world.rollout(rollout), world.now)


def _signs(world: World, seat: Seat) -> None:
    """Let orders be signed for a member, as a visit does."""
    signed = Signed(seat.device.id, seat.member.attempt, 1, 1, b"{}", world.now, world.now)
    world.database.write_now("signed", fleet_writes.put_orders, signed)


# Start


def test_a_start_fixes_who_goes_when_and_orders_the_first_wave_only(world: World, ann: PersonId) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    seats = world.seats(rollout)
    assert [seat.member.wave for seat in seats.values()] == [0, 1, 1, 2]
    assert len({seat.member.attempt for seat in seats.values()}) == 4
    digest = RELEASE.partition("@")[2]
    target = workload.target(world.org, "press-line", digest)
    assert {(seat.member.target, seat.member.before) for seat in seats.values()} == {(target, OLD.partition("@")[2])}
    assert world.wanted() == {"press 1": seats["press 1"].member.attempt}
    read = world.rollout(rollout)
    assert (read.state, read.wave, read.waves, read.started_at) == (State.STARTED, 0, 3, world.now)
    assert (world.entries()[0].facts["devices"], world.entries()[0].facts["waves"]) == (4, [1, 2, 1])
    assigned = world.assignment(seats["press 1"].device.id)
    assert assigned
    assert (assigned.by, assigned.target) == (f"rollout:{rollout}", target)


def test_the_plan_says_before_what_the_start_does(world: World, ann: PersonId) -> None:
    world.fleet(3)
    world.stand("watcher", trust=Trust.OBSERVE)
    rollout = world.drafted(ann, 0, selector="all", plan=ONE_THEN_TWO)
    planned = _planned(world, rollout)
    rows = world.rows()
    assert _planned(world, rollout) == planned
    assert world.rows() == rows
    world.propose(ann, rollout)
    world.start(ann, rollout)
    waves = [[seat.device.name for seat in world.seats(rollout).values() if seat.member.wave == n] for n in (0, 1)]
    assert [[one.name for one in wave] for wave in planned.waves] == waves == [["press 1"], ["press 2", "press 3"]]
    assert [one.device.name for one in planned.passed] == ["watcher"]


def test_those_who_observe_are_shut_out_or_run_it_already_are_passed_over(world: World, ann: PersonId) -> None:
    world.fleet(1)
    world.stand("watcher", trust=Trust.OBSERVE)
    world.stand("copied", trust=Trust.QUARANTINED)
    world.stand("scrapped", trust=Trust.RETIRED)
    world.stand("has it", active=RELEASE.partition("@")[2])
    assert list(world.seats(world.started(ann))) == ["press 1"]


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ("site:nowhere", "rollout.no_device"),
        ("tag:pump", "rollout.no_device"),
        ("device:watcher", "rollout.nothing_to_do"),
    ],
)
def test_a_start_that_means_nobody_is_refused_and_spends_no_approval(
    world: World, ann: PersonId, selector: str, code: str
) -> None:
    world.stand("watcher", trust=Trust.OBSERVE)
    rollout = world.drafted(ann, 1, selector=selector)
    world.vote(world.approver(), world.propose(ann, rollout))
    assert isinstance(world.refused(code, world.start, ann, rollout), ConflictError)


def test_a_device_is_in_one_live_rollout_at_most(world: World, ann: PersonId) -> None:
    world.fleet(2)
    first = world.started(ann, 'device:"press 1"')
    second = world.drafted(ann, 1, selector="all")
    approval = world.propose(ann, second)
    world.vote(world.approver(), approval)
    said = world.refused("rollout.devices_busy", world.start, ann, second).sentence
    assert said == "press 1 is in rollout 'Patch' already."
    world.pause(ann, first)
    world.refused("rollout.devices_busy", world.start, ann, second)
    world.ends(world.seats(first)["press 1"], Outcome.ROLLED_BACK)
    assert len(world.seats(world.start(ann, second).id)) == 2


def test_an_approval_starts_one_rollout_once(world: World, ann: PersonId) -> None:
    world.fleet(1)
    rollout = world.drafted(ann, 1, selector="all")
    world.vote(world.approver(), world.propose(ann, rollout))
    world.start(ann, rollout)
    world.refused("rollout.started", world.start, ann, rollout)
    world.cancel(ann, rollout)
    world.refused("rollout.cancelled", world.start, ann, rollout)


# Waves


def test_a_wave_is_opened_once_and_in_order(world: World, ann: PersonId) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    world.refused("rollout.moved", world.opened, rollout, 2)
    world.refused("rollout.moved", world.opened, rollout, 0)
    world.opened(rollout, 1)
    assert set(world.wanted()) == {"press 1", "press 2", "press 3"}
    assert world.entries()[0].facts["devices"] == 2
    world.refused("rollout.moved", world.opened, rollout, 1)
    world.pause(ann, rollout)
    world.refused("rollout.moved", world.opened, rollout, 2)


def test_a_device_retired_before_its_wave_is_assigned_to_nothing_and_nobody_waits_for_it(
    world: World, ann: PersonId
) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    gone = world.seats(rollout)["press 2"].device
    world.run(sa.update(schema.devices).where(schema.devices.c.id == gone.id).values(trust=Trust.RETIRED.value))
    world.opened(rollout, 1)
    assert set(world.wanted()) == {"press 1", "press 3"}
    world.pause(ann, rollout)
    world.resume(ann, rollout)
    assert set(world.wanted()) == {"press 1", "press 3"}
    assert _lanes(world, rollout)[1] == Lane(1, 2, left=1, going=1, gone=1)


def test_a_device_that_moved_stays_in_its_rollout_and_is_seen_where_it_stands_now(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    moved = schema.devices.c.name == "press 2"
    world.run(sa.update(schema.devices).where(moved).values(scope=world.other))
    world.opened(rollout, 1)
    assert set(world.wanted()) == {"press 1", "press 2"}
    here, there = (
        world.database.read_now("seats", queries.seats, rollout, seen=Visibility((path,)))
        for path in (world.site, world.other)
    )
    assert ([seat.device.name for seat in here], [seat.device.name for seat in there]) == (["press 1"], ["press 2"])


def test_a_rollout_is_finished_once(world: World, ann: PersonId) -> None:
    world.fleet(1)
    rollout = world.started(ann)
    world.ends(world.seats(rollout)["press 1"])

    def finish() -> Rollout:
        act = world.act(ann)
        return world.database.write_now("finish", actions.finish, act, rollout, Done("1 device took it."))

    assert (finish().state, world.rollout(rollout).reason) == (State.DONE, "1 device took it.")
    assert world.entries()[0].action == "rollout.finish"
    world.refused("rollout.moved", finish)


# Pause and resume


def test_a_pause_takes_orders_back_from_those_that_have_not_begun(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=Plan(canary=0))
    seats = world.seats(rollout)
    world.says(seats["press 1"])
    world.ends(seats["press 2"])
    paused = world.pause(ann, rollout, " Not in the storm. ")
    said = f"{ann}: Not in the storm."
    assert (paused.state, paused.code, paused.reason) == (State.PAUSED, "rollout.by_person", said)
    assert set(world.wanted()) == {"press 1", "press 2"}
    facts = world.entries()[0].facts
    assert (facts["held_back"], facts["reason"], facts["code"]) == (1, said, "rollout.by_person")
    world.refused("rollout.is_paused", world.pause, ann, rollout)


def test_a_resume_gives_the_same_attempts_again_and_only_of_open_waves(world: World, ann: PersonId) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    world.opened(rollout, 1)
    before = world.wanted()
    world.pause(ann, rollout)
    assert world.wanted() == {}
    resumed = world.resume(ann, rollout, "The storm is over.")
    assert (resumed.state, resumed.code, resumed.reason) == (State.STARTED, "", "")
    assert world.wanted() == before
    assert world.entries()[0].facts["reason"] == "The storm is over."
    world.refused("rollout.is_started", world.resume, ann, rollout)


def test_what_began_while_it_was_paused_is_its_own_again(world: World, ann: PersonId) -> None:
    world.fleet(1)
    rollout = world.started(ann)
    seat = world.seats(rollout)["press 1"]
    world.pause(ann, rollout)
    world.says(seat)  # the order was on its way already
    world.resume(ann, rollout)
    assert world.wanted() == {"press 1": seat.member.attempt}


def test_what_ended_while_it_was_paused_is_not_ordered_again(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann, plan=Plan(canary=0))
    seats = world.seats(rollout)
    world.pause(ann, rollout)
    world.ends(seats["press 1"])
    world.ends(seats["press 2"], Outcome.REFUSED)
    world.resume(ann, rollout)
    assert world.wanted() == {}


def test_a_person_goes_on_without_those_for_which_the_judge_paused_it(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    world.ends(world.seats(rollout)["press 1"], Outcome.ROLLED_BACK)
    world.pause(ann, rollout, "It failed.", "rollout.canary_failed")
    assert world.rollout(rollout).reason == "It failed."
    world.resume(ann, rollout)
    assert world.entries()[0].facts["left_behind"] == 1
    assert _lanes(world, rollout)[0] == Lane(0, 1, left=1)


def test_a_person_who_paused_it_has_not_judged_what_failed_meanwhile(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    world.pause(ann, rollout)
    world.ends(world.seats(rollout)["press 1"], Outcome.ROLLED_BACK)
    world.resume(ann, rollout)
    assert _lanes(world, rollout)[0] == Lane(0, 1, failed=1)


# Cancel


def test_a_cancel_ends_it_where_it_stands(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=Plan(canary=0))
    seats = world.seats(rollout)
    world.says(seats["press 1"])
    world.ends(seats["press 2"])
    cancelled = world.cancel(ann, rollout)
    assert (cancelled.state, cancelled.ended_at) == (State.CANCELLED, world.now)
    assert set(world.wanted()) == {"press 1", "press 2"}
    assert world.entries()[0].facts["held_back"] == 1
    world.refused("rollout.is_cancelled", world.cancel, ann, rollout)
    assert world.ends(seats["press 1"]) == rollout, "what had begun is still noted"


def test_the_devices_of_one_that_was_cancelled_are_free(world: World, ann: PersonId) -> None:
    world.fleet(2)
    world.cancel(ann, world.started(ann))
    assert len(world.seats(world.started(ann))) == 2


# Undo


def test_an_undo_is_a_rollout_that_sends_back_all_at_once_without_approval(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=Plan(canary=0))
    for seat in world.seats(rollout).values():
        world.ends(seat)
    undo = world.undo(ann, rollout, "It leaks.")
    said = f"{ann}: It leaks."
    assert undo == world.rollout(undo.id)
    assert (undo.state, undo.undoes, undo.name, undo.waves) == (State.STARTED, rollout, "Undo of Patch", 1)
    assert (undo.wanted.approvals, undo.wanted.note, undo.wanted.plan) == (0, said, Plan(0, 0))
    first = world.rollout(rollout)
    assert (first.state, first.undone_by, first.reason, first.ended_at) == (State.UNDONE, undo.id, said, world.now)
    seats = world.seats(undo.id)
    assert world.wanted() == {name: seat.member.attempt for name, seat in seats.items()}
    assert {seat.member.target for seat in seats.values()} == {
        workload.target(world.org, "press-before", OLD.partition("@")[2])
    }
    assert [entry.action for entry in world.entries()][0:2] == ["rollout.undo", "rollout.start"]
    facts = world.entries()[0].facts
    assert (facts["undo"], facts["back"], facts["staying"], facts["untouched"]) == (undo.id, 3, [], 0)


def test_an_undo_leaves_those_alone_that_never_left_what_they_ran(world: World, ann: PersonId) -> None:
    world.fleet(7)
    rollout = world.started(ann, plan=Plan(canary=0, step=6))
    seats = list(world.seats(rollout).values())
    world.ends(seats[0])
    world.says(seats[1])
    _signs(world, seats[2])
    world.ends(seats[3], Outcome.REFUSED)
    world.ends(seats[4], Outcome.ROLLED_BACK)  # 6 was never ordered anything, 7 is of a wave that was not opened
    undo = world.undo(ann, rollout)
    assert set(world.seats(undo.id)) == {"press 1", "press 2", "press 3"} == set(world.wanted())
    assert world.entries()[0].facts["untouched"] == 4


def test_a_device_that_hangs_in_between_goes_back_too(world: World, ann: PersonId) -> None:
    world.fleet(1)
    rollout = world.started(ann)
    seat = world.seats(rollout)["press 1"]
    world.ends(seat, Outcome.DEGRADED)
    undo = world.undo(ann, rollout)
    assert set(world.seats(undo.id)) == {"press 1"}
    assert world.ends(seat, Outcome.ROLLED_BACK) == rollout


@pytest.mark.parametrize("ended", ["started", "paused", "cancelled", "done"])
def test_whatever_was_started_is_undone_once(world: World, ann: PersonId, ended: str) -> None:
    world.fleet(1)
    rollout = world.started(ann)
    world.ends(world.seats(rollout)["press 1"])
    match ended:
        case "paused":
            world.pause(ann, rollout)
        case "cancelled":
            world.cancel(ann, rollout)
        case "done":
            world.database.write_now("finish", actions.finish, world.act(ann), rollout, Done("It is."))
        case _:
            pass
    undo = world.undo(ann, rollout)
    world.refused("rollout.is_undone", world.undo, ann, rollout)
    world.refused("rollout.is_undo", world.undo, ann, undo.id)
    for function in (world.pause, world.resume, world.cancel):
        world.refused("rollout.is_undone", function, ann, rollout)


def test_what_never_began_is_not_undone(world: World, ann: PersonId) -> None:
    rollout = world.drafted(ann)
    world.refused("rollout.is_draft", world.undo, ann, rollout)
    world.cancel(ann, rollout)
    world.refused("rollout.is_cancelled", world.undo, ann, rollout)


def test_where_nothing_ran_before_nothing_can_be_brought_back(world: World, ann: PersonId) -> None:
    world.stand("new", seen_at=world.now)
    rollout = world.started(ann)
    world.ends(world.seats(rollout)["new"])
    said = world.refused("rollout.nothing_back", world.undo, ann, rollout).sentence
    assert said == "None of its devices can go back: new stays: nothing ran on it before."


def test_what_may_not_be_taken_any_more_is_not_brought_back_and_the_others_are(world: World, ann: PersonId) -> None:
    world.fleet(1)
    other = "pump-line@sha256:" + "ab" * 32
    stock.release(world.database, world.new_id(), other, world.now, scope=world.org)
    world.stand("pump", seen_at=world.now, active=other.partition("@")[2])
    rollout = world.started(ann, plan=Plan(canary=0))
    for seat in world.seats(rollout).values():
        world.ends(seat)
    stock.release(world.database, world.new_id(), other, world.now, scope=world.org, state="withdrawn")
    undo = world.undo(ann, rollout)
    assert set(world.seats(undo.id)) == {"press 1"}
    assert len(str(world.entries()[0].facts["staying"])) > 2


def test_an_undo_with_nothing_to_bring_back_just_ends_it(world: World, ann: PersonId) -> None:
    world.fleet(1)
    rollout = world.started(ann)
    undo = world.undo(ann, rollout)
    assert (undo.state, undo.ended_at, undo.waves) == (State.DONE, world.now, 0)
    assert (world.rollout(rollout).state, world.wanted(), world.seats(undo.id)) == (State.UNDONE, {}, {})


def test_an_undo_leaves_alone_what_a_later_rollout_brought(world: World, ann: PersonId) -> None:
    world.fleet(2)
    first = world.started(ann, plan=Plan(canary=0))
    for seat in world.seats(first).values():
        world.ends(seat)
    world.later(hours=1)
    stock.release(world.database, world.new_id(), NEWER, world.now, scope=world.org)
    world.run(sa.update(schema.devices).where(schema.devices.c.name == "press 1").values(tags='["pump"]'))
    second = _of(world, ann, NEWER, "tag:pump")
    world.ends(world.seats(second)["press 1"])
    undo = world.undo(ann, first)
    assert set(world.seats(undo.id)) == {"press 2"}


def _of(world: World, by: PersonId, release: str, selector: str) -> RolloutId:
    """Start a rollout of another release than the usual."""
    rollout = world.drafted(by, 0, selector=selector)
    wanted = world.rollout(rollout).wanted
    data = intent.compose(replace(wanted, release=release))
    world.run(sa.update(schema.rollouts).where(schema.rollouts.c.id == rollout).values(intent=data))
    world.propose(by, rollout)
    return world.start(by, rollout).id


def test_devices_that_another_rollout_is_at_work_on_are_not_sent_back(world: World, ann: PersonId) -> None:
    world.fleet(1)
    first = world.started(ann)
    world.ends(world.seats(first)["press 1"])
    stock.release(world.database, world.new_id(), NEWER, world.now, scope=world.org)
    second = _of(world, ann, NEWER, "all")
    world.refused("rollout.devices_busy", world.undo, ann, first)
    world.cancel(ann, second)
    assert set(world.seats(world.undo(ann, first).id)) == {"press 1"}


def test_a_retired_device_is_sent_nowhere(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann, plan=Plan(canary=0))
    for seat in world.seats(rollout).values():
        world.ends(seat)
    world.run(sa.update(schema.devices).where(schema.devices.c.name == "press 2").values(trust=Trust.RETIRED.value))
    assert set(world.seats(world.undo(ann, rollout).id)) == {"press 1"}


@pytest.mark.parametrize("move", ["pause", "resume", "undo"])
def test_a_reason_of_two_lines_leaves_everything_as_it_was(world: World, ann: PersonId, move: str) -> None:
    world.fleet(2)
    rollout = world.started(ann)
    if move == "resume":
        world.pause(ann, rollout)
    world.refused("rollout.reason", getattr(world, move), ann, rollout, "one\ntwo")


def test_what_is_not_there_is_not_moved(world: World, ann: PersonId) -> None:
    for move in (world.pause, world.resume, world.undo, world.cancel):
        world.refused("rollout.not_found", move, ann, RolloutId("0" * 26))


# How it ends on a device


def test_the_first_word_stands_unless_it_hung_in_between(world: World, ann: PersonId) -> None:
    ends = [each for each in Outcome if each is not Outcome.OPEN]
    world.fleet(len(ends) ** 2)
    rollout = world.started(ann, plan=Plan(canary=0))
    pairs = zip(world.seats(rollout).items(), itertools.product(ends, ends), strict=True)
    for (name, seat), (first, then) in pairs:
        assert world.ends(seat, first) == rollout
        changes = first is Outcome.DEGRADED and then is not Outcome.DEGRADED
        assert world.ends(seat, then) == (rollout if changes else "")
        assert world.seats(rollout)[name].member.outcome is (then if changes else first)


def test_devices_are_listed_wave_by_wave_in_pages(world: World, ann: PersonId) -> None:
    world.fleet(5)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    names: list[str] = []
    after = ""
    while True:
        page = world.database.read_now("seats", queries.seats, rollout, limit=2, after=after)
        names += [seat.device.name for seat in page]
        if len(page) < 2:
            break
        after = page[-1].device.id
    assert names == [f"press {number}" for number in range(1, 6)]
    for nobody in ("x", "0" * 26, "\0"):
        assert world.database.read_now("seats", queries.seats, rollout, after=nobody) == []
    second = world.database.read_now("seats", queries.seats, rollout, wave=1)
    assert [seat.device.name for seat in second] == ["press 2", "press 3"]
    world.ends(second[0])
    found = world.database.read_now("seats", queries.seats, rollout, outcomes=[Outcome.COMMITTED])
    assert [seat.device.name for seat in found] == ["press 2"]


def test_the_newest_rollout_of_a_device_is_found(world: World, ann: PersonId) -> None:
    device = world.fleet(1)[0].id
    assert world.database.read_now("of", queries.of_device, device) is None
    world.cancel(ann, world.started(ann))
    newest = world.started(ann)
    found = world.database.read_now("of", queries.of_device, device)
    assert found
    assert (found[0].id, found[1].member.rollout) == (newest, newest)
    assert world.database.read_now("of", queries.of_device, DeviceId("0" * 26)) is None


def test_the_steps_of_those_under_way_are_counted(world: World, ann: PersonId) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=Plan(canary=0))
    seats = list(world.seats(rollout).values())
    world.says(seats[0])
    world.says(seats[1], Step.VERIFYING)
    world.ends(seats[2])
    lane = Lane(0, 4, committed=1, going=3, steps=(("fetching", 1), ("verifying", 1)))
    assert _lanes(world, rollout) == [lane]
    world.later(days=1)
    assert _lanes(world, rollout) == [Lane(0, 4, committed=1, silent=3)]
