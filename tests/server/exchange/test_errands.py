# SPDX-License-Identifier: Apache-2.0
"""Errands on their way to devices, told with what else is ordered and not twice; and words on them, good and bad."""

import itertools
import math
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve import ids
from checkvalve.crypto import digests, envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.ids import DeviceId, HoldId, PersonId
from checkvalve.protocol import errand as messages
from checkvalve.protocol import exchange
from checkvalve.protocol.errand import Bundle, Content, Logs, Reboot, Restart
from checkvalve.protocol.exchange import Deploy, Item, Orders, State
from checkvalve.server.audit.model import Kind as Recorded
from checkvalve.server.db.database import Database
from checkvalve.server.errands import actions, queries, writes
from checkvalve.server.errands import model as errands
from checkvalve.server.errands.model import Errand, Kind
from checkvalve.server.exchange import due
from checkvalve.server.exchange.due import Offer, Want
from checkvalve.server.exchange.ground import milliseconds
from checkvalve.server.exchange.visit import Visited
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet.model import Hold, Signed
from tests.conftest import NOON
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World

BY = PersonId("0" * 26)
FILE = Content(digest="sha256:" + "fe" * 32, size=2_000)


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def row(here: World, errand: Errand) -> Errand:
    return here.database.read_now("errand", queries.errand, errand.id)


def items(here: World, visited: Visited) -> list[Item | str]:
    return [exchange.item(each) for each in here.orders(visited).items]


def named(orders: Orders) -> list[str]:
    """Return the ids of the errands that orders name."""
    found = [exchange.item(each) for each in orders.items]
    return [each.id for each in found if isinstance(each, messages.Errand)]


def takes(here: World, machine: Machine, orders: Orders) -> Visited:
    """Let a device say that it has taken orders."""
    return here.visit(machine, machine.report(epoch=orders.epoch, counter=orders.counter))


# To the device


def test_each_kind_comes_as_what_was_asked_for_in_one_paper_once(here: World) -> None:
    machine = here.machine()
    asked = [
        here.errand(machine, Kind.LOGS, service="web", since=7_200, lines=50),
        here.errand(machine, Kind.RESTART),
        here.errand(machine, Kind.BUNDLE),
        here.errand(machine, Kind.REBOOT),
    ]
    assert row(here, asked[0]).given_at is None
    until = milliseconds(asked[0].until)
    visited = here.visit(machine, machine.report())
    assert items(here, visited) == [
        Logs(id=asked[0].id, until=until, service="web", since=7_200, lines=50),
        Restart(id=asked[1].id, until=until, service="web"),
        Bundle(id=asked[2].id, until=until),
        Reboot(id=asked[3].id, until=until),
    ]
    assert row(here, asked[3]).given_at == here.now
    assert here.visit(machine, machine.report()).answer == visited.answer, "until it takes them: the same bytes"
    orders = here.orders(visited)
    assert takes(here, machine, orders).answer is None
    here.later(days=2)
    assert takes(here, machine, orders).answer is None, "it works; nothing is told anew, however old the paper is"


def test_one_paper_says_what_hangs_what_to_do_and_what_to_run_in_this_order(here: World) -> None:
    machine = here.machine()
    errand, assigned = here.errand(machine), here.assign(machine)
    hold = Hold(HoldId(here.new_id()), here.org, None, "Gun", "The pump is open.", "", BY, here.now)
    here.database.write_now("hang", fleet_actions.hang, here.act(BY), hold)
    tags, logs, deploy = items(here, here.visit(machine, machine.report()))
    assert isinstance(tags, exchange.Hold)
    assert isinstance(logs, Logs)
    assert isinstance(deploy, Deploy)
    assert (logs.id, deploy.attempt) == (errand.id, assigned.attempt)


def test_what_is_ordered_meanwhile_comes_in_another_paper_and_what_was_cancelled_in_none(here: World) -> None:
    machine = here.machine()
    first = here.errand(machine)
    paper = here.orders(here.visit(machine, machine.report()))
    second = here.errand(machine, Kind.BUNDLE)
    another = here.orders(here.visit(machine, machine.report()))
    assert (named(another), another.counter > paper.counter) == ([first.id, second.id], True)
    here.database.write_now("cancel", actions.cancel, here.act(BY), first.id, "")
    last = here.orders(here.visit(machine, machine.report()))
    assert named(last) == [second.id]
    here.database.write_now("cancel", actions.cancel, here.act(BY), second.id, "")
    assert here.visit(machine, machine.report()).answer is None


def test_an_agent_that_was_put_back_to_an_older_one_is_told_of_no_errand(here: World) -> None:
    machine = here.machine()
    here.errand(machine)
    old = {"capability": 3}
    assert here.visit(machine, machine.report(seq=1, events=machine.events(State.IDLE), **old)).signed is None
    assigned = here.assign(machine)
    (deploy,) = items(here, here.visit(machine, machine.report(**old)))
    assert isinstance(deploy, Deploy)
    assert deploy.attempt == assigned.attempt
    assert len(items(here, here.visit(machine, machine.report()))) == 2


