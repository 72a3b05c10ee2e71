# SPDX-License-Identifier: Apache-2.0
"""A file on its way to the plane, piece by piece.

1. No more than a few pieces are in memory, and a disk that is slow holds up nothing else.
2. Each try reads from the file's beginning: what a try before still reads disturbs nobody.
3. The plane may answer before all was sent; then the rest stays here, and so the connection is of no further use.
4. A line that takes nothing more is given up: the moment is put off with each piece that it takes.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import BinaryIO

from checkvalve.errors import UnavailableError

PIECE = 32 * 1024
HELD_BACK = 512 * 1024
"""Bytes that wait on this side, in the layers below, for all that is known here."""


class Upload:
    """A file that is sent from its beginning, `size` bytes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self.failure: UnavailableError | None = None
        """Why the file could not be read, if it could not."""
        self.answered = False
        self._file = file
        self._lock = threading.Lock()

    def patience(self, stall: float, pace: int) -> float:
        """Return the seconds that the line may take nothing: what is held back leaves at `pace` bytes a second."""
        return stall + min(self.size, HELD_BACK) / pace

    async def pieces(self, watch: asyncio.Timeout, patience: float) -> AsyncIterator[bytes]:
        """Yield the file; `watch` strikes when no piece was asked for within `patience` seconds, and not after the end.

        Raises `UnavailableError` (`disk.failed`), which `failure` keeps.
        """
        at = 0
        loop = asyncio.get_running_loop()
        while at < self.size or self.answered:
            if self.answered:
                await loop.create_future()  # until whoever reads the answer lets go of the connection (rule 3)
            watch.reschedule(loop.time() + patience)
            piece = await asyncio.to_thread(self._read, at)
            if not piece:
                self.failure = _unreadable()
                raise self.failure
            at += len(piece)
            yield piece
        watch.reschedule(None)

    def _read(self, at: int) -> bytes:
        try:
            with self._lock:
                self._file.seek(at)
                return self._file.read(min(PIECE, self.size - at))
        except (OSError, ValueError):  # ValueError: it was closed
            return b""


def _unreadable() -> UnavailableError:
    return UnavailableError(
        "disk.failed", "The file that is to be sent cannot be read to its end.", "Look at this device's disk."
    )
