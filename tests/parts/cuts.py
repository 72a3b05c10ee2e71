# SPDX-License-Identifier: Apache-2.0
"""The system calls by which a program changes a folder, recorded, and every tree that a power cut may leave of them.

`Recorder` stands between the interpreter and the kernel (`os.open`, `os.pwrite`, `os.fsync`, `os.replace` ...), so that
nobody's writing below the folder escapes it; `Platter` is what a disk may hold of what was recorded.

The model is at least as wild as ext4 with data=ordered, and as POSIX allows:
1. What a file held when it was last synced is there. Of its writes since then there is nothing; or the first ones, and
   of the next one nothing, its first block, its first half, or zeros of its length (the length came, the data did not);
   or one of them alone, with zeros before it. Its mode is the one last synced, or the newest.
2. A change of names is one thing: made, renamed, removed. Those from before their folder was synced are there. Of the
   others any set is, in their order: neither a file's own sync nor a later change of names brings one along.
   A rename is there whole or not at all. Of more than `MOST_NAMES` the sets are: the first ones, one, all but one.
3. Files and names are independent: a name may be there without the data, and the data without the name.
4. What is in a folder whose name is not there, is not there.
"""

import contextlib
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkvalve.crypto import digests

MOST_NAMES = 6  # changes of names of which every set is tried
MOST_DATA = 300  # contents of all files that are not synced, with each other
BLOCK = 4096
ROOT = 0
_Piece = tuple[int, bytes | None]  # offset, data; None: cut to this length
_Set = tuple[int, str, int | None]  # in this folder this name means that; None: nothing


