# SPDX-License-Identifier: Apache-2.0
"""Runs a device: the work, the visits to its plane, errands, what wakes them, and the door for people at the cabinet.

1. The work goes on whether the plane answers or not, and the visits go on whatever the work is at. Errands hold up
   neither, nor does sending what they brought.
2. A change of state is told at once; what follows within 200 ms goes with it. That containers changed is told within
   five seconds, but what goes on and on is told more seldom: one that crashes all the time is not to make a device
   speak all the time, nor to use up its line.
3. None of the tasks ends by itself. If one does, all end, and whoever started the agent starts it again: the journal
   says where to go on.
"""

import asyncio

from checkvalve.agent.cabinet.door import Door
from checkvalve.agent.chores import Chores
from checkvalve.agent.parts import Parts, backoff, rest
from checkvalve.agent.sending import Sending
from checkvalve.agent.visit import Visit
from checkvalve.agent.work import Work

TOGETHER = 0.2  # seconds
MOVES_EVERY = 5.0  # seconds
MOVES_AT_ONCE = 10  # that are told so soon; then one a minute, or as seldom as the device comes anyway
MOVES_SELDOM = 60.0  # seconds


async def run(parts: Parts, door: Door | None = None) -> None:
    """Run until cancelled. Containers go on running afterwards. Without a door, nobody can speak with it locally."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Work(parts).run())
        tasks.create_task(_visits(parts))
        tasks.create_task(Chores(parts).run())
        tasks.create_task(Sending(parts).run())
        tasks.create_task(_engine(parts))
        tasks.create_task(_moves(parts))
        if door is not None:
            tasks.create_task(door.run(parts))


async def _visits(parts: Parts) -> None:
    visit = Visit(parts)
    while True:
        seconds = await visit.turn()
        parts.shared.due = parts.clock.monotonic() + seconds
        await rest(parts.clock, seconds, parts.shared.news)
        if parts.shared.news.is_set():
            await parts.clock.sleep(TOGETHER)


async def _engine(parts: Parts) -> None:
    """Wake the work when the engine says that something changed."""
    misses = 0
    while True:
        try:
            await parts.engine.changed()
            misses = 0
            await parts.clock.sleep(TOGETHER)  # events come in swarms
        except Exception:  # noqa: BLE001  # whatever it is, the work looks by itself once a minute
            misses += 1
            await parts.clock.sleep(backoff(misses, parts.clock.chance(), 30.0))
        parts.shared.work.set()


async def _moves(parts: Parts) -> None:
    """Have it told that containers changed, not more often than so (rule 2)."""
    clock, left, at = parts.clock, float(MOVES_AT_ONCE), parts.clock.monotonic()
    while True:
        await parts.shared.moved.wait()
        await clock.sleep(MOVES_EVERY)
        seldom = max(MOVES_SELDOM, float(parts.identity.interval))
        left = min(left + (clock.monotonic() - at) / seldom, float(MOVES_AT_ONCE))
        at = clock.monotonic()
        if left < 1:
            await clock.sleep((1 - left) * seldom)
            left, at = 1.0, clock.monotonic()
        left -= 1
        parts.shared.moved.clear()
        parts.shared.news.set()
