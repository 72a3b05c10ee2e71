# SPDX-License-Identifier: Apache-2.0
"""How it ended on a device, as the device says so: noted once in its rollout, in the visit that brought the word."""

from collections.abc import Callable
from datetime import datetime

import pytest

from checkvalve.crypto import digests
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId, RolloutId
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import State, Status
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import fetching
from checkvalve.server.rollouts.model import Member, Outcome, Plan
from tests.parts.machine import Machine
from tests.server.exchange.world import World
from tests.server.rollouts.world import RELEASE

DIGEST = RELEASE.partition("@sha256:")[2]
TOGETHER = Plan(canary=0)


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    made = World(database, new_id, now)
    made.install()
    return made


def member(here: World, rollout: RolloutId, machine: Machine) -> Member:
    seats = here.seats(rollout).values()
    return next(seat.member for seat in seats if seat.device.id == machine.id)


def ordered(here: World, machine: Machine) -> exchange.Deploy:
    """Return what a device is ordered now; it takes it."""
    orders = here.orders(here.visit(machine, machine.report()))
    item = exchange.item(orders.items[0])
    assert isinstance(item, exchange.Deploy)
    machine.status = Status(state=State.FETCHING, attempt=item.attempt)
    here.visit(machine, machine.first(epoch=orders.epoch, counter=orders.counter))
    return item


def fetches(here: World, machine: Machine) -> bool:
    try:
        here.database.read_now("manifest", fetching.manifest, DeviceId(machine.id), DIGEST)
    except NotFoundError:
        return False
    return True


def test_a_receipt_is_noted_once_with_its_reason(here: World) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    attempt = ordered(here, machine).attempt
    sealed = machine.receipt(attempt, State.ROLLED_BACK, code="gate.exit", reason="web ended with 1.")
    visited = here.visit(machine, machine.report(receipts=(sealed,)))
    assert visited.rollouts == (rollout,)
    found = member(here, rollout, machine)
    assert (found.outcome, found.code, found.reason) == (Outcome.ROLLED_BACK, "gate.exit", "web ended with 1.")
    assert found.ended_at == here.now
    here.later(minutes=1)
    rows = {name: rows for name, rows in here.rows().items() if name != "devices"}
    assert here.visit(machine, machine.report(receipts=(sealed,))).rollouts == ()
    assert {name: rows for name, rows in here.rows().items() if name != "devices"} == rows


def test_another_receipt_of_the_same_attempt_is_kept_and_changes_nothing(here: World) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    attempt = ordered(here, machine).attempt
    here.visit(machine, machine.report(receipts=(machine.receipt(attempt),)))
    other = machine.receipt(attempt, State.ROLLED_BACK)
    assert here.visit(machine, machine.report(receipts=(other,))).rollouts == ()
    assert member(here, rollout, machine).outcome is Outcome.COMMITTED


def test_one_that_failed_is_not_ordered_again_and_one_that_took_it_keeps_its_assignment(here: World) -> None:
    good, bad = here.machine(), here.machine()
    here.started(here.maker, plan=TOGETHER)
    for machine, outcome in ((good, State.COMMITTED), (bad, State.REFUSED)):
        attempt = ordered(here, machine).attempt
        machine.status = Status(state=outcome, attempt=attempt)
        here.visit(machine, machine.first(receipts=(machine.receipt(attempt, outcome),)))
    assert here.assignment(DeviceId(good.id)) is not None
    assert here.assignment(DeviceId(bad.id)) is None
    here.later(days=1)
    for machine in (good, bad):
        machine.status = Status(state=State.IDLE)  # as after a new disk
        answer = here.visit(machine, machine.first()).answer
        assert (answer is not None and answer.orders is not None) == (machine is good)


def test_one_that_refused_before_it_began_is_not_ordered_in_the_same_answer(here: World) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    attempt = member(here, rollout, machine).attempt
    answer = here.visit(machine, machine.report(receipts=(machine.receipt(attempt, State.REFUSED),))).answer
    assert answer is not None
    assert answer.orders is None
    assert member(here, rollout, machine).outcome is Outcome.REFUSED


def test_one_that_hangs_says_so_first_and_its_receipt_what_became_of_it(here: World) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    attempt = ordered(here, machine).attempt
    machine.status = Status(state=State.DEGRADED, attempt=attempt, code="engine.start", reason="web does not start.")
    assert here.visit(machine, machine.first()).rollouts == (rollout,)
    found = member(here, rollout, machine)
    assert (found.outcome, found.code, found.reason) == (Outcome.DEGRADED, "engine.start", "web does not start.")
    assert here.assignment(DeviceId(machine.id)) is None
    assert here.visit(machine, machine.first()).rollouts == ()
    sealed = machine.receipt(attempt, State.ROLLED_BACK, code="gate.exit")
    assert here.visit(machine, machine.report(receipts=(sealed,))).rollouts == (rollout,)
    assert member(here, rollout, machine).outcome is Outcome.ROLLED_BACK
    assert here.visit(machine, machine.first()).rollouts == ()
    assert member(here, rollout, machine).outcome is Outcome.ROLLED_BACK


def test_in_one_report_the_end_counts_whatever_else_is_in_it(here: World) -> None:
    machines = [here.machine() for _ in range(4)]
    rollout = here.started(here.maker, plan=TOGETHER)
    for number, machine in enumerate(machines):  # receipts are taken by their digest: in any order
        attempt = ordered(here, machine).attempt
        machine.status = Status(state=State.DEGRADED, attempt=attempt)
        both = [machine.receipt(attempt, each, at=number) for each in (State.DEGRADED, State.ROLLED_BACK)]
        assert here.visit(machine, machine.first(receipts=tuple(both))).rollouts == (rollout,)
        assert member(here, rollout, machine).outcome is Outcome.ROLLED_BACK


