# SPDX-License-Identifier: Apache-2.0
"""Values where the plane's own disk fails it: no room for what a device is to be given, and a database of last week."""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from checkvalve.crypto import seal
from checkvalve.errors import UnavailableError
from checkvalve.ids import DeviceId, RolloutId, ValueId
from checkvalve.protocol import exchange, values
from checkvalve.protocol.declared import Secret, Variable
from checkvalve.protocol.exchange import Deploy, State, Status
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import filling, rolling
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.rollouts.model import Outcome, Plan
from checkvalve.server.rollouts.model import State as Stage
from checkvalve.server.values import locking, queries, writes
from checkvalve.server.values.model import Entry, Key, Kind
from tests.parts import stock
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World
from tests.server.rollouts.world import RELEASE

DIGEST = RELEASE.partition("@")[2]
TOGETHER = Plan(canary=0)


@pytest.fixture
def here(migrated: Path, tmp_path: Path, new_id: Callable[[], str], now: datetime) -> Iterator[World]:
    """Return a plane on SQLite, whose file can be copied and bounded, with a release that takes values."""
    shutil.copy(migrated, tmp_path / "plane.sqlite")
    made = World(Database.open(f"sqlite:{tmp_path / 'plane.sqlite'}", tmp_path), new_id, now)
    made.install()
    declares: dict[str, Any] = {"v": 2, "variables": (Variable(name="NOTE", default=""),)}
    declares["secrets"] = (Secret(name="password"),)
    stock.release(made.database, new_id(), RELEASE, now, version="2.4.1", scope=made.org, **declares)
    yield made
    made.database.close()


def put(here: World, name: str, content: str, kind: Kind) -> None:
    """Set a value for the whole organisation."""
    ident = ValueId(here.new_id())
    data = locking.locked(world.VALUES, ident, content.encode()) if kind is Kind.SECRET else content.encode()
    entry = Entry(ident, here.org, here.org, Key("", kind, name), data, current=True, made_by="ann", made_at=here.now)
    here.database.write_now("put", writes.put, [entry])


def item(here: World, machine: Machine) -> Deploy:
    """Return what a device is ordered to run now."""
    deploy = exchange.item(here.orders(here.visit(machine, machine.report())).items[0])
    assert isinstance(deploy, Deploy)
    return deploy


def runs(here: World, machine: Machine, ordered: Deploy) -> bytes:
    """Let a device take its orders and run them; return the secret that it opens."""
    data = here.database.read_now("values", filling.document, DeviceId(machine.id), ordered.filled)
    sealed = values.read(data).secrets["password"]
    signed = here.database.read_now("signed", fleet_queries.signed, DeviceId(machine.id))
    assert signed is not None
    machine.status = Status(state=State.COMMITTED, attempt=ordered.attempt, active=DIGEST, values=ordered.filled)
    receipt = machine.receipt(ordered.attempt, release=DIGEST, active=DIGEST)
    here.visit(machine, machine.first(epoch=signed.epoch, counter=signed.counter, receipts=(receipt,)))
    return seal.open_(machine.key, sealed.data, values.context(machine.id, "password", sealed.version))


def room(here: World, pages: int) -> None:
    """Let the file of the database grow by so many pages, and no more."""
    there = here.database.on_connection(lambda line: line.exec_driver_sql("PRAGMA page_count").scalar_one())
    here.database.on_connection(lambda line: line.exec_driver_sql(f"PRAGMA max_page_count={there + pages}"))


def test_a_plane_without_room_for_what_a_device_gets_gives_it_nothing_and_all_once_there_is(here: World) -> None:
    machine = here.machine()
    put(here, "password", "planted", Kind.SECRET)
    put(here, "NOTE", "x" * 4_000, Kind.VARIABLE)
    rollout = here.started(here.maker, plan=TOGETHER)
    before = here.rows()
    room(here, 0)
    for _ in range(2):
        with pytest.raises(UnavailableError) as refused:
            here.visit(machine, machine.report())
        assert refused.value.code == "database.unavailable"
    assert here.rows() == before
    (seat,) = here.seats(rollout).values()
    assert seat.member.outcome is Outcome.OPEN
    room(here, 10_000)
    assert runs(here, machine, item(here, machine)) == b"planted"


def test_a_plane_that_forgot_a_rotation_leaves_a_device_as_it_is_and_says_that_it_does_not_know_it(
    here: World, tmp_path: Path
) -> None:
    machine = here.machine()
    put(here, "password", "first", Kind.SECRET)
    _, _, first = _rolled(here, machine)
    _copied(here, tmp_path / "plane.sqlite", tmp_path / "backup")
    put(here, "password", "rotated", Kind.SECRET)
    _, rotated, second = _rolled(here, machine)
    assert (first, second) == (b"first", b"rotated")
    _copied(here, tmp_path / "backup", tmp_path / "plane.sqlite")
    here.now += timedelta(days=7)
    visited = here.visit(machine, machine.first(epoch=1, counter=2))
    assert visited.answer is None or visited.answer.orders is None  # it goes on with what it has
    device = here.device(machine)
    assert (device.active, device.given) == (DIGEST, rotated.filled)
    filled = here.database.read_now("filled", queries.filled, device)
    (row,) = (row for row in filled.rows if row.kind is Kind.SECRET)
    assert (row.runs, row.differs) == (None, True)
    put(here, "password", "rotated", Kind.SECRET)  # what was forgotten is set again, and rolled out again
    _above(here)
    rollout, again, third = _rolled(here, machine)
    assert (again.filled != rotated.filled, third) == (True, b"rotated")
    here.undo(here.maker, rollout)
    assert item(here, machine).filled == rotated.filled  # which only the device has


def _rolled(here: World, machine: Machine) -> tuple[RolloutId, Deploy, bytes]:
    """Roll the release out; return the rollout, what the device was ordered, and the secret that it has now."""
    rollout = here.started(here.maker, plan=TOGETHER)
    ordered = item(here, machine)
    opened = runs(here, machine, ordered)
    here.database.write_now("advance", rolling.advance, rollout, here.now, here.now, here.new_id)
    assert here.rollout(rollout).state is Stage.DONE
    return rollout, ordered, opened


def _copied(here: World, source: Path, target: Path) -> None:
    """Stop the plane, copy its database, and go on with what lies there then."""
    here.database.close()
    shutil.copy(source, target)
    here.database = Database.open(f"sqlite:{source.parent / 'plane.sqlite'}", source.parent)


def _above(here: World) -> None:
    """Let the plane go on with numbers above all that it gave before it was restored."""
    here.run(sa.update(schema.numbers).where(schema.numbers.c.name == fleet_queries.COUNTER).values(value=100))
