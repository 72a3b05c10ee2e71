# SPDX-License-Identifier: Apache-2.0
"""What is sent as an image: a file, standard input, or the directory of an OCI layout as a tar made on the way.

Rules: 1. nothing is written here, and no more than a piece is in memory; 2. a file that changes while it is sent is
found out, as the plane was told its length; 3. of a directory only what an OCI layout has (image-layout.md) is sent, in
the order of names and without owners and times, so that the same layout is the same bytes.
"""

import stat
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from checkvalve.cli import files
from checkvalve.cli.failures import UsageError

PIECE = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE
_TOP = ("index.json", "manifest.json", "oci-layout")


@dataclass(frozen=True)
class Archive:
    """Something to send. `size` is None where nobody knows it before the end."""

    name: str
    size: int | None
    path: Path | None
    members: tuple[tuple[str, Path, int], ...] = ()

    def pieces(self) -> Iterator[bytes]:
        """Yield all of it, once."""
        if self.path is None:
            yield from _rest(sys.stdin.buffer)
        elif self.members:
            yield from self._layout()
        elif self.size is None:
            yield from _opened(self.path)
        else:
            yield from _exactly(self.path, self.size)

    def _layout(self) -> Iterator[bytes]:
        for name, path, size in self.members:
            yield _header(name, size)
            yield from _exactly(path, size)
            yield bytes(-size % _BLOCK)
        yield bytes(2 * _BLOCK)


def archive(file: str) -> Archive:
    """Return what `file` names; `UsageError` (`file.unreadable`, `image.layout`)."""
    if file == "-":
        return Archive("standard input", None, None)
    path = Path(file)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _directory(path)
        if not stat.S_ISREG(found.st_mode):
            return Archive(path.name, None, path)  # a pipe is opened once: whoever writes it would notice
        with path.open("rb"):
            return Archive(path.name, found.st_size, path)
    except (OSError, ValueError) as error:
        raise files.unreadable(file, error) from error


def _directory(path: Path) -> Archive:
    top = [path / name for name in _TOP if (path / name).is_file()]
    if not {"index.json", "oci-layout"} <= {each.name for each in top}:
        raise UsageError(
            "image.layout",
            f"{path} is a directory, and not one of an OCI layout: index.json or oci-layout is missing.",
            "Give an archive (docker save, skopeo copy … oci-archive:), or the directory that holds those two.",
        )
    blobs = [blob for blob in (path / "blobs").glob("*/*") if blob.is_file()]
    members = sorted((each.relative_to(path).as_posix(), each, each.stat().st_size) for each in [*top, *blobs])
    total = sum(len(_header(name, size)) + size + -size % _BLOCK for name, _, size in members) + 2 * _BLOCK
    return Archive(f"{path.name or path}/", total, path, tuple(members))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _exactly(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file that must have `size` bytes to its end (rule 2)."""
    sent = 0
    for piece in _opened(path):
        sent += len(piece)
        if sent > size:
            break
        yield piece
    if sent != size:
        raise UsageError(
            "file.changed", f"{path} was changed while it was sent.", "Let it be finished first, then import it again."
        )


def _opened(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as source:
            yield from _rest(source)
    except OSError as error:
        raise files.unreadable(str(path), error) from error


def _rest(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece
