# SPDX-License-Identifier: Apache-2.0
"""A clock that goes when it is told to, so that a soak of two minutes takes no time and ends the same every time.

`advance` wakes sleepers one after the other, each at its own moment. A clock that `leaps` goes by itself: whoever
sleeps on it finds the time gone, which fits one task alone.
"""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta, timezone

from checkvalve import ids
from checkvalve.crypto import digests

BEGIN = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
_TURNS = 20  # of the event loop for what a sleeper does when it wakes, before time goes on


class SimulatedClock:
    """`ports.Clock` that stands still until it is advanced."""

    def __init__(self, begin: datetime = BEGIN, seed: int = 0, *, leaps: bool = False) -> None:
        self._wall = begin
        self.zone = timezone(timedelta())
        self._passed = 0.0
        self._seed = seed
        self._leaps = leaps
        self._draws = 0
        self._boots = 1
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the wall clock, in whole milliseconds."""
        moment = self._wall + timedelta(seconds=self._passed)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def local(self) -> datetime:
        """Return the wall clock in the zone that was set."""
        return self.now().astimezone(self.zone)

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Return when the time has been advanced so far."""
        if self._leaps:
            self._passed += max(0.0, seconds)
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + max(0.0, seconds), self._next(), woken))
        await woken

    def new_id(self) -> str:
        """Return an id of this moment, that differs from all others of this seed."""
        moment = max(0, int(self.now().timestamp() * 1000))
        return ids.encode(moment, bytes.fromhex(self._drawn())[:10])

    def chance(self) -> float:
        """Return a number in [0, 1), from the seed."""
        return int(self._drawn()[:13], 16) / 16**13

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and let everybody who wakes in them do what they do."""
        end = self._passed + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, moment)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._passed = end

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; nothing else notices."""
        self._wall += timedelta(seconds=seconds)

    def boot(self) -> None:
        """Begin the clock that never jumps anew, as a boot does; the wall clock goes on. Nobody may be asleep."""
        self._wall += timedelta(seconds=self._passed)
        self._passed = 0.0
        self._boots += 1
        self._sleepers.clear()

    def boot_id(self) -> str:
        """Return which boot this is."""
        return f"boot {self._boots}"

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _next(self) -> int:
        self._draws += 1
        return self._draws

    def _drawn(self) -> str:
        return digests.sha256_hex(f"{self._seed}/{self._next()}".encode())