# Back from it


def test_a_word_ends_an_errand_once_and_is_acknowledged_each_time_with_the_receipts(here: World) -> None:
    machine = here.machine()
    errand = here.errand(machine, Kind.RESTART)
    orders = here.orders(here.visit(machine, machine.report()))
    sealed, receipt = machine.done(errand.id, "restart", reason="web runs."), machine.receipt(here.new_id())
    report = machine.report(epoch=orders.epoch, counter=orders.counter, receipts=(sealed, receipt))
    visited = here.visit(machine, report)
    assert visited.answer is not None
    assert set(visited.answer.receipts) == {envelope.digest(sealed), envelope.digest(receipt)}
    assert visited.standing.errands == ""
    ended = row(here, errand)
    assert (ended.state, ended.reason, ended.digest) == (errands.State.DONE, "web runs.", envelope.digest(sealed))
    assert ended.envelope == envelope.write(sealed)
    rows = {name: rows for name, rows in here.rows().items() if name != "devices"}
    again = here.visit(machine, report).answer
    assert again is not None
    assert set(again.receipts) == set(visited.answer.receipts)
    assert {name: rows for name, rows in here.rows().items() if name != "devices"} == rows
    (entry,) = here.entries("errand.end")
    assert (entry.actor.kind, entry.actor.id, entry.kind) == ("device", machine.id, Recorded.OUTCOME)


def test_a_word_whose_file_has_not_come_is_not_acknowledged_and_comes_again(here: World) -> None:
    machine = here.machine()
    errand = here.errand(machine)
    sealed = machine.done(errand.id, content=FILE)
    report = machine.report(receipts=(sealed,))
    first = here.visit(machine, report).answer
    assert first is not None
    assert first.receipts == ()
    assert row(here, errand).state is errands.State.WAITING
    here.database.write_now("brought", writes.brought, errand.id, FILE.digest, FILE.size)
    second = here.visit(machine, report).answer
    assert second is not None
    assert second.receipts == (envelope.digest(sealed),)
    assert (row(here, errand).state, row(here, errand).content) == (errands.State.DONE, FILE.digest)


def _bad(here: World, machine: Machine, other: Machine, errand: Errand, foreign: Errand) -> dict[str, Envelope]:
    """Return words that are not taken, by the code of the refusal."""
    stranger = Machine(key=keys.make(), id=machine.id)
    return {
        "errand.signature": stranger.done(errand.id),
        "errand.foreign": machine.done(errand.id, device=other.id),
        "errand.foreign, of another's": machine.done(foreign.id),
        "errand.not_found": machine.done(here.new_id()),
        "errand.not_found, no id": machine.done("' OR 1=1 --"),
        "errand.kind": machine.done(errand.id, "reboot"),
        "errand.form": envelope.seal(machine.key, messages.ERRAND, b'{"v":1}'),
        "canonical.form": envelope.seal(machine.key, messages.ERRAND, b"{" * 1_000),
        "errand.size": envelope.seal(machine.key, messages.ERRAND, b"1" * (messages.LARGEST + 1)),
    }


def test_words_that_are_not_the_devices_own_are_recorded_as_refused_once_and_do_not_come_for_ever(here: World) -> None:
    machine, other = here.machine(), here.machine()
    errand, foreign = here.errand(machine), here.errand(other)
    bad = _bad(here, machine, other, errand, foreign)
    for _ in range(2):
        for sealed in bad.values():
            answer = here.visit(machine, machine.report(receipts=(sealed,))).answer
            assert answer is not None
            assert answer.receipts == (digests.sha256_hex(sealed.payload),)
    refused = {each.subject: each.facts["code"] for each in here.entries("errand.end")}
    assert len(here.entries("errand.end")) == len(bad)
    assert refused == {f"receipt:{envelope.digest(sealed)}": code.split(",")[0] for code, sealed in bad.items()}
    for each in (errand, foreign):
        assert row(here, each).state is errands.State.WAITING


def test_the_first_word_stays_and_the_second_is_in_the_record(here: World) -> None:
    machine = here.machine()
    errand = here.errand(machine)
    words = [machine.done(errand.id, outcome=outcome) for outcome in ("refused", "done")]
    for sealed in words:
        answer = here.visit(machine, machine.report(receipts=(sealed,))).answer
        assert answer is not None
        assert answer.receipts == (envelope.digest(sealed),)
    assert row(here, errand).state is errands.State.REFUSED
    newest, _ = here.entries("errand.end")
    assert (newest.facts["code"], newest.kind) == ("errand.twice", Recorded.REFUSED)


