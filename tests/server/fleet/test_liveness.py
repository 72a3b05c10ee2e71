# SPDX-License-Identifier: Apache-2.0
"""How long a device has been silent: judged, asked of the database, and written down in batches."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import DeviceId
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import liveness, queries, writes
from checkvalve.server.fleet.model import Liveness, Order
from tests.conftest import NOON
from tests.server.fleet.world import World

SILENT = st.integers(-10_000, 10_000_000)


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _at(silent: int) -> datetime:
    return NOON - timedelta(milliseconds=silent)


@pytest.mark.parametrize(
    ("silent", "said"),
    [
        (-60_000, Liveness.ONLINE),
        (0, Liveness.ONLINE),
        (90_000, Liveness.ONLINE),
        (90_001, Liveness.LATE),
        (180_000, Liveness.LATE),
        (180_001, Liveness.OFFLINE),
    ],
)
def test_a_device_is_late_after_one_and_a_half_intervals_and_offline_after_three(silent: int, said: Liveness) -> None:
    assert liveness.judge(_at(silent), 60, NOON) is said


def test_a_device_that_never_came_is_never_seen() -> None:
    assert liveness.judge(None, 60, NOON) is Liveness.NEVER_SEEN


@given(SILENT, SILENT, st.integers(1, 604_800))
def test_who_is_silent_longer_is_never_more_alive(one: int, other: int, interval: int) -> None:
    order = [Liveness.ONLINE, Liveness.LATE, Liveness.OFFLINE]
    shorter, longer = sorted((one, other))
    assert order.index(liveness.judge(_at(shorter), interval, NOON)) <= order.index(
        liveness.judge(_at(longer), interval, NOON)
    )


def test_a_list_finds_exactly_what_the_decision_says(world: World) -> None:
    silences = [-60_000, 0, 90_000, 90_001, 180_000, 180_001, 10**9, 1_350_000, 1_350_001, 2_700_001]
    for interval in (60, 900, 604_800):
        for silent in silences:
            world.stand(seen_at=_at(silent), interval=interval)
        world.stand(interval=interval)
    every = world.database.read_now("all", queries.devices, queries.EVERYWHERE, limit=None)
    for said in Liveness:
        found = world.database.read_now(
            "some", queries.devices, queries.EVERYWHERE, limit=None, liveness=said, now=NOON
        )
        assert found
        assert found == [one for one in every if liveness.judge(one.seen_at, one.interval, NOON) is said]


def test_moments_are_noted_in_one_write_and_never_go_back(world: World) -> None:
    first, second, third = (world.stand() for _ in range(3))
    later = NOON + timedelta(seconds=5, milliseconds=700)
    assert world.database.write_now("seen", writes.seen, {first.id: NOON, second.id: later}) == 2
    assert world.database.write_now("seen", writes.seen, {first.id: later, second.id: NOON}) == 1
    kept = [world.device(device.id).seen_at for device in (first, second, third)]
    assert kept == [NOON + timedelta(seconds=5), NOON + timedelta(seconds=5), None]


def test_moments_of_devices_that_are_not_there_do_no_harm(world: World) -> None:
    assert world.database.write_now("seen", writes.seen, {DeviceId(world.new_id()): NOON}) == 0
    assert world.database.write_now("seen", writes.seen, {}) == 0


def test_more_moments_than_a_statement_names_are_all_noted(world: World) -> None:
    devices = [world.stand() for _ in range(3)]
    many = {DeviceId(world.new_id()): NOON for _ in range(2 * writes.SLICE)}
    many |= {device.id: NOON for device in devices}
    assert world.database.write_now("seen", writes.seen, many) == 3


def test_being_seen_leaves_no_entry_and_moves_no_revision(world: World) -> None:
    device, before = world.stand(), world.revision()
    world.database.write_now("seen", writes.seen, {device.id: NOON})
    assert (world.revision(), world.entries()) == (before, [])


def test_those_silent_longest_are_listed_first(world: World) -> None:
    late, never, online = (world.stand(seen_at=moment) for moment in (_at(100_000), None, NOON))

    def silent(after: str = "") -> list[str]:
        found = world.database.read_now(
            "silent", queries.devices, queries.EVERYWHERE, order=Order.SILENT, limit=2, after=after
        )
        return [device.id for device in found]

    assert silent() == [never.id, late.id]
    assert silent(late.id) == [online.id]
    assert silent(online.id) == []
