# SPDX-License-Identifier: Apache-2.0
"""When does each tick have its turn? Again and again, until the plane stops, whatever happens in one of them.

Rules: 1. every tick has a turn at once, so that a plane that was off makes up for it, and then each next turn at a
moment between now and `within` seconds (full jitter: several processes, and several ticks, drift apart); 2. a turn
that fails is told and the tick goes on; the span doubles with every failure in a row, up to an hour, so that a
database that is down is not told of a thousand times; 3. a running turn is let end when the plane stops, for `grace`
seconds.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from checkvalve.errors import CheckvalveError

LONGEST = 3600.0  # seconds until the next try, however often it failed

_log = structlog.get_logger("checkvalve.tasks")


@dataclass(frozen=True, slots=True)
class Tick:
    """Something that may be done at any time and any number of times. `run` returns what it did, "" for nothing."""

    name: str
    within: float  # seconds
    run: Callable[[], Awaitable[str]]


async def run(
    ticks: Sequence[Tick], stop: asyncio.Event, entropy: Callable[[int], bytes], *, grace: float = 20.0
) -> None:
    """Give every tick its turns until `stop` is set. Nothing that a tick raises comes out of here."""
    turns = [asyncio.create_task(_turns(tick, stop, entropy), name=f"tick {tick.name}") for tick in ticks]
    await stop.wait()
    if turns:
        _, late = await asyncio.wait(turns, timeout=grace)  # rule 3
        for turn in late:
            turn.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def pause(within: float, failures: int, jitter: float) -> float:
    """Return the seconds until the next turn; `jitter` lies in [0, 1)."""
    return jitter * max(within, min(within * 2.0 ** min(failures, 64), LONGEST))


async def _turns(tick: Tick, stop: asyncio.Event, entropy: Callable[[int], bytes]) -> None:
    failures = 0
    while not stop.is_set():
        failures = 0 if await _turn(tick) else failures + 1
        wait = pause(tick.within, failures, int.from_bytes(entropy(4)) / 2**32)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)


async def _turn(tick: Tick) -> bool:
    try:
        done = await tick.run()
    except Exception as error:  # noqa: BLE001 - rule 2
        _tell(tick, error)
        return False
    if done:
        _log.info("tick", tick=tick.name, done=done)
    return True


def _tell(tick: Tick, error: Exception) -> None:
    if isinstance(error, CheckvalveError):
        _log.error("tick failed", tick=tick.name, code=error.code, sentence=error.sentence, remedy=error.remedy)
    else:
        # Formatted here, without the values of variables: those may hold secrets.
        _log.error("tick failed", tick=tick.name, trace="".join(traceback.format_exception(error)))