def test_a_receipt_in_the_clothes_of_a_word_on_an_errand_is_taken_for_neither(here: World) -> None:
    machine = here.machine()
    errand = here.errand(machine)
    word = machine.done(errand.id)
    disguised = msgspec.structs.replace(word, payload_type="application/vnd.checkvalve.receipt+json")
    receipt = msgspec.structs.replace(machine.receipt(here.new_id()), payload_type=messages.ERRAND)
    answer = here.visit(machine, machine.report(receipts=(disguised, receipt))).answer
    assert answer is not None
    assert len(answer.receipts) == 2
    assert row(here, errand).state is errands.State.WAITING
    refused = {each.facts["code"] for each in here.entries() if each.kind is Recorded.REFUSED}
    assert refused == {"receipt.signature", "errand.signature"}


# What memory decides


def test_memory_asks_for_orders_until_the_device_has_taken_all_that_waits(here: World) -> None:
    machine = here.machine()
    errand = here.errand(machine)
    visited = here.visit(machine, machine.report())
    standing, signed = visited.standing, visited.signed
    assert signed is not None
    assert due.wanted(standing) == Want("", "", errand.id)
    assert due.orders(machine.report(), standing, None, here.now, 0.0)
    offer = Offer("", (signed.epoch, signed.counter), signed.ends_at, 100.0, errands=signed.errands)
    assert not due.orders(machine.report(), standing, offer, here.now, 101.0)
    assert due.orders(machine.report(), standing, offer, here.now, 102.0)
    assert due.again(machine.report(), standing, offer, 101.0) == 1.0
    took = machine.report(epoch=signed.epoch, counter=signed.counter)
    for later in (timedelta(0), timedelta(days=3)):
        assert not due.orders(took, standing, offer, here.now + later, 1e6)
    assert due.again(took, standing, offer, 101.0) == math.inf
    here.errand(machine, Kind.BUNDLE)
    more = here.visit(machine, took, give=False).standing
    assert due.orders(took, more, offer, here.now, 101.0), "at once: it is another paper"


IDS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)


@given(told=IDS, waits=IDS, deploys=st.booleans(), minutes=st.integers(0, 90))
def test_memory_and_database_agree_on_whether_a_paper_that_was_taken_says_it_all(
    *, told: list[str], waits: list[str], deploys: bool, minutes: int
) -> None:
    machine, ends_at = Machine(), NOON + timedelta(hours=1)
    want = Want("a" if deploys else "", "", " ".join(waits))
    signed = Signed(DeviceId(""), "a", 1, 5, b"", NOON, ends_at, "", " ".join(told))
    offer = Offer("a", (1, 5), ends_at, 0.0, errands=signed.errands)
    now = NOON + timedelta(minutes=minutes)
    took = due.taken(machine.report(epoch=1, counter=5), signed, want, now)
    assert took == due._covers(offer, want, now)
    assert took == (set(waits) <= set(told) and (not deploys or minutes < 60))


# Whatever happens


@pytest.fixture(scope="module")
def plant(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("errands") / "checkvalve.sqlite"
    shutil.copy(migrated, path)
    database = Database.open(f"sqlite:{path}", path.parent)
    numbers = itertools.count(1)
    yield world.started(database, lambda: ids.encode(1_793_707_200_000, next(numbers).to_bytes(10)), NOON)
    database.close()


DEEDS = st.lists(
    st.sampled_from(["order", "order", "come", "come", "take", "take", "end", "cancel", "wait"]), max_size=18
)


@pytest.mark.slow
@settings(max_examples=20)
@given(DEEDS)
def test_a_device_that_took_the_last_paper_gets_another_only_for_what_was_ordered_since(
    plant: World, deeds: list[str]
) -> None:
    machine = plant.machine()
    papers: list[Orders] = []
    since: list[str] = []  # what was ordered since the last paper was signed
    open_: list[Errand] = []
    taken = (0, 0)
    for deed in deeds:
        if deed == "order" and len(open_) < messages.MOST:
            open_.append(plant.errand(machine, Kind.LOGS, lines=len(since) + 1 + 100 * len(papers)))
            since.append(open_[-1].id)
        elif deed == "come":
            answer = plant.visit(machine, machine.report(epoch=taken[0], counter=taken[1]))
            if answer.answer is None or answer.answer.orders is None:
                waits = plant.database.read_now("waiting", queries.waiting, DeviceId(machine.id))
                assert {one.id for one in waits} <= set().union(*map(named, papers))
                continue
            paper = plant.orders(answer)
            assert (paper.epoch, paper.counter) > taken, "what it took is not given again"
            assert since or paper in papers or taken < (papers[-1].epoch, papers[-1].counter)
            papers.append(paper)
            since.clear()
        elif deed == "take" and papers:
            taken = (papers[-1].epoch, papers[-1].counter)
        elif deed == "end" and open_:
            word = machine.done(open_.pop().id)
            plant.visit(machine, machine.report(epoch=taken[0], counter=taken[1], receipts=(word,)), give=False)
        elif deed == "cancel" and open_:
            plant.database.write_now("cancel", actions.cancel, plant.act(BY), open_.pop(0).id, "")
        elif deed == "wait":
            plant.later(minutes=20)
