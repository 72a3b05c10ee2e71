# SPDX-License-Identifier: Apache-2.0
"""How a device writes, so that a power cut at any moment leaves the old or the new.

Rules: 1. `replace` writes `NAME.partial`, syncs it, renames it, and syncs the folder; 2. a new folder or file counts
only once the folder above it is synced; 3. an append that fails is cut off again, so that the next one does not follow
half a line; 4. what an earlier run left as `.partial` goes when the disk is opened; 5. a handle is dropped when its
name comes to mean another file; 6. names stay below the directory; 7. one directory has one agent; 8. `free` leaves a
reserve, which small files may use, and large ones, whose writers ask first, do not; 9. what an earlier run wrote and
was killed before it synced is synced when the disk is opened: what this run builds on, no power cut takes away.
"""

import contextlib
import errno
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from checkvalve.agent.budget import Room
from checkvalve.agent.disk.calls import LOCK, Calls, Kernel
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError, UnavailableError

RESERVE = 32 << 20  # bytes
PARTIAL = ".partial"
LONGEST_NAME = 200
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FileDisk:
    """`ports.Disk` over system calls: the kernel's, or simulated ones."""

    def __init__(self, calls: Calls, reserve: int = RESERVE) -> None:
        self._calls = calls
        self._reserve = reserve
        self._begin()

    def _begin(self) -> None:
        """Rules 4 and 9; also what a process knows when it starts: nothing."""
        self._handles: dict[str, int] = {}
        self._folders: set[str] = {""}
        with self._telling(""):
            for name in self._calls.every():
                if name.endswith(PARTIAL):
                    self._calls.unlink(name)
            self._calls.sync_all()

    def close(self) -> None:
        """Let go of all handles, and of the directory."""
        for name in list(self._handles):
            self._let_go(name)
        self._calls.close_all()

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        with self._telling(name):
            return self._calls.read(_checked(name))

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in pieces."""
        with self._telling(name):
            return self._calls.open(_checked(name))

    def size(self, name: str) -> int:
        """Return a file's size in bytes, 0 if it is not there."""
        with self._telling(name):
            return max(0, self._calls.size(_checked(name)))

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        with self._telling(name):
            return self._calls.size(_checked(name)) >= 0

    def names(self, folder: str) -> Collection[str]:
        """Return the names of the files in a folder, without it, in order; none if it is not there."""
        with self._telling(folder):
            found = self._calls.files(_checked(folder) if folder else folder)
        return sorted(each for each in found if not each.endswith(PARTIAL) and each != LOCK)

    def free(self) -> int:
        """Return how many bytes may be written, the reserve left out."""
        with self._telling(""):
            return max(0, self._calls.free() - self._reserve)

    def room(self, folder: str = "") -> Room:
        """Return the room on the disk of a folder; the reserve is kept on the device's own."""
        with self._telling(""):
            own, found = self._calls.room(""), self._calls.room(folder)
        return Room(*found, kept=self._reserve if found[0] == own[0] else 0)

    def replace(self, name: str, data: bytes) -> None:
        """Have the file hold `data`, or what it held before (rule 1)."""
        partial = _checked(name) + PARTIAL
        with self._telling(name, len(data)):
            self._have_folder(name)
            try:
                self._write_new(partial, data)
                self._let_go(name)
                self._calls.rename(partial, name)
            except OSError:
                with contextlib.suppress(OSError):
                    self._calls.unlink(partial)
                raise
            self._calls.sync_folder(_folder(name))

    def append(self, name: str, data: bytes) -> None:
        """Add `data` at the end; if it fails, the file is as it was (rule 3), unless the disk fails at that too."""
        with self._telling(name, len(data)):
            handle = self._to_write(_checked(name), named=True)
            size = self._calls.size(name)
            try:
                self._calls.write(handle, size, data)
                self._calls.sync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    self._calls.truncate(handle, size)
                    self._calls.sync(handle)
                self._let_go(name)
                raise

    def extend(self, name: str, offset: int, data: bytes) -> None:
        """Write `data` at `offset`; on the platter only once the file is `settled`."""
        with self._telling(name, len(data)):
            self._calls.write(self._to_write(_checked(name), named=False), offset, data)

    def settle(self, name: str, final: str) -> None:
        """Sync the file, and give it its final name."""
        with self._telling(name):
            handle = self._handles.get(_checked(name))
            if handle is None:
                handle = self._handles[name] = self._calls.handle(name, make=False)
            try:
                self._calls.sync(handle)
            finally:
                self._let_go(name)
            self._have_folder(_checked(final))
            self._let_go(final)
            self._calls.rename(name, final)
            self._calls.sync_folder(_folder(final))
            if _folder(name) != _folder(final):
                self._calls.sync_folder(_folder(name))

    def remove(self, name: str) -> None:
        """Have no such file."""
        with self._telling(name):
            self._let_go(_checked(name))
            if self._calls.size(name) >= 0:
                self._calls.unlink(name)
                self._calls.sync_folder(_folder(name))

    def _write_new(self, name: str, data: bytes) -> None:
        handle = self._calls.handle(name, make=True)
        try:
            self._calls.truncate(handle, 0)
            self._calls.write(handle, 0, data)
            self._calls.sync(handle)
        finally:
            self._calls.close(handle)

    def _to_write(self, name: str, *, named: bool) -> int:
        """Return the file's handle. `named`: its name is on the platter too (rule 2), even if a killed run began it."""
        if name not in self._handles:
            self._have_folder(name)
            self._handles[name] = self._calls.handle(name, make=True)
            if named:
                self._calls.sync_folder(_folder(name))
        return self._handles[name]

    def _have_folder(self, name: str) -> None:
        """Make the folders above a file (rule 2); one that this process did not make may not be synced yet."""
        parts = name.split("/")[:-1]
        for depth in range(len(parts)):
            folder = "/".join(parts[: depth + 1])
            if folder not in self._folders:
                self._calls.make_folder(folder)
                self._calls.sync_folder("/".join(parts[:depth]))
                self._folders.add(folder)

    def _let_go(self, name: str) -> None:
        handle = self._handles.pop(name, None)
        if handle is not None:
            self._calls.close(handle)

    @contextlib.contextmanager
    def _telling(self, name: str, wanted: int = 0) -> Iterator[None]:
        """Turn what the kernel says into what we say."""
        try:
            yield
        except OSError as error:
            raise refusal(error, name, wanted, self._free()) from error

    def _free(self) -> int:
        try:
            return self._calls.free()
        except OSError:
            return 0


