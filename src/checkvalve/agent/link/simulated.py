# SPDX-License-Identifier: Apache-2.0
"""The way to a plane within the process (`plane.Plane`), of the same behaviour as the real one."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

import msgspec

from checkvalve.agent.link.plane import Plane
from checkvalve.agent.ports import Clock, Replied
from checkvalve.errors import NotFoundError, UnavailableError
from checkvalve.protocol.exchange import LONGEST_WAIT

_PIECE = 64 * 1024


class Simulated:
    """A device's way to a simulated plane (port `Link`). With a clock, an answer is held back as the real one is."""

    def __init__(self, plane: Plane, device: str, clock: Clock | None = None) -> None:
        self.plane = plane
        self.device = device
        self._clock = clock

    async def exchange(self, report: bytes, wait: float) -> Replied:
        """See `Link`."""
        await self._reach()
        answer = self.plane.receive(self.device, report)
        if answer is None and wait > 0 and self._clock is not None:
            await self._hold(min(wait, LONGEST_WAIT), self._clock)
            await self._reach()
            answer = self.plane.waiting(self.device, self.plane.reports[-1].journal)
        if self.plane.knobs.drops:
            self.plane.knobs.drops -= 1
            raise _broken()
        size = len(msgspec.json.encode(answer)) if answer else 0
        return Replied(answer, self.plane.time(), self.plane.next, size)

    async def metadata(self, role: str, version: int) -> bytes | None:
        """See `Link`."""
        await self._reach()
        return self.plane.metadata.get(f"{version}.{role}.json" if version else f"{role}.json")

    async def manifest(self, digest: str) -> bytes:
        """See `Link`."""
        await self._reach()
        if digest not in self.plane.manifests:
            raise NotFoundError("release.not_found", "There is no such release for this device.")
        return self.plane.manifests[digest]

    async def values(self, digest: str) -> bytes:
        """See `Link`."""
        await self._reach()
        if digest not in self.plane.values:
            raise NotFoundError("values.not_found", "There are no such values for this device.")
        return self.plane.values[digest]

    async def blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """See `Link`."""
        await self._reach()
        if digest not in self.plane.blobs:
            raise NotFoundError("blob.not_found", "There is no such blob for this device.")
        data = self.plane.blobs[digest][offset:]
        cut = self.plane.knobs.cut
        whole = data if cut is None else data[:cut]
        for start in range(0, len(whole), _PIECE):
            yield whole[start : start + _PIECE]
            await self._reach()
        if len(whole) < len(data):
            raise _broken()

    async def put(self, errand: str, digest: str, file: BinaryIO, size: int) -> None:
        """See `Link`."""
        await self._reach()
        file.seek(0)
        data, cut = file.read(size), self.plane.knobs.cut
        if cut is not None and cut < size:
            raise _broken()
        self.plane.take(self.device, errand, digest, data)
        if self.plane.knobs.drops:
            self.plane.knobs.drops -= 1
            raise _broken()

    async def renew(self, envelope: bytes) -> bytes:
        """See `Link`."""
        await self._reach()
        renewed = msgspec.json.encode(self.plane.renew(envelope))
        if self.plane.knobs.drops:
            self.plane.knobs.drops -= 1
            raise _broken()
        return renewed

    async def time(self) -> str:
        """See `Link`."""
        await self._reach()
        return self.plane.time()

    async def close(self) -> None:
        """See `Link`."""

    async def _reach(self) -> None:
        knobs = self.plane.knobs
        if knobs.slow and self._clock is not None:
            await self._clock.sleep(knobs.slow)
        if knobs.unreachable:
            raise UnavailableError(
                "link.unreachable", "There is no way to the plane.", "It is tried again by itself.", layer="route"
            )
        if knobs.refuses is not None:
            raise knobs.refuses

    async def _hold(self, wait: float, clock: Clock) -> None:
        """Wait until there is something to say, or the wait is over."""
        self.plane.news.clear()
        waits = [asyncio.ensure_future(self.plane.news.wait()), asyncio.ensure_future(clock.sleep(wait))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _broken() -> UnavailableError:
    sentence = "The connection broke off before the answer was whole."
    return UnavailableError("link.unreachable", sentence, "It is tried again by itself.", layer="plane")
