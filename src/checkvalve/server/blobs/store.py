# SPDX-License-Identifier: Apache-2.0
"""Blobs as files of one directory: `sha256/ab/…` by content, `incoming/` for what is on its way.

Rules: 1. a path is made of a digest only by `form`; 2. a file is whole before it has its name: written to `incoming/`,
synced, renamed, the directory synced; 3. what is there already with the right size is kept, and touched, so that a
sweep spares it; 4. putting and sweeping exclude each other for the moment in which one of them decides; 5. a blob whose
bytes are not its digest's is set aside, so that the next import brings it again.
"""

import contextlib
import errno
import fcntl
import io
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from checkvalve.crypto.digests import Running, sha256_hex
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError, UnavailableError

PIECE = 1 << 20
_HEX = frozenset("0123456789abcdef")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob that is there now; `added` if it was not before."""

    digest: str
    size: int
    added: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, in files and bytes."""

    count: int
    size: int


def form(digest: str) -> str:
    """Return `digest` if it is `sha256:` and 64 lower-case hex digits, else raise `InvalidError` (`blob.digest`)."""
    algorithm, _, rest = digest.partition(":")
    if algorithm != "sha256" or len(rest) != 64 or not _HEX.issuperset(rest):
        raise InvalidError(
            "blob.digest", f"{digest[:100]!a} is no digest.", "Write sha256: and 64 lower-case hex digits."
        )
    return digest


