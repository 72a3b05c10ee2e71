# SPDX-License-Identifier: Apache-2.0
"""The parts of images on a device's disk, by their digest, so that last known good can be built again from here alone.

Rules: 1. a blob gets its name only when all of it was read back from the disk and has its digest; 2. what was begun is
gone on with where it ended, also after a power cut, which may have left anything in it: rule 1 finds that, and the blob
is fetched once from its beginning; 3. never more bytes are taken than the manifest promised; 4. room is asked for
before, with the numbers; 5. what has its name is read whole once more before its first use in a run of the agent, for
disks lose bits: what has lost some is removed, and so is missing, and fetched again.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import BinaryIO

from checkvalve.agent.ports import Disk, Link
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError, NotFoundError, UnavailableError

FOLDER = "blobs/sha256"
PARTIAL = "blobs/part"
PIECE = 64 << 10  # bytes
Toll = Callable[[int], Awaitable[bool]]
"""Takes note of so many bytes more, and may take its time; False: that is enough for now."""

BREATH = 16 * PIECE  # bytes between two turns of the event loop
_HEX = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The blobs of a device."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._verified: set[str] = set()  # in this run (rule 5)

    def held(self) -> frozenset[str]:
        """Return the digests of the blobs that are whole."""
        return frozenset(f"sha256:{name}" for name in self._disk.names(FOLDER) if _HEX.fullmatch(name))

    def size(self, digest: str) -> int:
        """Return how many bytes of a blob are here so far."""
        return self._disk.size(_final(digest)) or self._disk.size(_part(digest))

    def need(self, blobs: Mapping[str, int]) -> int:
        """Return how many bytes of these (digest -> size) are missing; `UnavailableError` (`disk.full`) for no room."""
        held = self.held()
        missing = sum(max(0, size - self.size(digest)) for digest, size in blobs.items() if digest not in held)
        free = self._disk.free()
        if missing > free:
            raise UnavailableError(
                "disk.full",
                f"This release needs {_mb(missing)} MB more on the device, and {_mb(free, up=False)} MB are free.",
                "Make room on the device's disk, or make the release smaller.",
                need=_mb(missing),
                have=_mb(free, up=False),
            )
        return missing

    def parts(self) -> dict[str, int]:
        """Return how many bytes are here of each blob that is not whole."""
        names = [name for name in self._disk.names(PARTIAL) if _HEX.fullmatch(name)]
        return {f"sha256:{name}": self._disk.size(f"{PARTIAL}/{name}") for name in names}

    async def fetch(self, digest: str, size: int, link: Link, toll: Toll | None = None) -> bool:
        """Have a blob here, whole (rules 1 to 3); False if `toll` said that it is enough for now.

        Raises `InvalidError` (`blob.digest`: the plane sends something else), `UnavailableError` (`blob.short`,
        `disk.full`, `disk.failed`) and what the link raises; what came so far stays for the next try.
        """
        if self._disk.exists(_final(digest)):
            return True
        for _ in range(2):
            begun = self._disk.size(_part(digest)) > 0
            if not await self._bring(digest, size, link, toll):
                return False
            if await self._becomes(_part(digest), digest):
                self._disk.settle(_part(digest), _final(digest))
                self._verified.add(digest)
                return True
            self._disk.remove(_part(digest))
            if not begun:
                break  # all of it came in one go, from the plane: another go brings the same
        raise InvalidError(
            "blob.digest",
            f"What the plane sends as {digest} is something else.",
            "Import the image on the plane again.",
        )

    def open(self, digest: str) -> BinaryIO:
        """Open a whole blob; the first time it is read through (rule 5). `NotFoundError` (`blob.missing`)."""
        name = _final(digest)
        if digest not in self._verified:
            if not self._disk.exists(name):
                raise _missing(digest)
            if not self._is(name, digest):
                self._disk.remove(name)
                raise _missing(digest)
            self._verified.add(digest)
        try:
            return self._disk.open(name)
        except NotFoundError as error:
            self._verified.discard(digest)
            raise _missing(digest) from error

    def sweep(self, keep: Collection[str]) -> None:
        """Have no blobs, nor parts of any, but those of these digests."""
        stay = {digest.removeprefix("sha256:") for digest in keep}
        for folder in (PARTIAL, FOLDER):
            for name in self._disk.names(folder):
                if name not in stay:
                    self._disk.remove(f"{folder}/{name}")
        self._verified &= set(keep)

    async def _bring(self, digest: str, size: int, link: Link, toll: Toll | None) -> bool:
        """Have `size` bytes in the part's file, whatever they are; False if it is enough for now."""
        name = _part(digest)
        at = self._disk.size(name)
        if at > size:
            self._disk.remove(name)
            at = 0
        if at == 0:
            self._disk.extend(name, 0, b"")  # also a blob of no bytes has a file
        if at < size:
            stream = link.blob(digest, at)
            try:
                async for piece in stream:
                    taken = piece[: size - at]  # rule 3
                    self._disk.extend(name, at, taken)
                    at += len(taken)
                    on = toll is None or await toll(len(taken))
                    if at == size:
                        break
                    if not on:
                        return False
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()
                if at < size:  # it may be days until it goes on: what was paid for is not to be lost (rule 2)
                    with contextlib.suppress(UnavailableError):
                        self._disk.settle(name, name)
        if at < size:
            raise UnavailableError(
                "blob.short",
                f"The plane stopped after {at} of {size} bytes of {digest}.",
                "It is gone on with by itself.",
            )
        return True

    def _is(self, name: str, digest: str) -> bool:
        """Tell whether the file can be read and has this digest."""
        read = digests.Running()
        try:
            with self._disk.open(name) as file:
                while piece := file.read(PIECE):
                    read.update(piece)
        except (OSError, UnavailableError):  # a bad sector
            return False
        return f"sha256:{read.hexdigest()}" == digest

    async def _becomes(self, name: str, digest: str) -> bool:
        """Tell the same as `_is`; the event loop goes on meanwhile."""
        read = digests.Running()
        try:
            with self._disk.open(name) as file:
                while piece := file.read(PIECE):
                    read.update(piece)
                    if read.size % BREATH == 0:
                        await asyncio.sleep(0)
        except (OSError, UnavailableError):
            return False
        return f"sha256:{read.hexdigest()}" == digest


def _final(digest: str) -> str:
    return f"{FOLDER}/{_hex(digest)}"


def _part(digest: str) -> str:
    return f"{PARTIAL}/{_hex(digest)}"


def _hex(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or not _HEX.fullmatch(value):
        raise InvalidError("blob.name", f"{digest[:80]!r} is no digest.", "A blob is named sha256: and 64 hex digits.")
    return value


def _mb(size: int, *, up: bool = True) -> int:
    """Return whole megabytes, so rounded that what does not fit never looks as if it did."""
    return -(-size // 1_000_000) if up else size // 1_000_000


def _missing(digest: str) -> NotFoundError:
    return NotFoundError("blob.missing", f"This device does not hold {digest}.", "It is fetched from the plane.")