@dataclass(frozen=True)
class Tree:
    """What a power cut left: files with their modes, and folders with theirs, by path."""

    files: Mapping[str, tuple[bytes, int]]
    folders: Mapping[str, int]

    @functools.cached_property
    def digest(self) -> str:
        """Return what stands for all of it."""
        said = [f"{name}\0{_sha(data)}\0{mode}" for name, (data, mode) in sorted(self.files.items())]
        said += [f"{name}\0{mode}" for name, mode in sorted(self.folders.items())]
        return digests.sha256_hex("\n".join(said).encode())

    def build(self, root: Path) -> None:
        """Have exactly this below the folder."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700, parents=True)
        for name in sorted(self.folders):
            (root / name).mkdir(mode=self.folders[name])
        for name, (data, mode) in self.files.items():
            (root / name).write_bytes(data)
            (root / name).chmod(mode)


def found(root: Path) -> Tree:
    """Return what is below the folder now."""
    every = {str(each.relative_to(root)): each for each in root.rglob("*")}
    modes = {name: each.stat().st_mode & 0o7777 for name, each in every.items()}
    return Tree(
        {name: (each.read_bytes(), modes[name]) for name, each in every.items() if each.is_file()},
        {name: modes[name] for name, each in every.items() if each.is_dir()},
    )


@dataclass
class _File:
    """What is on the platter, and what was asked for since."""

    data: bytes = b""
    mode: int = 0o600
    asked: list[_Piece] = field(default_factory=list)
    asked_mode: int = 0o600

    def now(self) -> bytes:
        """Return what it is to the program."""
        return functools.reduce(_written, self.asked, self.data)

    def forms(self) -> list[tuple[bytes, int]]:
        """Return what a cut may leave of it (rule 1)."""
        found, current = [self.data], self.data
        for offset, data in self.asked:
            if data is not None:
                parts = (data[:BLOCK], data[: len(data) // 2], bytes(len(data)))
                found += [_written(current, (offset, part)) for part in parts]
            current = _written(current, (offset, data))
            found.append(current)
        found += [_written(self.data, each) for each in self.asked if each[1] is not None]
        return [(data, mode) for data in dict.fromkeys(found) for mode in {self.mode, self.asked_mode}]


class Platter:
    """A disk, as far as is known what has come to it. Files and folders are numbers; `ROOT` is the folder itself."""

    def __init__(self, tree: Tree) -> None:
        """Begin with a tree that is all there."""
        self._numbers = itertools.count(ROOT + 1)
        self._files: dict[int, _File] = {}
        self._modes: dict[int, int] = {ROOT: 0o700}
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._changes: list[tuple[_Set, ...]] = []
        self._live: dict[int, dict[str, int]] = {ROOT: {}}
        for name in sorted(tree.folders):
            self.make(*self._place(name), tree.folders[name], folder=True)
        for name, (data, mode) in tree.files.items():
            number = self.make(*self._place(name), mode)
            self._files[number] = _File(data, mode, [], mode)
        for folder in list(self._names):
            self.sync(folder)

    def at(self, folder: int, path: str) -> int | None:
        """Return what a path means to the program, None for nothing."""
        for part in filter(None, path.split("/")):
            inside = self._live.get(folder, {})
            if part not in inside:
                return None
            folder = inside[part]
        return folder

    def holds(self) -> Tree:
        """Return what there is to the program: all of it, synced or not."""
        return self._tree(self._live, {number: (each.now(), each.asked_mode) for number, each in self._files.items()})

    # ---- What the program asks for. ----

    def make(self, above: int, name: str, mode: int, *, folder: bool = False) -> int:
        """Make a file or a folder, and return its number."""
        number = next(self._numbers)
        if folder:
            self._names[number], self._live[number], self._modes[number] = {}, {}, mode
        else:
            self._files[number] = _File(b"", mode, [], mode)
        self._change((above, name, number))
        return number

    def remove(self, folder: int, name: str) -> None:
        """Take a name away."""
        self._change((folder, name, None))

    def rename(self, folder: int, name: str, to: int, final: str) -> None:
        """Give it another name."""
        self._change((folder, name, None), (to, final, self._live[folder][name]))

    def write(self, number: int, piece: _Piece) -> None:
        """Write into a file, or cut it."""
        self._files[number].asked.append(piece)

    def mode(self, number: int, mode: int) -> None:
        """Change a mode."""
        if number in self._files:
            self._files[number].asked_mode = mode
        else:
            self._modes[number] = mode

    def sync(self, number: int) -> None:
        """Have a file's data, or a folder's names, on the platter."""
        if number in self._files:
            file = self._files[number]
            file.data, file.mode, file.asked = file.now(), file.asked_mode, []
            return
        stay = []
        for change in self._changes:
            if any(folder == number for folder, _, _ in change):
                _apply(self._names, change)
            else:
                stay.append(change)
        self._changes = stay

    def dirty(self, number: int, size: int) -> bool:
        """Tell whether cutting to `size` changes anything."""
        return len(self._files[number].now()) != size

    def _change(self, *change: _Set) -> None:
        _apply(self._live, change)
        self._changes.append(change)

    def _place(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        folder = self.at(ROOT, above)
        assert folder is not None, path
        return folder, name

    # ---- What a cut leaves. ----

    def trees(self) -> Iterator[Tree]:
        """Yield every tree that a power cut may leave now, some of them more than once."""
        for changes in _sets(self._reachable()):
            names = {folder: dict(inside) for folder, inside in self._names.items()}
            for change in changes:
                _apply(names, change)
            there = [number for number in _within(names) if number in self._files]
            forms = [self._files[number].forms() for number in there]
            for contents in _products(forms):
                yield self._tree(names, dict(zip(there, contents, strict=True)))

    def _reachable(self) -> list[tuple[_Set, ...]]:
        """Return the changes that can matter: those in folders that may be there."""
        all_ = {folder: set(inside.values()) for folder, inside in self._names.items()}
        for change in self._changes:
            for folder, _, number in change:
                all_[folder] |= set() if number is None else {number}
        there, more = {ROOT}, {ROOT}
        while more:
            more = {each for folder in more for each in all_.get(folder, ())} - there
            there |= more
        return [change for change in self._changes if any(folder in there for folder, _, _ in change)]

    def _tree(self, names: Mapping[int, Mapping[str, int]], contents: Mapping[int, tuple[bytes, int]]) -> Tree:
        files, folders = {}, {}
        for path, number in _walk(names, ROOT, ""):
            if number in self._files:
                files[path] = contents[number]
            else:
                folders[path] = self._modes[number]
        return Tree(files, folders)


class Recorder:
    """Records what this process does below a folder; `done` is called after each call that changed or synced it."""

    def __init__(self, root: Path, done: Callable[[], None]) -> None:
        self._root = os.path.abspath(root)  # noqa: PTH100 - and no link is followed
        self.platter = Platter(found(root))
        self.calls = 0
        self._done = done
        self._handles: dict[int, int] = {}
        self._at: dict[int, int] = {}  # where the next write of a handle goes
        self._real: dict[str, Callable[..., Any]] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record; handles that are open already are known by what the kernel says of them."""
        for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names alone
            with contextlib.suppress(OSError):
                self._hold(int(entry), self._number(os.readlink(f"/proc/self/fd/{entry}"), None))  # noqa: PTH115
        ours = (
            "open close write pwrite ftruncate fsync fdatasync mkdir rename replace unlink remove rmdir fchmod chmod"
        ).split()
        self._real = {name: getattr(os, name) for name in ours}
        for name in ours:
            setattr(os, name, functools.partial(getattr(self, f"_{name}")))
        try:
            yield
        finally:
            for name, real in self._real.items():
                setattr(os, name, real)
        assert self.platter.holds() == found(Path(self._root)), "somebody wrote in a way that is not recorded"

    def _tell(self) -> None:
        self.calls += 1
        self._done()

    def _place(self, path: Any, above: int | None) -> tuple[int, str] | None:  # noqa: ANN401 - as os takes it
        """Return the folder of ours that a path is in, and its name there; None for a path of others."""
        text = os.fspath(path)
        text = text.decode() if isinstance(text, bytes) else text
        if above is not None and not text.startswith("/"):
            start = self._handles.get(above)
            rest = text
        else:
            whole = os.path.abspath(text)  # noqa: PTH100
            start = ROOT if whole.startswith(self._root + "/") else None
            rest = whole[len(self._root) + 1 :]
        if start is None:
            return None
        inside, _, name = rest.rpartition("/")
        folder = self.platter.at(start, inside)
        return None if folder is None else (folder, name)

    def _number(self, path: Any, above: int | None) -> int | None:  # noqa: ANN401
        if above is None and os.path.abspath(os.fspath(path)) == self._root:  # noqa: PTH100
            return ROOT
        place = self._place(path, above)
        return None if place is None else self.platter.at(*place)

    def _hold(self, handle: int, number: int | None) -> None:
        self._handles.pop(handle, None)  # it may have been closed by another way
        if number is not None:
            self._handles[handle], self._at[handle] = number, 0

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # noqa: ANN401
        number, place = self._number(path, dir_fd), self._place(path, dir_fd)
        handle: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if number is None and place is not None and flags & os.O_CREAT:
            number = self.platter.make(*place, mode)
            self._tell()
        self._hold(handle, number)
        return handle

    def _close(self, handle: int) -> None:
        self._handles.pop(handle, None)
        self._real["close"](handle)

    def _write(self, handle: int, data: Any) -> int:  # noqa: ANN401
        size: int = self._real["write"](handle, data)
        if handle in self._handles:
            self.platter.write(self._handles[handle], (self._at[handle], bytes(data)[:size]))
            self._at[handle] += size
            self._tell()
        return size

    def _pwrite(self, handle: int, data: Any, offset: int) -> int:  # noqa: ANN401
        size: int = self._real["pwrite"](handle, data, offset)
        if handle in self._handles and size:
            self.platter.write(self._handles[handle], (offset, bytes(data)[:size]))
            self._tell()
        return size

    def _ftruncate(self, handle: int, size: int) -> None:
        self._real["ftruncate"](handle, size)
        if handle in self._handles and self.platter.dirty(self._handles[handle], size):
            self.platter.write(self._handles[handle], (size, None))
            self._tell()

    def _fsync(self, handle: int) -> None:
        self._real["fsync"](handle)
        if handle in self._handles:
            self.platter.sync(self._handles[handle])
            self._tell()

    _fdatasync = _fsync

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:  # noqa: ANN401
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        place = self._place(path, dir_fd)
        if place is not None:
            self.platter.make(*place, mode, folder=True)
            self._tell()

    def _rename(self, one: Any, other: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:  # noqa: ANN401
        source, target = self._place(one, src_dir_fd), self._place(other, dst_dir_fd)
        self._real["replace"](one, other, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        assert (source is None) == (target is None), "into the folder, or out of it"
        if source is not None and target is not None:
            self.platter.rename(*source, *target)
            self._tell()

    _replace = _rename

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:  # noqa: ANN401
        self._gone("unlink", path, dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:  # noqa: ANN401
        self._gone("rmdir", path, dir_fd)

    def _gone(self, how: str, path: Any, dir_fd: int | None) -> None:  # noqa: ANN401
        self._real[how](path, dir_fd=dir_fd)
        place = self._place(path, dir_fd)
        if place is not None:
            self.platter.remove(*place)
            self._tell()

    def _fchmod(self, handle: int, mode: int) -> None:
        self._real["fchmod"](handle, mode)
        if handle in self._handles:
            self.platter.mode(self._handles[handle], mode)
            self._tell()

    def _chmod(self, path: Any, mode: int, **more: Any) -> None:  # noqa: ANN401
        self._real["chmod"](path, mode, **more)
        number = None if isinstance(path, int) else self._number(path, more.get("dir_fd"))
        if number not in (None, ROOT):
            self.platter.mode(number, mode)
            self._tell()


def _apply(names: dict[int, dict[str, int]], change: Sequence[_Set]) -> None:
    for folder, name, number in change:
        if number is None:
            names[folder].pop(name, None)
        else:
            names[folder][name] = number


def _sets(changes: list[tuple[_Set, ...]]) -> Iterator[Sequence[tuple[_Set, ...]]]:
    """Yield the sets of changes that a cut may leave (rule 2)."""
    count = len(changes)
    if count <= MOST_NAMES:
        for size in range(count + 1):
            yield from itertools.combinations(changes, size)
        return
    for number in range(count + 1):
        yield changes[:number]
    for number in range(count):
        yield changes[number : number + 1]
        yield changes[:number] + changes[number + 1 :]


def _products(forms: list[list[tuple[bytes, int]]]) -> Iterator[tuple[tuple[bytes, int], ...]]:
    """Yield each file's contents with those of all others; where these are too many, one file's at a time."""
    count = functools.reduce(lambda product, each: product * len(each), forms, 1)
    if count <= MOST_DATA:
        yield from itertools.product(*forms)
        return
    for which in range(len(forms)):
        for others in (0, -1):
            for form in forms[which]:
                yield tuple(form if number == which else each[others] for number, each in enumerate(forms))


def _walk(names: Mapping[int, Mapping[str, int]], folder: int, above: str) -> Iterator[tuple[str, int]]:
    for name, number in names[folder].items():
        path = f"{above}{name}"
        yield path, number
        if number in names:
            yield from _walk(names, number, f"{path}/")


def _within(names: Mapping[int, Mapping[str, int]]) -> list[int]:
    return [number for _, number in _walk(names, ROOT, "")]


def _written(data: bytes, piece: _Piece) -> bytes:
    offset, part = piece
    if part is None:
        return data[:offset]
    return data[:offset].ljust(offset, b"\0") + part + data[offset + len(part) :]


@functools.lru_cache(maxsize=4096)
def _sha(data: bytes) -> str:
    return digests.sha256_hex(data)
