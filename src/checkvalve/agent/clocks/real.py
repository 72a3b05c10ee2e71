# SPDX-License-Identifier: Apache-2.0
"""The device's own clocks and entropy, as `ports.Clock`: `checkvalve.clock` reads them."""

import asyncio
from datetime import datetime

from checkvalve import clock


class RealClock:
    """`ports.Clock` of this machine."""

    def now(self) -> datetime:
        """Return what the wall clock says, in UTC."""
        return clock.now()

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps."""
        return clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)

    def new_id(self) -> str:
        """Return a fresh id."""
        return clock.new_id()

    def chance(self) -> float:
        """Return a number in [0, 1)."""
        return (int.from_bytes(clock.entropy(7)) >> 3) / (1 << 53)
