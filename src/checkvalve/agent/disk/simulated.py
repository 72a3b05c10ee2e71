# SPDX-License-Identifier: Apache-2.0
"""A disk in memory that forgets what was not synced, as a real one does when the power goes.

The rules of `files` run on it unchanged. What a `crash` leaves: 1. what was synced, whole; 2. of the writes to a file
since its sync a beginning, the last of them torn or read back as zeros (the length was kept and the data was not);
3. of the changes of names since their folder's sync a beginning; 4. nothing in a folder whose own name was not synced.
How much is left, the seed says. `kill` ends the process and not the power: everything written stays.
"""

import errno
import io
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import BinaryIO

from checkvalve.agent.disk.files import FileDisk
from checkvalve.crypto import digests

ROOM = 8 << 30  # bytes


class PowerCut(BaseException):
    """The power is gone. No handler of errors goes on, for it is no `Exception`; then `crash`, and begin anew."""


@dataclass
class _File:
    """What a file is to the process, what of it is on the platter, and the writes in between."""

    data: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut to this length


@dataclass(frozen=True)
class _Change:
    """A change of names: `file` is now called `final` (if that is not empty), and nothing is called `name`."""

    name: str
    final: str
    file: _File | None

    def folders(self) -> set[str]:
        """Return the folders it is about."""
        return {each.rpartition("/")[0] for each in (self.name, self.final) if each}

    def make(self, files: dict[str, _File]) -> None:
        """Do it."""
        files.pop(self.name, None)
        if self.final and self.file is not None:
            files[self.final] = self.file


class Memory:
    """`calls.Calls` in memory."""

    def __init__(self, seed: int, capacity: int) -> None:
        self.operations = 0
        self.written = self.syncs = 0  # bytes, and calls that reach the platter
        self.capacity = capacity
        self.failing = False
        self.unreadable: set[str] = set()
        self.cut_at: int | None = None
        self.off = False
        self._seed = seed
        self._draws = 0
        self._files: dict[str, _File] = {}
        self._platter: dict[str, _File] = {}
        self._changes: list[_Change] = []
        self._folders: set[str] = {""}
        self._synced_folders: set[str] = {""}
        self._handles: dict[int, _File] = {}

    def crash(self) -> None:
        """Be what the power cut left."""
        for change in self._changes[: self._draw(len(self._changes) + 1)]:
            change.make(self._platter)
        whole = {folder for folder in self._synced_folders if _above(folder) <= self._synced_folders}
        self._platter = {name: file for name, file in self._platter.items() if _folder(name) in whole}
        for file in self._platter.values():
            self._tear(file)
        self._changes, self._folders, self._synced_folders = [], set(whole), whole
        self._files = dict(self._platter)
        self.restart()

    def restart(self) -> None:
        """Begin another process on what is there."""
        self._handles.clear()
        self.off = False
        self.cut_at = None

    def read(self, name: str) -> bytes:
        """See `Calls`."""
        if name in self.unreadable:
            raise _failure(errno.EIO)
        return bytes(self._file(name).data)

    def open(self, name: str) -> BinaryIO:
        """See `Calls`."""
        return io.BytesIO(self.read(name))

    def size(self, name: str) -> int:
        """See `Calls`."""
        self._lives()
        return len(self._files[name].data) if name in self._files else -1

    def files(self, folder: str) -> Collection[str]:
        """See `Calls`."""
        self._lives()
        return [name.rpartition("/")[2] for name in self._files if _folder(name) == folder]

    def every(self) -> Collection[str]:
        """See `Calls`."""
        self._lives()
        return list(self._files)

    def make_folder(self, folder: str) -> bool:
        """See `Calls`."""
        self._acts()
        new = folder not in self._folders
        self._folders.add(folder)
        return new

    def handle(self, name: str, *, make: bool) -> int:
        """See `Calls`."""
        self._acts()
        if make and name not in self._files:
            if _folder(name) not in self._folders:
                raise _failure(errno.ENOENT)
            self._change(_Change("", name, _File()))
        handle = max(self._handles, default=0) + 1
        self._handles[handle] = self._file(name)
        return handle

    def write(self, handle: int, offset: int, data: bytes) -> None:
        """See `Calls`."""
        self._lives()
        file = self._handles[handle]
        growth = offset + len(data) - len(file.data)
        lacking = max(0, growth - self.free()) if growth > 0 else 0
        try:
            self._acts()
        except PowerCut:
            self._put(file, offset, data[: self._draw(len(data) + 1)])
            raise
        self.written += len(data) - lacking
        self._put(file, offset, data[: len(data) - lacking])
        if lacking:
            raise _failure(errno.ENOSPC)

    def truncate(self, handle: int, size: int) -> None:
        """See `Calls`."""
        self._acts()
        if len(self._handles[handle].data) != size:
            self._put(self._handles[handle], size, None)

    def sync(self, handle: int) -> None:
        """See `Calls`."""
        self._acts()
        self.syncs += 1
        file = self._handles[handle]
        for offset, data in file.unsynced:
            _write(file.platter, offset, data)
        file.unsynced.clear()

    def close(self, handle: int) -> None:
        """See `Calls`."""
        self._handles.pop(handle, None)

    def rename(self, name: str, final: str) -> None:
        """See `Calls`."""
        self._acts()
        self._change(_Change(name, final, self._file(name)))
        if name in self.unreadable:
            self.unreadable = self.unreadable - {name} | {final}

    def unlink(self, name: str) -> None:
        """See `Calls`."""
        self._acts()
        self._file(name)
        self._change(_Change(name, "", None))

    def sync_folder(self, folder: str) -> None:
        """See `Calls`."""
        self._acts()
        self.syncs += 1
        rest = []
        for change in self._changes:
            if folder in change.folders():
                change.make(self._platter)
            else:
                rest.append(change)
        self._changes = rest
        self._synced_folders |= {each for each in self._folders if each and _folder(each) == folder}

    def sync_all(self) -> None:
        """See `Calls`."""
        self._lives()
        for file in self._files.values():
            file.platter, file.unsynced = bytearray(file.data), []
        self._platter, self._changes = dict(self._files), []
        self._synced_folders = set(self._folders)

    def free(self) -> int:
        """See `Calls`."""
        return max(0, self.capacity - sum(len(file.data) for file in self._files.values()))

    def room(self, folder: str) -> tuple[int, int, int]:
        """See `Calls`; all folders are on this disk."""
        self._lives()
        return len(folder[:0]), self.free(), self.capacity

    def close_all(self) -> None:
        """See `Calls`."""

    def _file(self, name: str) -> _File:
        self._lives()
        if name not in self._files:
            raise _failure(errno.ENOENT)
        if self.failing:
            raise _failure(errno.EIO)
        return self._files[name]

    def _lives(self) -> None:
        if self.off:
            raise PowerCut

    def _acts(self) -> None:
        """Count what changes something, and cut the power when its time has come."""
        self._lives()
        if self.cut_at is not None and self.operations >= self.cut_at:
            self.off = True
            raise PowerCut
        self.operations += 1
        if self.failing:
            raise _failure(errno.EIO)

    def _change(self, change: _Change) -> None:
        change.make(self._files)
        self._changes.append(change)

    def _put(self, file: _File, offset: int, data: bytes | None) -> None:
        _write(file.data, offset, data)
        file.unsynced.append((offset, data))

    def _tear(self, file: _File) -> None:
        """Rule 2."""
        stays = self._draw(len(file.unsynced) + 1)
        for offset, data in file.unsynced[:stays]:
            _write(file.platter, offset, data)
        for offset, data in file.unsynced[stays : stays + 1]:
            if data is not None:
                part = data[: self._draw(len(data) + 1)]
                _write(file.platter, offset, part if self._draw(3) else bytes(len(part)))
        file.unsynced.clear()
        file.data = bytearray(file.platter)

    def _draw(self, choices: int) -> int:
        """Return a number below `choices`, from the seed."""
        self._draws += 1
        return int(digests.sha256_hex(f"{self._seed}/{self._draws}".encode())[:12], 16) % choices


