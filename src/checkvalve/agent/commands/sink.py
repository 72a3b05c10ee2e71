# SPDX-License-Identifier: Apache-2.0
"""Where a tar goes that a person takes away: a file, or standard output; packed or plain.

Rules: 1. nothing of any size is held in memory; 2. a file has its name only when all of it is on the platter: until
then it is called `NAME.partial`, and goes when something ends it; 3. no file is overwritten; 4. a tar that does not end
as a tar ends was cut short, whoever cut it, and does not count; 5. where the room is known not to suffice, nothing is
begun.
"""

import contextlib
import os
import shutil
import sys
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from checkvalve import clock
from checkvalve.agent.budget import MIB
from checkvalve.agent.commands import line
from checkvalve.errors import InvalidError, UnavailableError

_END = bytes(1024)  # two empty blocks
_OFTEN = 1.0  # seconds between two words on how far it is


class Sink:
    """Takes a tar; `path` None is standard output. Leaving it without `done` leaves nothing behind (rule 2)."""

    def __init__(self, path: Path | None, *, packed: bool) -> None:
        self.size = 0  # bytes of the tar
        self._path = path
        self._partial = None if path is None else path.with_name(f"{path.name}.partial")
        self._pack = zlib.compressobj(6, zlib.DEFLATED, 31) if packed else None
        self._whole: int | None = None
        self._tail = b""
        self._told = clock.monotonic()
        self._file: BinaryIO = sys.stdout.buffer

    def __enter__(self) -> Self:
        """Open it; `InvalidError` (`volume.file`, `volume.terminal`)."""
        if self._path is None or self._partial is None:
            if sys.stdout.isatty():
                raise InvalidError("volume.terminal", "A tar is not for a terminal.", "Name a file: --output FILE.")
            return self
        if self._path.exists():  # rule 3
            raise _failed(self._path, "it is there already")
        try:
            handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _failed(self._partial, error.strerror or "it fails") from error
        self._file = os.fdopen(handle, "wb")
        return self

    def expect(self, size: int | None) -> None:
        """Be told how large it will be about, None if nobody knows; `UnavailableError` (`volume.room`, rule 5)."""
        self._whole = size
        if self._path is None or self._pack is not None or size is None:
            return
        free = shutil.disk_usage(self._path.absolute().parent).free
        if free < size:
            raise UnavailableError(
                "volume.room",
                f"It needs {size / MIB:.0f} MiB, and {free // MIB} MiB are free where {self._path} is to be.",
                "Name a file on another disk, or pack it: --gzip.",
            )

    def write(self, piece: bytes) -> None:
        """Take what came next; `UnavailableError` (`volume.room`: no room, or nobody reads any more)."""
        self._tail = (self._tail + piece)[-len(_END) :]
        self.size += len(piece)
        self._put(piece if self._pack is None else self._pack.compress(piece))
        if clock.monotonic() - self._told >= _OFTEN:
            self._told = clock.monotonic()
            self._tell()

    def done(self) -> None:
        """Have it whole, under its name; `UnavailableError` (`volume.broken`, `volume.room`)."""
        if self._tail != _END:  # rule 4
            raise UnavailableError(
                "volume.broken", f"What came broke off after {self.size} bytes.", "Take it again; look at the engine."
            )
        if self._pack is not None:
            self._put(self._pack.flush())
        try:
            self._file.flush()
            if self._path is not None and self._partial is not None:
                os.fsync(self._file.fileno())
                self._file.close()
                if self._path.exists():
                    raise _failed(self._path, "it has come to be there meanwhile")
                self._partial.rename(self._path)
                _settle(self._path.absolute().parent)
        except OSError as error:
            raise self._full(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing half behind (rule 2)."""
        self._clear()
        if self._partial is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            if kind is not None:
                self._partial.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> UnavailableError:
        where = self._path or "standard output"
        if self._path is None:
            line.hush()  # what is left in the buffer has nowhere to go
        return UnavailableError(
            "volume.room", f"{where} cannot be written to: {error.strerror}.", "Name a file on another disk."
        )

    def _tell(self) -> None:
        if sys.stderr.isatty():
            of = f" of about {self._whole / MIB:.0f}" if self._whole else ""
            sys.stderr.write(f"\r{self.size / MIB:.0f}{of} MiB ")
            sys.stderr.flush()

    def _clear(self) -> None:
        if sys.stderr.isatty() and self.size:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _failed(path: Path, why: str) -> InvalidError:
    return InvalidError("volume.file", f"{path} cannot be written: {why}.", "Name another file; none is overwritten.")


def _settle(folder: Path) -> None:
    """Have the name of a file on the platter; a file system that cannot do that has done what it can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
