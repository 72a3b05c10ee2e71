# SPDX-License-Identifier: Apache-2.0
"""`GET /v1/blobs/sha256:…`: the config and the layers of the images a device is to run, from any byte on.

Rules: 1. whether the device may have it is asked at the beginning; that it is let in, until the end: a transfer of a
device that is shut out is broken off; 2. a device has few transfers at once, and all of them together are bounded, for
each holds a piece in memory; 3. pieces are read on threads, and the next one only once the last has left; 4. the one
form of `Range` that counts is `bytes=N-`; what is asked in another form is sent whole (RFC 9110, 14.2).
"""

import asyncio
import os
import re
from typing import BinaryIO, cast

from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Message, Receive, Send

from checkvalve.server.blobs import store
from checkvalve.server.exchange import fetching
from checkvalve.server.web import transfers
from checkvalve.server.web.peers import Peers
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.stamp import Stamp

PATH = "/v1/blobs/"
PIECE = 128 * 1024  # bytes
_FROM = re.compile(r"bytes=([0-9]{1,16})-")


class DeviceFiles:
    """Sends blobs to all devices."""

    def __init__(self, plane: Plane, known: Peers, stamp: Stamp) -> None:
        self._plane = plane
        self._peers = known
        self._stamp = stamp

    async def __call__(self, scope: HTTPScope, _receive: Receive, send: Send) -> None:
        """Send one blob. Raises what the door turns into a problem document."""
        if scope["method"] != "GET":
            raise HTTPException(status_code=405, headers={"Allow": "GET"})
        peer = self._peers.of(scope)
        async with transfers.running(self._plane, peer):
            digest = store.form(scope["path"].removeprefix(PATH))
            await self._plane.db.read("device.blob", fetching.blob, peer.device, digest)
            await self._transfer(scope, digest, send)

    async def _transfer(self, scope: HTTPScope, digest: str, send: Send) -> None:
        file = await asyncio.to_thread(self._plane.blobs.open, digest)
        try:
            size = os.fstat(file.fileno()).st_size
            await self._send(file, size, _start(scope), send)
        finally:
            file.close()

    async def _send(self, file: BinaryIO, size: int, start: int | None, send: Send) -> None:
        if start is not None and start >= size:
            await self._begin(send, 416, [(b"content-range", b"bytes */%d" % size), (b"content-length", b"0")])
            await send(cast("Message", {"type": "http.response.body", "body": b"", "more_body": False}))
            return
        begin = start or 0
        head = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % (size - begin))]
        if start is not None:
            head.append((b"content-range", b"bytes %d-%d/%d" % (begin, size - 1, size)))
        await self._begin(send, 200 if start is None else 206, head)
        file.seek(begin)
        left = size - begin
        while True:
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            left -= len(piece)
            done = left == 0 or not piece  # a file that shrank: the answer ends short, and the device asks again
            await send(cast("Message", {"type": "http.response.body", "body": piece, "more_body": not done}))
            if done:
                return

    async def _begin(self, send: Send, status: int, head: list[tuple[bytes, bytes]]) -> None:
        headers = [*head, self._stamp.header()]
        await send(cast("Message", {"type": "http.response.start", "status": status, "headers": headers}))


def _start(scope: HTTPScope) -> int | None:
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    said = [value for name, value in headers if name == b"range"]
    found = _FROM.fullmatch(said[0].decode("latin-1")) if len(said) == 1 else None
    return int(found[1]) if found else None