def take(path: Path, reserve: int = RESERVE) -> FileDisk:
    """Return the disk in a directory, which is made if it is not there, and is this process's until it is closed.

    Raises `ConflictError` (`agent.running`), `UnavailableError` (`disk.failed`, `disk.full`).
    """
    try:
        kernel = Kernel(path)
    except BlockingIOError as error:
        raise ConflictError(
            "agent.running",
            f"Another agent works in {path}.",
            "Stop it first, or give this one a directory of its own.",
        ) from error
    except OSError as error:
        raise refusal(error, str(path), 0, 0) from error
    return FileDisk(kernel, reserve)


def refusal(error: OSError, name: str, wanted: int, free: int) -> CheckvalveError:
    """Return what a failed system call is in our words: `disk.missing`, `disk.full`, else `disk.failed`."""
    if error.errno == errno.ENOENT:
        return NotFoundError("disk.missing", f"There is no file {name}.", "It was never written, or was removed.")
    if error.errno in _FULL:
        return UnavailableError(
            "disk.full",
            f"The disk has no room for {wanted} bytes more in {name}; {free} bytes are free.",
            "Make room on the device's disk; the agent goes on by itself.",
            need=wanted,
            have=free,
        )
    return UnavailableError(
        "disk.failed",
        f"The disk refused {name or 'its directory'}: {error.strerror or error}.",
        "See what the kernel says of the disk: it may be failing, or be mounted for reading only.",
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _checked(name: str) -> str:
    """Rule 6. What comes from outside is checked where it comes in; this is the last door."""
    parts = name.split("/")
    bad = "\0" in name or len(name) > LONGEST_NAME or any(part in ("", ".", "..") for part in parts)
    if bad or name.endswith(PARTIAL) or name == LOCK:
        raise InvalidError(
            "disk.name", f"A file of a device cannot be called {name[:80]!r}.", "This is a fault of ours."
        )
    return name
