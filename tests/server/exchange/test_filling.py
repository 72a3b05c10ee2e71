# SPDX-License-Identifier: Apache-2.0
"""From values that people set to a document that one device opens: bound at the start, made with the orders."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from checkvalve.crypto import seal
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.ids import DeviceId, RolloutId, ValueId
from checkvalve.protocol import exchange, values
from checkvalve.protocol.declared import Secret, Variable
from checkvalve.protocol.exchange import State, Status
from checkvalve.server.audit.model import Kind as Told
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import filling, rolling
from checkvalve.server.exchange import visit as visits
from checkvalve.server.rollouts.model import Member, Outcome, Plan
from checkvalve.server.rollouts.model import State as Stage
from checkvalve.server.values import locking, writes
from checkvalve.server.values.model import DEVICE, Entry, Key, Kind
from tests.parts import stock
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World
from tests.server.rollouts.world import RELEASE

DIGEST = RELEASE.partition("@")[2]
PASSWORD = "a planted secret"
TOGETHER = Plan(canary=0)


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    made = World(database, new_id, now)
    made.install()
    stock.release(
        database,
        made.new_id(),
        RELEASE,
        now,
        version="2.4.1",
        scope=made.org,
        v=2,
        variables=(Variable(name="ADDRESS", kind="address"), Variable(name="ZONE", default="west")),
        secrets=(Secret(name="password"),),
    )
    return made


def put(here: World, place: str, name: str, content: str | None, kind: Kind = Kind.VARIABLE) -> Entry:
    """Set a value."""
    ident = ValueId(here.new_id())
    data = None if content is None else content.encode()
    if kind is Kind.SECRET and data is not None:
        data = locking.locked(world.VALUES, ident, data)
    entry = Entry(ident, place, here.site, Key("", kind, name), data, current=True, made_by="ann", made_at=here.now)
    here.database.write_now("put", writes.put, [entry])
    return entry


def member(here: World, rollout: RolloutId, machine: Machine) -> Member:
    seats = here.seats(rollout).values()
    return next(seat.member for seat in seats if seat.device.id == machine.id)


def taken(here: World, machine: Machine) -> tuple[exchange.Deploy, values.Values | None]:
    """Let a device take its orders and run them; return them, and what fills the release."""
    orders = here.orders(here.visit(machine, machine.report()))
    item = exchange.item(orders.items[0])
    assert isinstance(item, exchange.Deploy)
    digest = "sha256:" + item.target.rpartition("/")[2].removesuffix(".json")
    machine.status = Status(state=State.COMMITTED, attempt=item.attempt, active=digest, values=item.filled)
    here.visit(machine, machine.first(epoch=orders.epoch, counter=orders.counter))
    here.visit(machine, machine.report(receipts=(machine.receipt(item.attempt, release=digest, active=digest),)))
    return item, values.read(document(here, machine, item.filled)) if item.filled else None


def document(here: World, machine: Machine, digest: str) -> bytes:
    return here.database.read_now("values", filling.document, DeviceId(machine.id), digest)


def done(here: World, rollout: RolloutId) -> None:
    """Let the plane see that it is over, so that its devices are free again."""
    here.database.write_now("advance", rolling.advance, rollout, here.now, here.now, here.new_id)
    assert here.rollout(rollout).state is Stage.DONE


def test_a_start_is_refused_until_every_device_has_what_the_release_needs(here: World) -> None:
    here.machine()
    with pytest.raises(ConflictError) as refused:
        here.started(here.maker, plan=TOGETHER)
    assert refused.value.code == "rollout.values_lacking"
    assert "ADDRESS has no value" in refused.value.sentence
    put(here, here.org, "ADDRESS", "10.0.0.1")
    put(here, here.org, "password", PASSWORD, Kind.SECRET)
    here.started(here.maker, plan=TOGETHER)


def test_each_device_gets_what_is_nearest_to_it_and_only_it_opens_the_secret(here: World) -> None:
    first, second = here.machine(), here.machine()
    put(here, here.org, "ADDRESS", "10.0.0.1")
    put(here, here.site, "password", PASSWORD, Kind.SECRET)
    put(here, DEVICE + second.id, "ADDRESS", "10.0.0.2")
    here.started(here.maker, plan=TOGETHER)
    given = {machine.id: taken(here, machine) for machine in (first, second)}
    for machine, address in ((first, "10.0.0.1"), (second, "10.0.0.2")):
        item, filled = given[machine.id]
        assert filled is not None
        assert (filled.device, filled.release, filled.variables) == (machine.id, DIGEST, {"ADDRESS": address})
        sealed = filled.secrets["password"]
        context = values.context(machine.id, "password", sealed.version)
        assert seal.open_(machine.key, sealed.data, context) == PASSWORD.encode()
        assert PASSWORD.encode() not in document(here, machine, item.filled)
    with pytest.raises(NotFoundError):
        document(here, second, given[first.id][0].filled)


def test_what_is_set_after_the_start_is_another_rollout(here: World) -> None:
    machine = here.machine()
    put(here, here.org, "password", PASSWORD, Kind.SECRET)
    put(here, here.org, "ADDRESS", "10.0.0.1")
    first = here.started(here.maker, plan=TOGETHER)
    put(here, here.org, "ADDRESS", "10.0.0.9")
    _, filled = taken(here, machine)
    assert filled is not None
    assert filled.variables == {"ADDRESS": "10.0.0.1"}
    done(here, first)
    second = here.started(here.maker, plan=TOGETHER)
    _, filled = taken(here, machine)
    assert filled is not None
    assert filled.variables == {"ADDRESS": "10.0.0.9"}
    done(here, second)
    with pytest.raises(ConflictError) as refused:
        here.started(here.maker, plan=TOGETHER)
    assert refused.value.code == "rollout.nothing_to_do"


def test_a_rotated_secret_is_a_rollout_and_undoing_it_brings_the_old_document_back(here: World) -> None:
    machine = here.machine()
    put(here, here.org, "ADDRESS", "10.0.0.1")
    put(here, here.org, "password", PASSWORD, Kind.SECRET)
    first = here.started(here.maker, plan=TOGETHER)
    before, _ = taken(here, machine)
    done(here, first)
    put(here, here.org, "password", "another", Kind.SECRET)
    second = here.started(here.maker, plan=TOGETHER)
    after, filled = taken(here, machine)
    assert filled is not None
    assert after.filled != before.filled
    assert after.target == before.target
    assert member(here, second, machine).given_before == before.filled
    undo = here.undo(here.maker, second)
    back, _ = taken(here, machine)
    assert back.filled == before.filled
    assert member(here, undo.id, machine).binding == before.filled


def test_a_secret_that_the_plane_cannot_open_fails_that_device_and_says_why(here: World) -> None:
    machine = here.machine()
    put(here, here.org, "ADDRESS", "10.0.0.1")
    entry = put(here, here.org, "password", PASSWORD, Kind.SECRET)
    rollout = here.started(here.maker, plan=TOGETHER)
    other = replace(here.ground, values=bytes(32))
    device = DeviceId(machine.id)
    visited = here.database.write_now(
        "visit", visits.visit, other, device, machine.fingerprint, machine.report(), held=False, give=True
    )
    assert visited.answer is None or visited.answer.orders is None
    failed = member(here, rollout, machine)
    assert (failed.outcome, failed.code) == (Outcome.REFUSED, "seal.closed")
    assert entry.key.name in failed.reason
    assert here.assignment(device) is None
    here.visit(machine, machine.report())
    (told,) = here.entries("values.deliver")
    assert (told.kind, told.subject, told.facts["code"]) == (Told.REFUSED, f"device:{device}", "seal.closed")
    assert rollout in told.reason
    assert PASSWORD.encode() not in told.data
