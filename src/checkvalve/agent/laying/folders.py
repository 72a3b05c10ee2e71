# SPDX-License-Identifier: Apache-2.0
"""Lays the files and secrets of slots out in two folders of this machine, on the disk and in memory (walk values, 10).

Rules: 1. files lie on the disk, so that containers start after a restart of the machine without the agent; secrets lie
in memory (tmpfs or ramfs) and nowhere else, and are laid out again before anything starts; 2. folders are the agent's
own (0700): what a container is given is a file; 3. no symbolic link is followed below the two folders: each step of a
path is opened by itself; 4. a file is written under a name that was not there, and renamed once it is whole; 5. the
mark of an attempt is written last and removed first, so that a set that was cut short is never taken for a whole one;
6. what has its mark is not written again: containers hold it.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from checkvalve import canonical, ids
from checkvalve.agent import given, places
from checkvalve.agent.given import Thing
from checkvalve.agent.steps import Slot
from checkvalve.crypto import digests, keys
from checkvalve.errors import CheckvalveError, ConflictError, UnavailableError
from checkvalve.protocol.declared import Placed
from checkvalve.protocol.workload import Manifest

_MEMORY = frozenset({0x01021994, 0x858458F6})  # f_type of tmpfs and of ramfs: statfs(2)
_NEW = ".new"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class _Set:
    """What lies below one of the two folders. `suffix` is of the names, `lasts`: it is to outlive a power cut."""

    root: Path
    suffix: str
    lasts: bool


class Folders:
    """`ports.Laying` below `files` (on the disk) and `runtime` (in memory); `own` returns keys that open secrets."""

    def __init__(self, files: Path, runtime: Path, own: Callable[[], Iterable[keys.PrivateKey]]) -> None:
        self.files, self.runtime = str(files.absolute()), str(runtime.absolute())
        self._files = _Set(files.absolute(), places.FILE, lasts=True)
        self._secrets = _Set(runtime.absolute(), places.SECRET, lasts=False)
        self._own = own

    def check(self, manifest: Manifest) -> None:
        """Raise `ConflictError` if this device cannot lay out what this release places (`ports.Laying`)."""
        for name, service in manifest.services.items():
            for placed in (service.files, service.secrets):
                if len({each.name for each in placed}) < len({_said(each) for each in placed}):
                    raise ConflictError(
                        "places.twice",
                        f"Service {name} has one file or secret with two modes or owners.",
                        "Give it one, or declare it twice.",
                    )
            for each in (*service.files, *service.secrets):
                _check_owner(name, each)
        if given.has_secrets(manifest):
            with self._telling(self.runtime):
                self._check_memory()

    def lay(self, slot: Slot) -> None:
        """Have the slot's files and secrets in place; secrets first (rule 5)."""
        with self._telling(self.runtime):
            secrets = list(given.secrets(slot, self._own()))
            if secrets:
                self._check_memory()
                _write(self._secrets, slot.attempt, secrets, again=False)
        with self._telling(self.files):
            _write(self._files, slot.attempt, list(given.files(slot)), again=bool(secrets))

    def unlay(self, attempt: str) -> None:
        """Have nothing of an attempt."""
        if not ids.well_formed(attempt):
            return
        for each, where in ((self._files, self.files), (self._secrets, self.runtime)):
            with self._telling(where):
                _remove(each, attempt)

    def laid(self) -> frozenset[str]:
        """Return the attempts whose set is whole: what its mark says that there are secrets, they are there, too."""
        return frozenset(attempt for attempt in _attempts(self._files.root) if self._whole(attempt))

    def sweep(self, keep: Collection[str]) -> None:
        """Have nothing of attempts but these."""
        there = {*_attempts(self._files.root), *_attempts(self._secrets.root)}
        for attempt in sorted(there - set(keep)):
            self.unlay(attempt)

    def _whole(self, attempt: str) -> bool:
        mark = _mark(self._files, attempt)
        return mark is not None and (mark.endswith(b"-") or _mark(self._secrets, attempt) is not None)

    def _check_memory(self) -> None:
        if not in_memory(self._secrets.root):
            raise ConflictError(
                "secrets.no_tmpfs",
                f"{self.runtime} is not in memory (tmpfs), and secrets are written nowhere else.",
                "Mount a tmpfs there, or name a directory in one: checkvalve-agent run --runtime DIR.",
            )

    @contextlib.contextmanager
    def _telling(self, where: str) -> Iterator[None]:
        """Turn what the kernel says into what we say, without a word of what was written."""
        try:
            yield
        except OSError as error:
            raise _refusal(error, where) from None


