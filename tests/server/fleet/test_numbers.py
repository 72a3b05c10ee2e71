# SPDX-License-Identifier: Apache-2.0
"""Numbers of which there is one: no counter is given twice, and the revision rises with every decision."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest

from checkvalve.errors import ConflictError
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet import writes
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_counters_begin_at_one_in_the_first_epoch(world: World) -> None:
    given = [world.database.write_now("counter", writes.next_counter) for _ in range(3)]
    assert given == [(1, 1), (1, 2), (1, 3)]


def test_many_at_once_never_get_one_counter(world: World) -> None:
    async def all_at_once() -> list[tuple[int, int]]:
        return await asyncio.gather(*(world.database.write("counter", writes.next_counter) for _ in range(60)))

    assert sorted(asyncio.run(all_at_once())) == [(1, number) for number in range(1, 61)]


def test_a_counter_of_a_transaction_that_failed_is_given_again_to_nobody_who_heard_of_it(world: World) -> None:
    def fail(tx: Tx) -> None:
        writes.next_counter(tx)
        raise ConflictError("test.no", "No.")

    with pytest.raises(ConflictError):
        world.database.write_now("fail", fail)
    assert world.database.write_now("counter", writes.next_counter) == (1, 1)


def test_the_revision_rises_with_what_a_plane_must_not_remember_wrongly(world: World) -> None:
    seen = [world.revision()]

    def risen() -> bool:
        seen.append(world.revision())
        return seen[-1] > seen[-2]

    device = world.join(world.invite())
    assert risen()
    world.assign(device.id)
    assert risen()
    world.database.write_now("unassign", writes.unassign, device.id)
    assert risen()
    world.renew(device.id, 2)
    assert risen()
    world.database.write_now("confirm", writes.confirm, device.id, 2)
    assert risen()
    for move in (world.quarantine, world.accept, world.retire):
        move(device.id)
        assert risen()


def test_the_revision_stays_with_what_changes_no_decision(world: World) -> None:
    device = world.stand()
    before = world.revision()
    world.describe(device.id, "another name")
    world.receive(world.kept(device))
    world.database.write_now("counter", writes.next_counter)
    world.database.write_now("visited", writes.visited, device.id, {"known": 3})
    assert world.revision() == before
