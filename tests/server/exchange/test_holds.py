# SPDX-License-Identifier: Apache-2.0
"""Tags on their way to devices: told with what else is ordered, once, again if they were lost, and taken back."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest

from checkvalve.ids import HoldId, PersonId
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import Deploy, Item, State, Status, Tag
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import due
from checkvalve.server.exchange.due import Offer, Want
from checkvalve.server.exchange.visit import Visited
from checkvalve.server.fleet import actions, holds
from checkvalve.server.fleet.model import Hold
from checkvalve.server.rollouts import counting
from checkvalve.server.rollouts.counting import Tally
from checkvalve.server.rollouts.judge import judge
from checkvalve.server.rollouts.model import Hold as Stays
from checkvalve.server.rollouts.model import Outcome
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World

BY = PersonId("0" * 26)


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def hang(here: World, reason: str = "The pump is open.", scope: str = "") -> Hold:
    asked = Hold(HoldId(here.new_id()), scope or here.org, None, "Gun", reason, "PTW-118", BY, here.now)
    return here.database.write_now("hang", actions.hang, here.act(BY), asked)


def lift(here: World, hold: Hold) -> None:
    here.database.write_now("lift", actions.lift, here.act(BY), hold.id, "")


def items(here: World, visited: Visited) -> list[Item | str]:
    return [exchange.item(each) for each in here.orders(visited).items]


def told(here: World, visited: Visited) -> list[str]:
    """Return the ids of the tags that orders tell of, which they do before they say anything else."""
    first = items(here, visited)[0]
    assert isinstance(first, exchange.Hold)
    return [tag.id for tag in first.tags]


def takes(here: World, machine: Machine, visited: Visited, *, state: State = State.IDLE, attempt: str = "") -> Visited:
    """Let a device take orders, and report what it knows of now."""
    orders = here.orders(visited)
    for item in items(here, visited):
        if isinstance(item, exchange.Hold):
            machine.status = msgspec.structs.replace(machine.status, held=item.tags)
    machine.status = msgspec.structs.replace(machine.status, state=state, attempt=attempt)
    return here.visit(machine, machine.first(epoch=orders.epoch, counter=orders.counter))


def test_a_device_is_told_of_a_tag_without_anything_to_run_and_of_its_end(here: World) -> None:
    machine = here.machine()
    hold = hang(here)
    visited = here.visit(machine, machine.report())
    assert told(here, visited) == [hold.id]
    (tag,) = items(here, visited)[0].tags  # type: ignore[union-attr]
    assert (tag.name, tag.reason, tag.number, tag.by) == ("Gun", "The pump is open.", "PTW-118", "plane")
    assert tag.where
    known = takes(here, machine, visited)
    assert known.answer is None
    assert here.device(machine).held == holds.digest([hold.id])
    lift(here, hold)
    lifted = here.visit(machine, machine.report(epoch=1, counter=1))
    assert told(here, lifted) == []
    assert takes(here, machine, lifted).answer is None
    assert here.device(machine).held == ""


def test_one_paper_says_what_hangs_and_what_to_run_the_tags_first(here: World) -> None:
    machine = here.machine()
    assigned, hold = here.assign(machine), hang(here)
    visited = here.visit(machine, machine.report())
    tags, deploy = items(here, visited)
    assert isinstance(tags, exchange.Hold)
    assert isinstance(deploy, Deploy)
    assert ([each.id for each in tags.tags], deploy.attempt) == ([hold.id], assigned.attempt)
    waits = takes(here, machine, visited, state=State.HELD, attempt=assigned.attempt)
    assert waits.answer is None
    assert here.device(machine).state is State.HELD


def test_a_device_that_fetches_is_told_of_a_tag_and_not_of_its_attempt_again(here: World) -> None:
    machine = here.machine()
    assigned = here.assign(machine)
    takes(here, machine, here.visit(machine, machine.report()), state=State.FETCHING, attempt=assigned.attempt)
    hold = hang(here)
    visited = here.visit(machine, machine.report(epoch=1, counter=1))
    assert [type(each) for each in items(here, visited)] == [exchange.Hold]
    assert told(here, visited) == [hold.id]


def test_an_order_that_waits_on_the_device_is_not_given_again_for_the_tags_it_came_with(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    hang(here)
    visited = here.visit(machine, machine.report())
    after = takes(here, machine, visited)  # it knows of the tag, and has not begun the attempt
    assert after.answer is None
    assert here.visit(machine, machine.report(epoch=1, counter=1)).answer is None


def test_orders_with_a_tag_that_was_lifted_meanwhile_are_not_given(here: World) -> None:
    machine = here.machine()
    assigned, hold = here.assign(machine), hang(here)
    first = here.visit(machine, machine.report())
    lift(here, hold)
    again = here.visit(machine, machine.report())
    assert here.orders(again).counter > here.orders(first).counter
    (deploy,) = items(here, again)
    assert isinstance(deploy, Deploy)
    assert deploy.attempt == assigned.attempt


def test_what_was_to_run_and_no_longer_is_does_not_come_along_with_a_tag(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    hang(here)
    here.visit(machine, machine.report())
    here.unassign(machine)
    assert [type(each) for each in items(here, here.visit(machine, machine.report()))] == [exchange.Hold]


def test_the_same_bytes_are_given_until_something_else_hangs(here: World) -> None:
    machine = here.machine()
    hang(here)
    first = here.visit(machine, machine.report()).answer
    assert here.visit(machine, machine.report()).answer == first
    hang(here, "And the valve too.")
    second = here.visit(machine, machine.report())
    assert second.answer != first
    assert len(told(here, second)) == 2


def test_a_device_is_told_of_the_oldest_tags_and_of_others_as_these_are_lifted(here: World) -> None:
    machine = here.machine()
    there = [hang(here, f"Reason {number}.") for number in range(holds.TOLD + 2)]
    visited = here.visit(machine, machine.report())
    assert told(here, visited) == [each.id for each in there[: holds.TOLD]]
    assert takes(here, machine, visited).answer is None
    lift(here, there[0])
    after = here.visit(machine, machine.report(epoch=1, counter=1))
    assert told(here, after) == [each.id for each in there[1 : holds.TOLD + 1]]


def test_a_tag_of_the_device_itself_is_noted_and_asks_for_no_order(here: World) -> None:
    machine = here.machine()
    local = Tag(id=here.new_id(), name="Ola", reason="I am inside.", at=5, by="device")
    machine.status = Status(state=State.IDLE, held=(local,))
    assert here.visit(machine, machine.first()).answer is None
    device = here.device(machine)
    assert (device.locked, device.held) == (True, "")


def test_a_device_that_speaks_of_tags_nobody_hung_is_told_what_hangs(here: World) -> None:
    machine = here.machine()
    strange = Tag(id=here.new_id(), name="?", reason="?", at=0, by="plane")
    machine.status = Status(state=State.IDLE, held=(strange,))
    assert told(here, here.visit(machine, machine.first())) == []


def test_tags_that_a_device_took_and_lost_are_told_anew_after_ten_minutes(here: World) -> None:
    machine = here.machine()
    hold = hang(here)
    here.visit(machine, machine.report())
    accepted = machine.report(epoch=1, counter=1)
    assert here.visit(machine, accepted).answer is None
    here.later(minutes=10)
    anew = here.visit(machine, accepted)
    assert here.orders(anew).counter == 2
    assert told(here, anew) == [hold.id]


def test_an_agent_that_knows_of_no_tags_is_told_of_none_and_ordered_nothing_while_one_hangs(here: World) -> None:
    machine = here.machine()
    old = {"capability": 2}
    here.visit(machine, machine.report(seq=1, events=machine.events(State.IDLE), **old))
    assigned, hold = here.assign(machine), hang(here)
    assert here.visit(machine, machine.report(**old)).answer is None
    lift(here, hold)
    (deploy,) = items(here, here.visit(machine, machine.report(**old)))
    assert isinstance(deploy, Deploy)
    assert deploy.attempt == assigned.attempt


# What a rollout makes of it


@pytest.mark.parametrize("state", [State.HELD, State.WAITING_PERMIT, State.WAITING_WINDOW])
def test_a_device_that_waits_behind_a_tag_has_not_failed_and_the_next_wave_waits_for_it(state: State) -> None:
    waits = Tally(0, Outcome.OPEN, left=False, silent=False, step=state.value, number=1)
    (canary,) = found = counting.lanes([waits])
    assert (canary.going, canary.failed, canary.silent, dict(canary.steps)) == (1, 0, 0, {state.value: 1})
    assert isinstance(judge(found, 2, canary=True), Stays)


# What memory decides


def test_memory_asks_for_orders_as_long_as_what_hangs_is_not_known(here: World) -> None:
    machine = here.machine()
    hang(here)
    visited = here.visit(machine, machine.report())
    signed, standing, report = visited.signed, visited.standing, machine.report()
    assert signed is not None
    assert due.wanted(standing) == Want("", standing.hung)
    assert due.wanted(replace(standing, hung="", held="ab")) == Want("", holds.NONE)
    offer = Offer("", (1, 1), signed.ends_at, 1_000.0, held=signed.held)
    accepted = machine.report(epoch=1, counter=1)
    assert due.orders(report, standing, None, here.now, 0.0)
    assert not due.orders(report, standing, offer, here.now, 1_001.0)
    assert due.orders(report, standing, offer, here.now, 1_002.0)
    assert due.orders(report, replace(standing, hung="cd"), offer, here.now, 1_001.0)
    assert due.orders(report, replace(standing, hung="", held="ab"), offer, here.now, 1_001.0)
    assert due.again(report, standing, offer, 1_001.0) == 1
    assert not due.orders(accepted, standing, offer, here.now, 1_060.0)
    assert due.again(accepted, standing, offer, 1_001.0) == math.inf
    assert due.orders(accepted, standing, offer, here.now, 1_600.0)
    assert not due.orders(accepted, replace(standing, held=standing.hung), offer, here.now, 1_600.0)