def in_memory(folder: Path) -> bool:
    """Tell whether what is written into a folder, or into the nearest one above that is there, stays in memory."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    libc, said = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(512)
    if libc.statfs(os.fsencode(folder), said) != 0:
        return False
    return ctypes.c_ulong.from_buffer(said).value & 0xFFFFFFFF in _MEMORY


def _write(where: _Set, attempt: str, things: Collection[Thing], *, again: bool) -> None:
    """Write a set, whole, if it has not its mark (rules 4 to 6). The mark says also whether secrets belong to it."""
    mark = _sum(things) + (b"+" if again else b"-")
    if _mark(where, attempt) == mark:
        return
    _remove(where, attempt)
    with _opened(where.root, make=True) as root, _within(root, attempt) as folder:
        for service in sorted({each.service for each in things}):
            with _within(folder, service) as inner:
                for each in things:
                    if each.service == service:
                        _put(inner, each.placed.name + where.suffix, each.content, each.placed)
                _settle(inner, where)
        _settle(folder, where)
        _put(folder, places.DONE, mark, None)
        _settle(folder, where)
        _settle(root, where)


def _put(folder: int, name: str, content: bytes, placed: Placed | None) -> None:
    """Write one file with its owner and mode (rules 3 and 4)."""
    new = _NEW + name
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    handle = os.open(new, _FILE, 0o600, dir_fd=folder)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        if placed is not None:
            if os.geteuid() == 0:
                os.fchown(handle, placed.uid, placed.gid)
            os.fchmod(handle, placed.mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)


def _remove(where: _Set, attempt: str) -> None:
    """Have no set of an attempt; its mark goes first (rule 5)."""
    with contextlib.suppress(FileNotFoundError), _opened(where.root) as root:
        if stat.S_ISDIR(os.stat(attempt, dir_fd=root, follow_symlinks=False).st_mode):
            with _opened(attempt, root) as folder:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(places.DONE, dir_fd=folder)
                _settle(folder, where)
            shutil.rmtree(attempt, dir_fd=root)
        else:
            os.unlink(attempt, dir_fd=root)
        _settle(root, where)


def _mark(where: _Set, attempt: str) -> bytes | None:
    try:
        with _opened(where.root) as root, _opened(attempt, root) as folder:
            handle = os.open(places.DONE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                return file.read(256)
    except OSError:
        return None


def _attempts(root: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(root) if ids.well_formed(name))  # noqa: PTH208 - names alone
    except OSError:
        return []


@contextlib.contextmanager
def _opened(path: Path | str, above: int | None = None, *, make: bool = False) -> Iterator[int]:
    """Lend a folder, which is no symbolic link (rule 3); `make`: with those above it, for the agent alone (rule 2)."""
    if make:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, _FOLDER, dir_fd=above)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _within(above: int, name: str) -> Iterator[int]:
    """Lend a folder of a folder, made if it is not there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=above)
    with _opened(name, above) as handle:
        yield handle


def _settle(folder: int, where: _Set) -> None:
    if where.lasts:
        os.fsync(folder)


def _sum(things: Collection[Thing]) -> bytes:
    """Return what stands for a set in its mark: names, modes, owners, and which text; no text itself."""
    said = sorted([each.service, *(str(part) for part in _said(each.placed)), each.mark] for each in things)
    return digests.sha256_hex(canonical.dumps(said)).encode()


def _said(placed: Placed) -> tuple[str | int, ...]:
    return placed.name, placed.mode, placed.uid, placed.gid


def _check_owner(service: str, placed: Placed) -> None:
    """Only root gives files away; a file that even the agent could not read would keep it from starting."""
    own = os.geteuid()
    if own and (placed.uid not in (0, own) or placed.gid not in (0, os.getegid()) or not placed.mode & 0o400):
        raise ConflictError(
            "places.owner",
            f"Service {service} wants {placed.name} for {placed.uid}:{placed.gid} with the mode {placed.mode:04o}, and "
            "an agent that is not root cannot do that.",
            "Run the agent as root, or leave out uid, gid and mode.",
        )


def _refusal(error: OSError, where: str) -> CheckvalveError:
    if error.errno in _FULL:
        return UnavailableError("disk.full", f"There is no room below {where}.", "Make room on the device.")
    return UnavailableError(
        "disk.failed",
        f"What a container is to find could not be written below {where}: {error.strerror or error}.",
        "See what the kernel says, and who owns the directory.",
    )
