# SPDX-License-Identifier: Apache-2.0
"""What a disk is asked for, one system call each: by the kernel here, by memory in `simulated`.

The rules of what must be written before what stand in `files`, above both, so that the crash tests try the very lines
that run on a device. Names are relative to the directory; `""` is the directory itself. What fails raises `OSError`.
"""

import errno
import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Protocol

LOCK = "lock"  # held by the agent that works in the directory


class Calls(Protocol):
    """One method, one system call. Handles are small numbers, for writing only."""

    def read(self, name: str) -> bytes:
        """Return all of a file."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        ...

    def size(self, name: str) -> int:
        """Return a file's length in bytes, -1 if there is no such file."""
        ...

    def files(self, folder: str) -> Collection[str]:
        """Return the names in a folder that are files; none if there is no such folder."""
        ...

    def every(self) -> Collection[str]:
        """Return the names of all files, at every depth."""
        ...

    def make_folder(self, folder: str) -> bool:
        """Make a folder in one that is there; False if it was there before."""
        ...

    def handle(self, name: str, *, make: bool) -> int:
        """Open a file for writing; `make` begins it if it is not there, and then its folder is not synced yet."""
        ...

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; a failure may leave a part of it."""
        ...

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to `size`."""
        ...

    def sync(self, handle: int) -> None:
        """Return when the file's data and length are on the platter; its name may not be."""
        ...

    def close(self, handle: int) -> None:
        """Let go of a handle."""
        ...

    def rename(self, name: str, final: str) -> None:
        """Give a file another name, in place of what had it."""
        ...

    def unlink(self, name: str) -> None:
        """Take a file's name away."""
        ...

    def sync_folder(self, folder: str) -> None:
        """Return when all names in the folder are on the platter."""
        ...

    def sync_all(self) -> None:
        """Return when all files and names that there are now are on the platter."""
        ...

    def free(self) -> int:
        """Return how many bytes may still be written."""
        ...

    def room(self, folder: str) -> tuple[int, int, int]:
        """Return which disk a folder of the host is on ("": this directory), its free bytes, and all of them."""
        ...

    def close_all(self) -> None:
        """Let go of the directory."""
        ...


class Kernel:
    """The calls on a real directory, which is for its owner only, and for one agent at a time."""

    def __init__(self, root: Path) -> None:
        """Take the directory; `BlockingIOError` if another process has it."""
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        self._lock = self.handle(LOCK, make=True)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise

    def close_all(self) -> None:
        """See `Calls`."""
        os.close(self._lock)

    def read(self, name: str) -> bytes:
        """See `Calls`."""
        return (self._root / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """See `Calls`."""
        return (self._root / name).open("rb")

    def size(self, name: str) -> int:
        """See `Calls`."""
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return -1

    def files(self, folder: str) -> Collection[str]:
        """See `Calls`."""
        try:
            return [each.name for each in os.scandir(self._root / folder) if each.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def every(self) -> Collection[str]:
        """See `Calls`."""
        return [
            str(Path(folder, name).relative_to(self._root))
            for folder, _, names in os.walk(self._root)
            for name in names
        ]

    def make_folder(self, folder: str) -> bool:
        """See `Calls`."""
        try:
            (self._root / folder).mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True

    def handle(self, name: str, *, make: bool) -> int:
        """See `Calls`."""
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
        return os.open(self._root / name, flags, 0o600)

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """See `Calls`."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(handle, rest, offset)
            if not written:
                raise OSError(errno.EIO, "nothing was written")
            rest, offset = rest[written:], offset + written

    def truncate(self, handle: int, size: int) -> None:
        """See `Calls`."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """See `Calls`."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """See `Calls`."""
        os.close(handle)

    def rename(self, name: str, final: str) -> None:
        """See `Calls`."""
        (self._root / name).replace(self._root / final)

    def unlink(self, name: str) -> None:
        """See `Calls`."""
        (self._root / name).unlink()

    def sync_folder(self, folder: str) -> None:
        """See `Calls`."""
        handle = os.open(self._root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_all(self) -> None:
        """See `Calls`."""
        for folder, _, names in os.walk(self._root):
            for path in (*(Path(folder, name) for name in names), Path(folder)):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    continue
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def free(self) -> int:
        """See `Calls`."""
        room = os.statvfs(self._root)
        return room.f_bavail * room.f_frsize

    def room(self, folder: str) -> tuple[int, int, int]:
        """See `Calls`."""
        path = Path(folder) if folder and Path(folder).is_dir() else self._root
        room = os.statvfs(path)
        return path.stat().st_dev, room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
