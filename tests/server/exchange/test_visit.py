# SPDX-License-Identifier: Apache-2.0
"""A visit: what a report brings is kept once, what is due is said, and a copy is shut out."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve.crypto import digests, envelope
from checkvalve.ids import DeviceId
from checkvalve.protocol import exchange, receipt
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, Report, State, Status, Workload
from checkvalve.server.audit.model import Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import due
from checkvalve.server.exchange.due import Offer
from checkvalve.server.exchange.ground import milliseconds
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Line, Trust
from tests.parts.machine import Machine, line
from tests.server.exchange import world
from tests.server.exchange.world import World

STATES = (State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING, State.COMMITTED)
OTHER = "06e5q0kq3w8v9z2x4c6b8n0m2b"


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def kept(here: World, machine: Machine) -> list[Line]:
    return here.database.read_now("lines", fleet_queries.lines, DeviceId(machine.id))


def twice(here: World, machine: Machine, report: Report) -> exchange.Answer | None:
    """Let it report twice; the second time leaves every row as it was but for the moment, and says the same."""
    first = here.visit(machine, report)
    rows = here.rows()
    again = here.visit(machine, report)
    assert here.rows() == rows
    assert (again.answer, again.standing) == (first.answer, first.standing)
    return first.answer


# Status


def test_a_status_that_is_not_known_is_asked_for_and_then_kept(here: World) -> None:
    machine = Machine()
    machine.take(here.join(machine.join(here.token())))
    asked = here.visit(machine, machine.report()).answer
    assert asked is not None
    assert asked.tell
    assert twice(here, machine, machine.first()) is None
    assert msgspec.json.decode(here.device(machine).status, type=Status) == machine.status
    assert here.visit(machine, machine.report()).answer is None


def test_what_a_device_says_of_itself_can_be_found(here: World) -> None:
    machine = here.machine()
    machine.status = Status(state=State.DEGRADED, attempt=OTHER, active="sha256:aa", workloads=())
    machine.clock = milliseconds(here.now) + 90_000
    twice(here, machine, machine.first(epoch=1, counter=7))
    device = here.device(machine)
    assert (device.state, device.attempt, device.active) == (State.DEGRADED, OTHER, "sha256:aa")
    assert (device.offset, device.epoch, device.counter, device.seen_at) == (90_000, 1, 7, here.now)


def test_how_many_services_crash_is_the_devices_own_word_and_ends_with_it(here: World) -> None:
    machine, box = here.machine(), Workload(service="web", image="sha256:aa", state="running")
    counts = []
    for crashes in ((2, 0, 7), (0, 0, 8), (0, 0, 0)):
        boxes = (msgspec.structs.replace(box, crashes=crashes[0]), msgspec.structs.replace(box, crashes=crashes[1]))
        other = msgspec.structs.replace(box, service="db", crashes=crashes[2])
        machine.status = Status(state=State.COMMITTED, active="sha256:aa", workloads=(*boxes, other))
        twice(here, machine, machine.first())
        counts.append(here.device(machine).crashing)
    assert counts == [2, 1, 0]


def test_a_device_that_says_it_observes_does_and_says_so_once_in_the_record(here: World) -> None:
    machine = here.machine()
    machine.status = Status(state=State.IDLE, observe=True)
    twice(here, machine, machine.first())
    assert here.device(machine).trust is Trust.OBSERVE
    machine.status = Status(state=State.IDLE)
    twice(here, machine, machine.first())
    assert here.device(machine).trust is Trust.ACCEPTED
    assert here.acts()[:2] == ["device.observe", "device.observe"]


# Lines


def test_lines_are_kept_as_they_came_and_acknowledged(here: World) -> None:
    machine = here.machine()
    events = machine.events(*STATES, attempt=OTHER)
    answer = twice(here, machine, machine.report(events=events))
    assert answer is not None
    assert answer.known == len(STATES)
    assert [each.line for each in kept(here, machine)] == [line(event) for event in events]
    assert [each.state for each in kept(here, machine)] == list(STATES)


def test_lines_that_do_not_follow_wait_for_those_before(here: World) -> None:
    machine = here.machine()
    events = machine.events(*STATES)
    answer = here.visit(machine, machine.report(events=events[2:])).answer
    assert answer is not None
    assert answer.known == 0
    assert kept(here, machine) == []
    answer = here.visit(machine, machine.report(events=(*events[:2], *events[3:]))).answer
    assert answer is not None
    assert answer.known == 2


def test_a_device_that_has_lines_it_does_not_send_is_told_which_follow(here: World) -> None:
    machine = here.machine()
    machine.events(*STATES)
    answer = here.visit(machine, machine.report()).answer
    assert answer is not None
    assert answer.known == 0


def test_lines_that_are_gone_from_the_journal_of_a_device_may_be_left_out_if_it_says_so(here: World) -> None:
    machine = here.machine()
    machine.seq = 42
    lines = (Event(seq=41, at=0, kind="note"), Event(seq=42, at=0, kind="boot"))
    answer = here.visit(machine, machine.report(events=lines, oldest=30)).answer
    assert answer is not None
    assert answer.known == 0, "30 to 40 are there, and come first"
    answer = here.visit(machine, machine.report(events=lines, oldest=41)).answer
    assert answer is not None
    assert answer.known == 42


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12))
def test_whatever_pieces_come_in_whatever_order_the_kept_lines_are_the_journals_beginning(
    here: World, pieces: list[tuple[int, int]]
) -> None:
    machine = here.machine()
    events = machine.events(*(STATES * 2))
    known = 0
    for start, length in pieces:
        report = machine.report(events=events[start : start + length])
        answer = here.visit(machine, report).answer
        known = max(known, start + len(events[start : start + length])) if start <= known else known
        assert answer is None or answer.known == known
        assert here.device(machine).known == known
    assert [each.line for each in kept(here, machine)] == [line(event) for event in events[:known]]


def test_another_journal_of_a_known_device_is_an_entry_and_its_lines_begin_anew(here: World) -> None:
    machine = here.machine()
    here.visit(machine, machine.report(events=machine.events(*STATES)))
    machine.journal, machine.seq = OTHER, 0
    answer = twice(here, machine, machine.report(events=machine.events(State.IDLE)))
    assert answer is not None
    assert answer.known == 1
    assert here.acts()[0] == "device.journal"
    assert len(kept(here, machine)) == len(STATES) + 1


# Receipts


def test_a_receipt_is_kept_once_with_its_signature_and_acknowledged(here: World) -> None:
    machine = here.machine()
    sealed = machine.receipt(OTHER, State.ROLLED_BACK, code="gate.exit", reason="web ended with 1.")
    digest = digests.sha256_hex(sealed.payload)
    answer = twice(here, machine, machine.report(receipts=(sealed,)))
    assert answer is not None
    assert answer.receipts == (digest,)
    found = here.database.read_now("receipt", fleet_queries.receipt, digest)
    assert (found.outcome, found.code, found.scope) == (State.ROLLED_BACK, "gate.exit", here.site)
    assert receipt.verified(envelope.read(found.envelope), machine.key.public_key()).attempt == OTHER
    assert here.acts()[0] == "device.receipt"


def _altered(machine: Machine, other: Machine) -> envelope.Envelope:
    del other
    sealed = machine.receipt(OTHER)
    return msgspec.structs.replace(sealed, payload=sealed.payload.replace(b"committed", b"refused!!"))


BAD: dict[str, tuple[Callable[[Machine, Machine], envelope.Envelope], str]] = {
    "of another device": (lambda _, other: other.receipt(OTHER), "receipt.signature"),
    "speaking of another device": (lambda machine, other: machine.receipt(OTHER, device=other.id), "receipt.device"),
    "altered": (_altered, "receipt.signature"),
    "of another kind": (lambda machine, _: envelope.seal(machine.key, exchange.ORDERS, b"{}"), "envelope.kind"),
    "of no form": (lambda machine, _: envelope.seal(machine.key, receipt.RECEIPT, b"{}"), "receipt.form"),
    "of no JSON": (lambda machine, _: envelope.seal(machine.key, receipt.RECEIPT, b"\xff"), "canonical.form"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_receipt_that_is_not_the_devices_own_is_refused_once_and_does_not_come_for_ever(
    here: World, case: str
) -> None:
    make, code = BAD[case]
    machine, other = here.machine(), here.machine()
    sealed = make(machine, other)
    answer = twice(here, machine, machine.report(receipts=(sealed, machine.receipt(OTHER))))
    assert answer is not None
    assert len(answer.receipts) == 2
    refused = [each for each in here.entries("device.receipt") if each.kind is Kind.REFUSED]
    assert [(each.facts["code"], each.actor.id) for each in refused] == [(code, machine.id)]
    assert len(here.database.read_now("receipts", fleet_queries.receipts, DeviceId(machine.id))) == 1


# Orders


def test_an_assigned_device_is_given_signed_orders_until_it_takes_them(here: World) -> None:
    machine = here.machine()
    assigned = here.assign(machine)
    visited = here.visit(machine, machine.report())
    orders = here.orders(visited)
    assert (orders.plane, orders.device, orders.epoch, orders.counter) == (world.PLANE, machine.id, 1, 1)
    assert orders.expires_at - orders.issued_at == 3_600_000
    item = exchange.item(orders.items[0])
    assert item == exchange.Deploy(attempt=assigned.attempt, target=assigned.target)
    here.later(minutes=30)
    again = here.visit(machine, machine.report())
    assert again.answer == visited.answer
    taken = here.visit(machine, machine.report(epoch=orders.epoch, counter=orders.counter))
    assert taken.answer is None
    assert taken.signed == visited.signed


def test_orders_end_when_the_device_reports_their_attempt(here: World) -> None:
    machine = here.machine()
    assigned = here.assign(machine)
    machine.status = Status(state=State.FETCHING, attempt=assigned.attempt)
    visited = here.visit(machine, machine.first(epoch=1, counter=1))
    assert visited.signed is None
    assert visited.standing.taken == assigned.attempt


def test_orders_that_ran_out_are_signed_anew_with_the_next_number(here: World) -> None:
    machine, other = here.machine(), here.machine()
    here.assign(machine)
    here.assign(other)
    first, second = here.orders(here.visit(machine, machine.report())), here.orders(here.visit(other, other.report()))
    here.later(hours=1)
    third = here.orders(here.visit(machine, machine.report(epoch=1, counter=first.counter)))
    assert (first.counter, second.counter, third.counter) == (1, 2, 3)


def test_another_attempt_is_ordered_at_once_while_the_orders_before_are_good(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    here.visit(machine, machine.report())
    other = here.assign(machine)
    orders = here.orders(here.visit(machine, machine.report()))
    item = exchange.item(orders.items[0])
    assert isinstance(item, exchange.Deploy)
    assert item.attempt == other.attempt


def test_orders_of_a_device_that_comes_once_per_interval_are_good_for_a_week(here: World) -> None:
    machine = here.machine(LinkClass.ASYNC)
    here.assign(machine)
    orders = here.orders(here.visit(machine, machine.report()))
    assert orders.expires_at - orders.issued_at == 7 * 86_400_000


def test_an_unassigned_device_is_ordered_nothing(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    here.visit(machine, machine.report())
    here.unassign(machine)
    assert here.visit(machine, machine.report()).answer is None


def test_orders_are_signed_only_to_be_given(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    visited = here.visit(machine, machine.report(), give=False)
    assert (visited.answer, visited.signed) == (None, None)
    here.visit(machine, machine.report())
    visited = here.visit(machine, machine.report(), give=False)
    assert visited.answer is None
    assert visited.signed is not None


# Copies, and who is shut out


def test_a_report_of_a_generation_left_behind_shuts_both_copies_out_and_keeps_nothing_of_it(here: World) -> None:
    machine = here.machine()
    copy = replace(machine)
    machine.generation = here.renewed(machine.renewal(here.time)).generation
    here.visit(machine, machine.report())
    copied = here.visit(copy, copy.report(events=copy.events(State.SWITCHING)))
    assert (copied.standing.trust, copied.answer) == (Trust.QUARANTINED, None)
    assert kept(here, machine) == []
    rows = here.rows()
    assert here.visit(machine, machine.report(events=machine.events(State.IDLE))).answer is None
    assert here.rows() == rows


def test_a_report_that_was_held_here_accuses_nobody(here: World) -> None:
    machine = here.machine()
    held = machine.report()
    machine.generation = here.renewed(machine.renewal(here.time)).generation
    here.visit(machine, machine.report())
    rows = here.rows()
    assert here.visit(machine, held, held=True).standing.trust is Trust.ACCEPTED
    assert here.rows() == rows


@pytest.mark.parametrize("trust", [Trust.QUARANTINED, Trust.RETIRED])
def test_nothing_is_taken_of_a_device_that_is_shut_out(here: World, trust: Trust) -> None:
    machine = here.machine()
    here.run(sa.update(schema.devices).values(trust=trust.value))
    rows = here.rows()
    report = machine.report(events=machine.events(State.IDLE), receipts=(machine.receipt(OTHER),), generation=0)
    assert here.visit(machine, report).answer is None
    assert here.rows() == rows


def test_another_key_of_a_known_id_says_nothing_for_it(here: World) -> None:
    machine, other = here.machine(), Machine()
    other.id = machine.id
    rows = here.rows()
    assert here.visit(other, other.report(events=other.events(State.IDLE), generation=0)).answer is None
    assert here.rows() == rows


# What memory decides


def test_a_report_is_news_if_anything_of_it_is(here: World) -> None:
    machine = here.machine()
    standing = here.visit(machine, machine.report()).standing
    idle = machine.report()
    assert not due.news(idle, standing)
    assert not due.news(machine.first(), standing)
    assert not due.news(msgspec.structs.replace(idle, clock=7, wait=55, capability=9), standing)
    changed = {
        "state": "0" * 64,
        "seq": 1,
        "journal": OTHER,
        "generation": 2,
        "counter": 1,
        "epoch": 1,
        "events": machine.events(State.IDLE),
        "receipts": (machine.receipt(OTHER),),
    }
    for name, value in changed.items():
        assert due.news(msgspec.structs.replace(idle, **{name: value}), standing), name


def test_orders_are_given_again_later_and_later_and_not_after_they_were_accepted(here: World) -> None:
    machine = here.machine()
    here.assign(machine)
    visited = here.visit(machine, machine.report())
    signed, standing, report = visited.signed, visited.standing, machine.report()
    assert signed is not None
    offer = Offer(signed.attempt, (1, 1), signed.ends_at, 1_000.0)
    accepted = machine.report(epoch=1, counter=1)
    assert due.orders(report, standing, None, here.now, 0.0)
    for times, pause in ((1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (1_000, 60.0)):
        given = replace(offer, times=times)
        assert not due.orders(report, standing, given, here.now, 1_000.0 + pause - 0.1)
        assert due.orders(report, standing, given, here.now, 1_000.0 + pause)
        assert due.again(report, standing, given, 1_001.0) == pause - 1
    assert due.again(accepted, standing, offer, 1_001.0) == math.inf
    assert due.again(report, replace(standing, wanted=OTHER), offer, 1_001.0) == math.inf
    assert due.again(report, replace(standing, taken=standing.wanted), offer, 1_001.0) == math.inf
    assert not due.orders(accepted, standing, offer, here.now, 1_060.0)
    assert due.orders(accepted, standing, offer, signed.ends_at, 1_060.0)
    assert due.orders(report, replace(standing, wanted=OTHER), offer, here.now, 1_001.0)
    assert not due.orders(report, replace(standing, wanted=""), offer, here.now, 2_000.0)
    assert not due.orders(report, replace(standing, taken=standing.wanted), offer, here.now, 2_000.0)
