# SPDX-License-Identifier: Apache-2.0
"""Counts the bytes that a device fetches in a month, and holds them to a rate.

Rules: 1. the rate is of all that is fetched, over any time, by the clock that never jumps; 2. the month's count is
written once for each MiB, and when a fetch pauses: a power cut forgets at most so much; 3. a count that is damaged
begins anew, and one of a later month than it seems to be goes on: the floor of time may stand a little lower after a
power cut; 4. it counts whether or not there is a budget, so that one that is given in the middle of a month holds.
"""

from datetime import datetime
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.agent.ports import Clock, Disk
from checkvalve.crypto import checked
from checkvalve.errors import InvalidError, NotFoundError

FILE = "fetched"
WRITTEN_EVERY = 1 << 20  # bytes


class _Kept(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """So many bytes of blobs came in this month."""

    month: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}\Z")] = "0000-00"
    bytes: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    v: Literal[1] = 1


class Meter:
    """The meter of one device's line. Raises what its disk raises."""

    def __init__(self, disk: Disk, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self._kept = _read(disk)
        self._unwritten = 0
        self._ready = clock.monotonic()

    def spent(self, now: datetime) -> int:
        """Return the bytes of this month; `now` is the floor of time."""
        return self._kept.bytes if _month(now) <= self._kept.month else 0

    def count(self, size: int, now: datetime) -> None:
        """Take note of bytes that came."""
        month = max(_month(now), self._kept.month)
        self._kept = _Kept(month=month, bytes=self.spent(now) + size)
        self._unwritten += size
        if self._unwritten >= WRITTEN_EVERY:
            self.keep()

    def keep(self) -> None:
        """Have the count on the disk (rule 2)."""
        if self._unwritten:
            data = canonical.dumps(cast("canonical.Json", msgspec.to_builtins(self._kept)))
            self._disk.replace(FILE, checked.write(data))
            self._unwritten = 0

    async def pace(self, size: int, rate: int | None) -> None:
        """Return when the line may be used again after `size` bytes, at so many bytes a second (rule 1)."""
        if rate is None:
            return
        now = self._clock.monotonic()
        self._ready = max(self._ready, now) + size / rate
        await self._clock.sleep(self._ready - now)


def _read(disk: Disk) -> _Kept:
    try:
        return msgspec.convert(canonical.loads(checked.read(disk.read(FILE))), _Kept)
    except (InvalidError, NotFoundError, msgspec.ValidationError):
        return _Kept()


def _month(now: datetime) -> str:
    return f"{now:%Y-%m}"
