# SPDX-License-Identifier: Apache-2.0
"""What is this compressed with, and what was it before?

Rules: 1. the first bytes say it, as the engines judge it too, whatever a name or a media type claims; 2. gzip and zstd
are undone, piece by piece and never more than the limit; 3. others are refused by name.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from checkvalve.crypto.digests import Running
from checkvalve.errors import InvalidError
from checkvalve.server.blobs.store import PIECE, Blobs, failures

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
_READ = 64 << 10
_WINDOW = 128 << 20  # what zstd's own programs take without being asked to
_REMEDY = "Make the archive anew; `gzip -t` or `zstd -t` tells whether a file is whole."


def kind(first: bytes) -> str:
    """Return gzip, zstd, xz, bzip2, or nothing for what begins otherwise."""
    return next((name for magic, name in _MAGIC.items() if first.startswith(magic)), "")


def plain(source: BinaryIO, packing: str, limit: int) -> Iterator[bytes]:
    """Yield what `source` holds without its packing, in pieces of at most a megabyte.

    Raises `InvalidError`: `archive.size` beyond `limit` bytes, `archive.truncated`, `archive.packing`.
    """
    seen = 0
    for piece in _undone(source, packing):
        seen += len(piece)
        if seen > limit:
            raise too_large(limit)
        yield piece


def unpacked_digest(blobs: Blobs, digest: str, limit: int) -> tuple[str, int]:
    """Return the digest of a layer without its compression, and its size so.

    Raises what `plain` raises, `NotFoundError` (`blob.not_found`) and `UnavailableError` (`blobs.damaged`).
    """
    with failures(), blobs.open(digest) as file:
        packing = kind(file.read(8))
        file.seek(0)
        packed, content = _Hashed(file), Running()
        try:
            for piece in plain(packed, packing, limit):  # type: ignore[arg-type] # only `read` is asked of it
                content.update(piece)
        except InvalidError:
            packed.finish()
            if packed.digest == digest:  # then the layer came so; else it was damaged here
                raise
        packed.finish()
    if packed.digest != digest:
        raise blobs.damaged(digest)
    return "sha256:" + content.hexdigest(), content.size


def too_large(limit: int) -> InvalidError:
    """Return what to raise for more than `limit` bytes."""
    return InvalidError(
        "archive.size",
        f"The archive holds more than {limit} bytes.",
        "Import fewer images at a time, or have largest_archive raised in the plane's settings.",
    )


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._content = Running()

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._content.update(piece)
        return piece

    def finish(self) -> None:
        while self.read(PIECE):
            pass

    @property
    def digest(self) -> str:
        return "sha256:" + self._content.hexdigest()


def _undone(source: BinaryIO, packing: str) -> Iterator[bytes]:
    match packing:
        case "":
            while piece := source.read(PIECE):
                yield piece
        case "gzip":
            yield from _gunzipped(source)
        case "zstd":
            yield from _unzstd(source)
        case _:  # rule 3
            raise InvalidError(
                "archive.packing",
                f"It is compressed with {packing}, which Checkvalve does not undo.",
                "Use gzip or no compression.",
            )


def _unzstd(source: BinaryIO) -> Iterator[bytes]:
    """Undo zstd (RFC 8878). A cut frame yields what there was; that the rest is missing, digest or tar will tell."""
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(source, read_across_frames=True)
    try:
        while piece := reader.read(PIECE):
            yield piece
        if not reader.tell():
            raise InvalidError("archive.truncated", "The zstd data is empty or ends too early.", _REMEDY)
    except zstandard.ZstdError as error:
        raise InvalidError("archive.packing", "The zstd data is damaged.", _REMEDY) from error


def _gunzipped(source: BinaryIO) -> Iterator[bytes]:
    """Undo gzip. RFC 1952, 2.2: a file is one member after the other; zeros may fill a tape's last block."""
    rest = source.read(_READ)
    while rest:
        member = zlib.decompressobj(wbits=31)
        more = False  # zlib may hold more of what it has taken than one piece
        while not member.eof:
            if not rest and not more and not (rest := source.read(_READ)):
                raise InvalidError("archive.truncated", "The gzip data ends too early.", _REMEDY)
            try:
                piece = member.decompress(rest, PIECE)
            except zlib.error as error:
                raise InvalidError("archive.packing", "The gzip data is damaged.", _REMEDY) from error
            rest, more = member.unconsumed_tail, len(piece) == PIECE
            if piece:
                yield piece
        rest = member.unused_data or source.read(_READ)
        while rest and not rest.strip(b"\0"):
            rest = source.read(_READ)
