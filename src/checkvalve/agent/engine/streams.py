# SPDX-License-Identifier: Apache-2.0
"""What a container says, out of the frames an engine sends it in, with a bound.

Docker's format of attached streams: eight bytes (stream, three zeros, length, big-endian), then so many of text.
"""

import codecs
from collections import deque


class Tail:
    """Keeps the last bytes of what containers said, at most `limit` and a piece."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = b""
        self._left = 0  # bytes of the frame that are still to come
        self._plain = False  # no frames: one stream, as a terminal's
        self._kept: deque[bytes] = deque()
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take what came next."""
        data = self._pending + piece
        self._pending = b""
        while data and not self._plain:
            if self._left:
                self._keep(data[: self._left])
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
            elif len(data) < 8:
                self._pending = data
                return
            elif data[0] > 2 or data[1:4] != b"\0\0\0":
                self._plain = True
            else:
                self._left = int.from_bytes(data[4:8], "big")
                data = data[8:]
        self._keep(data)

    def text(self, limit: int) -> str:
        """Return the end as text of at most `limit` bytes of UTF-8; what is no text is replaced."""
        whole = b"".join(self._kept).decode(errors="replace").replace("\0", "\ufffd").encode()
        return whole[-limit:].decode(errors="ignore") if limit > 0 else ""

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._kept.append(data)
        self._size += len(data)
        while self._size - len(self._kept[0]) >= self._limit:
            self._size -= len(self._kept.popleft())


class Flow(Tail):
    """Gives on what comes, as it comes."""

    def __init__(self) -> None:
        super().__init__(0)
        self._come = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def taken(self) -> str:
        """Return what came since the last time, as text; a character that is not whole yet comes with the rest."""
        come, self._come = bytes(self._come), bytearray()
        return self._decoder.decode(come).replace("\0", "\ufffd")

    def _keep(self, data: bytes) -> None:
        self._come += data