class Blobs:
    """The blobs in one directory, which is made where it is missing. Threads and processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._named = directory / "sha256"
        self._incoming = directory / "incoming"
        with failures():
            for folder in (self._named, self._incoming):
                folder.mkdir(parents=True, exist_ok=True)

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there."""
        path = self._path(digest)
        with failures():
            return path.is_file()

    def size(self, digest: str) -> int:
        """Return its size in bytes, or raise `NotFoundError` (`blob.not_found`)."""
        path = self._path(digest)
        with failures(), _found(digest):
            return path.stat().st_size

    def open(self, digest: str) -> BinaryIO:
        """Return the blob as an open file, unchecked, or raise `NotFoundError` (`blob.not_found`)."""
        path = self._path(digest)
        with failures(), _found(digest):
            return path.open("rb")

    def read(self, digest: str, largest: int) -> bytes:
        """Return the blob's bytes, checked against its digest.

        Raises `NotFoundError` (`blob.not_found`), `InvalidError` (`blob.size`) for more than `largest` bytes, and
        `UnavailableError` (`blobs.damaged`).
        """
        with failures(), self.open(digest) as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            raise InvalidError(
                "blob.size", f"Blob {digest} has more than {largest} bytes.", "Import something smaller."
            )
        if sha256_hex(data) != digest.removeprefix("sha256:"):
            raise self.damaged(digest)
        return data

    def put(self, source: BinaryIO | bytes) -> Stored:
        """Store what `source` holds from where it stands to its end.

        Raises `UnavailableError` (`blobs.full`, `blobs.failed`); then nothing is left of it.
        """
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        with failures(), self.coming() as blob:
            while piece := stream.read(PIECE):
                blob.add(piece)
            return blob.keep()

    @contextlib.contextmanager
    def coming(self) -> Iterator["Coming"]:
        """Lend what takes a blob piece by piece; unless it was kept, nothing is left of it.

        Raises `UnavailableError` (`blobs.full`, `blobs.failed`).
        """
        with failures():
            file = tempfile.NamedTemporaryFile(dir=self._incoming, buffering=0, delete=False)  # noqa: SIM115 (as below)
        with file:
            try:
                yield Coming(file, self._named_by_content)
            finally:
                Path(file.name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def spool(self) -> Iterator[IO[bytes]]:
        """Lend a file for what arrives. It has no name, so that not even a killed process leaves it behind."""
        with failures():
            file = tempfile.TemporaryFile(dir=self._incoming)  # noqa: SIM115 (an error of the caller's is not ours)
        with file:
            yield file

    def free(self) -> int:
        """Return how many bytes the file system can still take."""
        with failures():
            facts = os.statvfs(self._named)
        return facts.f_bavail * facts.f_frsize

    def sweep(self, keep: Collection[str], older_than: float) -> Swept:
        """Remove blobs that are not in `keep`, and leftovers on their way, last touched before the moment `older_than`.

        The moment is in seconds since 1970. `keep` may be older than the sweep: what was put since is younger.
        """
        count = size = 0
        with failures():
            for path in [*self._named.glob("??/*"), *self._incoming.iterdir()]:
                if path.parent != self._incoming and f"sha256:{path.parent.name}{path.name}" in keep:
                    continue
                with self._deciding(), contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    if facts.st_mtime < older_than:
                        path.unlink()
                        count, size = count + 1, size + facts.st_size
        return Swept(count, size)

    def damaged(self, digest: str) -> UnavailableError:
        """Set a blob aside whose bytes are not its digest's (rule 5), and return what to raise."""
        path = self._path(digest)
        with failures(), self._deciding(), contextlib.suppress(FileNotFoundError):
            path.rename(self._incoming / f"damaged-{digest.removeprefix('sha256:')}")
        return UnavailableError(
            "blobs.damaged", f"Blob {digest} was damaged where it is stored.", "Import the image that holds it again."
        )

    def _path(self, digest: str) -> Path:
        name = form(digest).removeprefix("sha256:")  # rule 1
        return self._named / name[:2] / name[2:]

    def _named_by_content(self, partial: IO[bytes], content: Running) -> Stored:
        digest = "sha256:" + content.hexdigest()
        if self._kept(digest, content.size):
            return Stored(digest, content.size, added=False)
        os.fsync(partial.fileno())  # rule 2, outside the lock: it may take seconds
        path = self._path(digest)
        with self._deciding():
            if self._is(path, content.size):
                return Stored(digest, content.size, added=False)
            path.parent.mkdir(exist_ok=True)
            Path(partial.name).replace(path)
            for folder in (path.parent, self._named):
                _sync(folder)
        return Stored(digest, content.size, added=True)

    def _kept(self, digest: str, size: int) -> bool:
        with self._deciding():
            return self._is(self._path(digest), size)

    def _is(self, path: Path, size: int) -> bool:
        """Tell whether the blob is there with this size, and touch it if so (rule 3)."""
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size == size:
                os.utime(path)
                return True
        return False

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """Exclude all others, threads and processes, for a moment (rule 4)."""
        descriptor = os.open(self._named, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Coming:
    """A blob on its way in: `digest` and `size` are of what came so far. One thread at a time."""

    def __init__(self, file: IO[bytes], name: Callable[[IO[bytes], Running], Stored]) -> None:
        self._file = file
        self._name = name
        self._content = Running()

    @property
    def digest(self) -> str:
        """What it would be called now."""
        return "sha256:" + self._content.hexdigest()

    @property
    def size(self) -> int:
        """In bytes."""
        return self._content.size

    def add(self, piece: bytes) -> None:
        """Take what comes next; `UnavailableError` (`blobs.full`, `blobs.failed`)."""
        self._content.update(piece)
        rest = memoryview(piece)
        with failures():
            while rest:  # a disk that fills up takes a part of it first
                rest = rest[self._file.write(rest) :]

    def keep(self) -> Stored:
        """Have the blob, whole; `UnavailableError` (`blobs.full`, `blobs.failed`)."""
        with failures():
            return self._name(self._file, self._content)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what a disk refuses into `UnavailableError`: `blobs.full`, or `blobs.failed` with the system's word."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UnavailableError(
                "blobs.full", "The disk for images is full.", "Free space there, or remove images; then try again."
            ) from error
        what = errno.errorcode.get(error.errno or 0, "unknown")
        raise UnavailableError(
            "blobs.failed", f"The disk for images failed ({what}).", "Look at the plane's disk; then try again."
        ) from error


@contextlib.contextmanager
def _found(digest: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise absent(digest) from error


def absent(digest: str) -> CheckvalveError:
    """Return what to raise for a blob that is not there."""
    return NotFoundError("blob.not_found", f"Blob {digest} is not here.", "Import the image that holds it.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
