# SPDX-License-Identifier: Apache-2.0
"""Ordering many devices at once, and who of them is too silent to be waited for."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from checkvalve.ids import AttemptId, DeviceId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet import liveness, queries, writes
from checkvalve.server.fleet.model import LET_IN, Assignment, Device, Liveness, Trust
from tests.conftest import NOON
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _assignments(world: World, devices: list[Device]) -> list[Assignment]:
    release = world.release()
    return [Assignment(one.id, AttemptId(world.new_id()), release, "t", "rollout:r", world.now) for one in devices]


def _assign(world: World, wanted: list[Assignment]) -> None:
    world.database.write_now("assign", writes.assign_all, wanted)


def _unassign(world: World, devices: list[DeviceId]) -> int:
    return world.database.write_now("unassign", writes.unassign_all, devices)


def test_many_are_assigned_each_in_the_place_of_what_it_was_to_run(world: World) -> None:
    devices = [world.stand() for _ in range(3)]
    before = world.assign(devices[0].id)
    untouched = world.assign(devices[2].id)
    revision = world.revision()
    wanted = _assignments(world, devices[:2])
    _assign(world, wanted)
    assert [world.assignment(each.device) for each in wanted] == wanted
    assert before not in wanted
    assert world.assignment(devices[2].id) == untouched
    assert world.revision() > revision


def test_many_are_unassigned_and_those_that_were_to_run_nothing_are_not_counted(world: World) -> None:
    devices = [world.stand() for _ in range(3)]
    _assign(world, _assignments(world, devices[:2]))
    revision = world.revision()
    assert _unassign(world, [one.id for one in devices[1:]]) == 1
    assert [world.assignment(one.id) is None for one in devices] == [False, True, True]
    assert world.revision() == revision + 1
    assert _unassign(world, [one.id for one in devices[1:]]) == 0
    assert world.revision() == revision + 1, "nobody has to look again"


def test_nobody_is_assigned_or_unassigned_without_a_change(world: World) -> None:
    rows = world.rows()
    _assign(world, [])
    assert _unassign(world, []) == 0
    assert world.rows() == rows


def test_more_are_unassigned_than_a_statement_names(world: World) -> None:
    device = world.stand()
    _assign(world, _assignments(world, [device]))
    many = [DeviceId(world.new_id()) for _ in range(2 * writes.SLICE)]
    assert _unassign(world, [*many, device.id]) == 1


def _unheard(device: Device, now: datetime, since: datetime) -> bool:
    """Say who is too silent to be waited for, as the rule has it in words."""
    if device.trust not in LET_IN:
        return True
    silence = timedelta(seconds=device.interval) * liveness.OFFLINE_AFTER / 1_000
    if now - since <= max(silence, queries.SILENCE):
        return False  # the plane has not listened for long enough
    if liveness.judge(device.seen_at, device.interval, now) in {Liveness.ONLINE, Liveness.LATE}:
        return False
    return device.seen_at is None or now - device.seen_at > queries.SILENCE


def test_a_list_of_the_unheard_is_exactly_what_the_rule_says(world: World) -> None:
    at_edges = [-60, 0, 180, 181, 599, 600, 601, 2_700, 2_701, 10**6]
    for interval in (1, 60, 200, 900, 604_800):
        for silent in at_edges:
            world.stand(seen_at=NOON - timedelta(seconds=silent), interval=interval)
        world.stand(interval=interval)
    for trust in (Trust.OBSERVE, Trust.QUARANTINED, Trust.RETIRED):
        world.stand(trust=trust, seen_at=NOON)
    every = world.database.read_now("all", queries.devices, queries.EVERYWHERE, limit=None)
    for up in (0, 180, 600, 601, 2_700, 2_701, 2 * 10**6):
        since = NOON - timedelta(seconds=up)
        query = sa.select(schema.devices.c.id).where(queries.unheard(NOON, since))
        found = {row.id for row in world.database.read_now("unheard", Tx.all, query)}
        assert found == {one.id for one in every if _unheard(one, NOON, since)}, up