class SimulatedDisk(FileDisk):
    """`ports.Disk` in memory, with power cuts. `memory` tells what was asked of it."""

    def __init__(self, seed: int = 0, capacity: int = ROOM) -> None:
        self.memory = Memory(seed, capacity)
        super().__init__(self.memory, reserve=0)

    @property
    def operations(self) -> int:
        """How many calls have changed something so far."""
        return self.memory.operations

    def cut_after(self, operations: int) -> None:
        """Let so many more calls pass that change something, and cut the power in the next one."""
        self.memory.cut_at = self.memory.operations + operations

    def full_after(self, size: int) -> None:
        """Leave room for `size` bytes more."""
        self.memory.capacity += size - self.memory.free()

    def fail(self, *, on: bool = True) -> None:
        """Have every call fail as a dying disk does, or no more."""
        self.memory.failing = on

    def damage(self, name: str, data: bytes) -> None:
        """Have a file hold something that nobody wrote."""
        file = self.memory._files[name]  # noqa: SLF001 - it is this disk's own memory
        file.data, file.platter = bytearray(data), bytearray(data)

    def crash(self) -> None:
        """Lose what a power cut loses, and be open for the next run of the agent."""
        self.memory.crash()
        self._begin()

    def kill(self) -> None:
        """Lose nothing but handles: the process was killed, and is begun anew."""
        self.memory.restart()
        self._begin()


def _write(data: bytearray, offset: int, piece: bytes | None) -> None:
    if piece is None:
        del data[offset:]
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _above(folder: str) -> set[str]:
    parts = folder.split("/")
    return {"/".join(parts[:depth]) for depth in range(len(parts))}
