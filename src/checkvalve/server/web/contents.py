# SPDX-License-Identifier: Apache-2.0
"""Files that small orders brought, for those who read them: logs unpacked, bundles as they are.

A device packed them, and a device may be hostile. Rules: 1. a file is read through once before a byte of it is
answered, so that a wrong one is refused and not broken off: its digest, its packing, its size unpacked; 2. logs are one
gzip member and nothing after it, of `LARGEST_TEXT` at most; 3. one piece of it is in memory at a time.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from checkvalve.crypto.digests import Running
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol.errands import LARGEST_TEXT
from checkvalve.server.blobs import store
from checkvalve.server.blobs.store import Blobs

PIECE = 128 * 1024
_GZIP = 16 + zlib.MAX_WBITS  # zlib reads the frame too, and its checksum


def size(blobs: Blobs, digest: str, *, unpacked: bool) -> int:
    """Return how many bytes there are to read.

    Raises `NotFoundError` (`errand.no_content`), `UnavailableError` (`blobs.damaged`), and `ConflictError`
    (`errand.packing`) for logs that cannot be unpacked, or to too much.
    """
    if not blobs.has(digest):
        raise NotFoundError("errand.no_content", "The file is not on the plane's disk any more.", "Order it again.")
    running, text = Running(), 0
    with store.failures(), blobs.open(digest) as file:
        for piece in _pieces(file):
            running.update(piece)
        if f"sha256:{running.hexdigest()}" != digest:
            raise blobs.damaged(digest)
        file.seek(0)
        if not unpacked:
            return running.size
        for piece in _unpacked(file):
            text += len(piece)
            if text > LARGEST_TEXT:
                raise _wrong(f"unpacks to more than {LARGEST_TEXT >> 20} MiB")
    return text


def read(blobs: Blobs, digest: str, *, unpacked: bool) -> Iterator[bytes]:
    """Yield the bytes piece by piece; what was right when its `size` was had is right now."""
    with store.failures(), blobs.open(digest) as file:
        yield from _unpacked(file) if unpacked else _pieces(file)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    unpack = zlib.decompressobj(_GZIP)
    for piece in _pieces(file):
        rest = piece
        while rest:
            if unpack.eof:
                raise _wrong("goes on after its end")
            try:
                text = unpack.decompress(rest, PIECE)
            except zlib.error as error:
                raise _wrong("is damaged") from error
            if text:
                yield text
            rest = unpack.unconsumed_tail or unpack.unused_data
    while not unpack.eof:  # what it still holds back, or nothing: then the file was cut
        text = unpack.decompress(b"", PIECE)
        if not text:
            raise _wrong("ends too early")
        yield text


def _wrong(how: str) -> ConflictError:
    return ConflictError(
        "errand.packing",
        f"What the device sent is not packed as logs are: it {how}.",
        "Order it again; if it comes like this again, look at the device.",
    )
