# SPDX-License-Identifier: Apache-2.0
"""The clocks: the real one reads, the simulated one goes when it is told to."""

import asyncio
from datetime import timedelta

import pytest

from checkvalve import ids
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.clocks.simulated import BEGIN, SimulatedClock
from checkvalve.agent.ports import Clock


@pytest.mark.parametrize("clock", [RealClock(), SimulatedClock()])
def test_both_are_clocks(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
    assert clock.boot_id()
    assert clock.boot_id() == clock.boot_id()
    chances = [clock.chance() for _ in range(100)]
    assert all(0 <= chance < 1 for chance in chances)
    assert len(set(chances)) > 90
    made = [clock.new_id() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(ids.well_formed(each) for each in made)
    asyncio.run(asyncio.wait_for(_asleep(clock), 5))


async def _asleep(clock: Clock) -> None:
    sleeping = asyncio.ensure_future(clock.sleep(0))
    if isinstance(clock, SimulatedClock):
        await clock.advance(0)
    await sleeping


def test_sleepers_wake_in_their_order_each_at_its_own_moment() -> None:
    clock = SimulatedClock()
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))
        if seconds == 3:
            await clock.sleep(1)
            woken.append((seconds, clock.monotonic()))

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (5, 3, 120)]
        await clock.advance(10)
        assert woken == [(3, 3), (3, 4), (5, 5)]
        assert clock.now() == BEGIN + timedelta(seconds=10)
        tasks[2].cancel()
        await clock.advance(1_000)

    asyncio.run(all_of_them())
    assert len(woken) == 3


def test_a_clock_that_leaps_goes_by_itself() -> None:
    clock = SimulatedClock(leaps=True)
    asyncio.run(clock.sleep(120))
    assert clock.monotonic() == 120


def test_a_wall_clock_that_is_set_moves_nothing_else() -> None:
    clock = SimulatedClock()
    clock.jump(-86_400)
    assert clock.now() == BEGIN - timedelta(days=1)
    assert clock.monotonic() == 0


def test_after_a_boot_the_wall_clock_goes_on_and_the_other_begins_anew() -> None:
    clock = SimulatedClock()
    asyncio.run(clock.advance(60))
    clock.boot()
    assert (clock.now(), clock.monotonic()) == (BEGIN + timedelta(seconds=60), 0)


def test_chance_and_ids_are_the_same_for_the_same_seed() -> None:
    one, same, other = SimulatedClock(seed=1), SimulatedClock(seed=1), SimulatedClock(seed=2)
    assert one.new_id() == same.new_id() != other.new_id()
    assert one.chance() == same.chance() != other.chance()