def test_what_a_device_says_of_anothers_attempt_changes_nothing_of_it(here: World) -> None:
    mine, other = here.machine(), here.machine()
    rollout = here.started(here.maker, plan=TOGETHER)
    attempt = ordered(here, other).attempt
    mine.status = Status(state=State.DEGRADED, attempt=attempt)
    visited = here.visit(mine, mine.first(receipts=(mine.receipt(attempt, State.ROLLED_BACK),)))
    assert visited.rollouts == ()
    assert member(here, rollout, other).outcome is Outcome.OPEN
    assert here.assignment(DeviceId(other.id)) is not None
    assert here.assignment(DeviceId(mine.id)) is not None


def test_a_receipt_that_another_key_signed_ends_nothing(here: World) -> None:
    machine, other = here.machine(), here.machine()
    rollout = here.started(here.maker, plan=TOGETHER)
    attempt = ordered(here, machine).attempt
    forged = other.receipt(attempt, device=machine.id)
    assert here.visit(machine, machine.report(receipts=(forged,))).rollouts == ()
    assert member(here, rollout, machine).outcome is Outcome.OPEN


@pytest.mark.parametrize("state", [State.IDLE, State.FETCHING, State.ROLLING_BACK])
def test_a_receipt_of_what_is_no_end_is_refused_and_does_not_come_for_ever(here: World, state: State) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    sealed = machine.receipt(ordered(here, machine).attempt, state)
    answer = here.visit(machine, machine.report(receipts=(sealed,))).answer
    assert answer is not None
    assert answer.receipts == (digests.sha256_hex(sealed.payload),)
    refused = [each for each in here.entries("device.receipt") if each.kind is Kind.REFUSED]
    assert [each.facts["code"] for each in refused] == ["receipt.form"]
    assert member(here, rollout, machine).outcome is Outcome.OPEN


def test_what_was_ordered_before_a_pause_may_be_fetched_and_brought_to_its_end(here: World) -> None:
    machine, idle = here.machine(), here.machine()
    rollout = here.started(here.maker, plan=TOGETHER)
    orders = here.orders(here.visit(machine, machine.report()))  # it takes them, and has not said so yet
    here.pause(here.maker, rollout)
    assert here.visit(machine, machine.report()).answer is None
    assert here.visit(idle, idle.report()).answer is None
    assert fetches(here, machine)
    assert not fetches(here, idle)
    attempt = member(here, rollout, machine).attempt
    machine.status = Status(state=State.COMMITTED, attempt=attempt, active=f"sha256:{DIGEST}")
    report = machine.first(epoch=orders.epoch, counter=orders.counter, receipts=(machine.receipt(attempt),))
    assert here.visit(machine, report).rollouts == (rollout,)
    here.resume(here.maker, rollout)
    assert member(here, rollout, machine).outcome is Outcome.COMMITTED
    assert here.assignment(DeviceId(machine.id)) is None
    assert fetches(here, machine), "it runs it, and may have to rebuild it"


def test_after_a_pause_the_same_orders_are_given_again(here: World) -> None:
    machine = here.machine()
    rollout = here.started(here.maker)
    before = here.visit(machine, machine.report()).answer
    here.pause(here.maker, rollout)
    here.resume(here.maker, rollout)
    assert here.visit(machine, machine.report()).answer == before


def test_what_ends_after_a_cancel_is_noted_and_what_took_its_place_stays_ordered(here: World) -> None:
    machine = here.machine()
    first = here.started(here.maker)
    attempt = ordered(here, machine).attempt
    here.cancel(here.maker, first)
    second = here.started(here.maker)
    sealed = machine.receipt(attempt, State.REFUSED, code="deploy.superseded")
    answer = here.visit(machine, machine.report(receipts=(sealed,))).answer
    assert answer is not None
    assert answer.orders is not None
    assert member(here, first, machine).code == "deploy.superseded"
    assert member(here, second, machine).outcome is Outcome.OPEN


def test_a_device_that_was_never_ordered_anything_fetches_nothing(here: World) -> None:
    machine, other = here.machine(), here.machine()
    rollout = here.started(here.maker, plan=Plan(canary=1))
    first, then = (machine, other) if member(here, rollout, machine).wave == 0 else (other, machine)
    assert fetches(here, first)
    assert not fetches(here, then)
    attempt = ordered(here, first).attempt
    here.visit(first, first.report(receipts=(first.receipt(attempt, State.REFUSED),)))
    assert not fetches(here, first), "it has ended with it"


def test_a_device_that_was_brought_back_at_its_cabinet_is_not_ordered_forward_again(here: World) -> None:
    machine = here.machine()
    here.started(here.maker, plan=TOGETHER)
    attempt = ordered(here, machine).attempt
    here.visit(machine, machine.report(receipts=(machine.receipt(attempt),)))
    assert here.assignment(DeviceId(machine.id)) is not None
    by_hand = here.new_id()
    machine.status = Status(state=State.COMMITTED, attempt=by_hand)
    visited = here.visit(machine, machine.first(receipts=(machine.receipt(by_hand),)))
    assert visited.signed is None
    assert here.assignment(DeviceId(machine.id)) is None


def test_what_a_device_has_yet_to_take_stays_ordered_whatever_else_it_did(here: World) -> None:
    machine = here.machine()
    here.started(here.maker, plan=TOGETHER)
    by_hand = here.new_id()
    machine.status = Status(state=State.COMMITTED, attempt=by_hand)
    here.visit(machine, machine.first(receipts=(machine.receipt(by_hand),)))
    assert here.assignment(DeviceId(machine.id)) is not None
