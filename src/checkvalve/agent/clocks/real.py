# SPDX-License-Identifier: Apache-2.0
"""The device's own clocks and entropy, as `ports.Clock`: `checkvalve.clock` reads them."""

import asyncio
from datetime import datetime
from pathlib import Path

from checkvalve import clock

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RealClock:
    """`ports.Clock` of this machine."""

    def now(self) -> datetime:
        """Return what the wall clock says, in UTC."""
        return clock.now()

    def local(self) -> datetime:
        """Return the same in the time zone of this host."""
        return clock.now().astimezone()

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

    def boot_id(self) -> str:
        """Return the kernel's own name of this boot, "" if it cannot be read."""
        try:
            return BOOT_ID.read_text().strip()
        except (OSError, ValueError):
            return ""
