# SPDX-License-Identifier: Apache-2.0
"""`PUT /v1/errands/<id>`: what a small order brought, a file of 20 MiB at most, before the device's word on it comes.

Rules: 1. the device says before how long the file is and what its digest is; what cannot end well is refused before it
is read: too long, of no open errand of this device, more than the disk has room for; 2. what the errand brought already
is answered at once, and not read again. Only what was *sent* for an errand counts: who names the digest of a file has
not shown that it has it; 3. the file comes piece by piece to the disk and has its name only when it is whole and is
what its digest says; else nothing is left of it. There is no part to go on from: it begins anew; 4. it may come slowly,
and not without end; 5. a transfer counts as those of images do, and is broken off when the device is shut out.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Message, Receive, Send

from checkvalve import clock
from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.ids import DeviceId, ErrandId, well_formed
from checkvalve.protocol import errand as messages
from checkvalve.protocol.errand import LARGEST_CONTENT
from checkvalve.server.blobs import store
from checkvalve.server.blobs.store import Blobs, Coming
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import ending
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands import writes as errand_writes
from checkvalve.server.errands.model import Errand
from checkvalve.server.web import arrivals, transfers
from checkvalve.server.web.calls import NO_ID
from checkvalve.server.web.exchange import GoneError
from checkvalve.server.web.peers import Peer, Peers
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.stamp import Stamp

PATH = "/v1/errands/"
PIECE = 128 * 1024  # bytes of one write
SPARE = 256 << 20  # bytes that stay free beside the file
SILENCE = 25.0  # seconds without a byte; the listener hangs up without a word after 30
SLOWEST = 1_000  # bytes a second, on the whole
GRACE = 60.0  # seconds beyond that
_CONTENT = messages.CONTENT.encode()


@dataclass(frozen=True, slots=True)
class Announced:
    """What a device says that it will send: for which errand, its digest, its size in bytes."""

    errand: ErrandId
    digest: str
    size: int


class DeviceContent:
    """Takes the files of all devices."""

    def __init__(self, plane: Plane, known: Peers, stamp: Stamp) -> None:
        self._plane = plane
        self._peers = known
        self._stamp = stamp

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Take one file. Raises what the door turns into a problem document."""
        if scope["method"] != "PUT":
            raise HTTPException(status_code=405, headers={"Allow": "PUT"})
        peer = self._peers.of(scope)
        try:
            async with transfers.running(self._plane, peer):
                await self._take(peer, _announced(scope), receive)
        except GoneError:
            return
        await send(cast("Message", {"type": "http.response.start", "status": 204, "headers": [self._stamp.header()]}))
        await send(cast("Message", {"type": "http.response.body", "body": b"", "more_body": False}))

    async def _take(self, peer: Peer, said: Announced, receive: Receive) -> None:
        """Have the file, as what the errand brought."""
        db, blobs = self._plane.db, self._plane.blobs
        errand = await db.read("device.content", _expecting, peer.device, said)
        if errand.content == said.digest and await arrivals.whole(blobs.has, said.digest):  # rule 2
            return
        await arrivals.whole(_room, blobs, said.size)
        async with arrivals.coming(blobs) as blob:
            await _receive(receive, blob, said.size)
            if blob.digest != said.digest:
                raise InvalidError(
                    "errand.digest",
                    "What came is not what its digest says.",
                    "The file is damaged where it is sent from; order what brought it again.",
                )
            await arrivals.whole(blob.keep)
        await db.write("device.content", errand_writes.brought, errand.id, said.digest, said.size)


def _expecting(tx: Tx, device: DeviceId, said: Announced) -> Errand:
    """Return the errand as it is; refuse what is not expected of it as `errand_writes.brought` will (rule 1)."""
    found = errand_queries.open_for(tx, device, said.errand)
    ending.brings(found, said.digest, said.size)
    return found


def _announced(scope: HTTPScope) -> Announced:
    """Return what the head of a request says (rule 1)."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise HTTPException(status_code=411)
    if len(lengths[0]) > len(str(LARGEST_CONTENT)) or int(lengths[0]) > LARGEST_CONTENT:
        raise HTTPException(status_code=413)
    name = scope["path"].removeprefix(PATH)
    digests = [value.decode("latin-1") for name, value in headers if name == _CONTENT]
    digest = store.form(digests[0] if len(digests) == 1 else "")
    return Announced(ErrandId(name if well_formed(name) else NO_ID), digest, int(lengths[0]))


async def _receive(receive: Receive, blob: Coming, size: int) -> None:
    """Put what comes into the blob; `GoneError` if the device hung up."""
    ends = clock.monotonic() + GRACE + size / SLOWEST
    pieces = bytearray()
    more = True
    while more:
        message = await _next(receive, ends)
        pieces += message.get("body", b"")
        more = message.get("more_body", False)
        if blob.size + len(pieces) > size:
            raise HTTPException(status_code=413)
        if len(pieces) >= PIECE or not more:
            await arrivals.whole(blob.add, bytes(pieces))
            pieces.clear()


async def _next(receive: Receive, ends: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(min(SILENCE, ends - clock.monotonic())):  # rule 4
            message = cast("dict[str, Any]", await receive())
    except TimeoutError as error:
        raise HTTPException(status_code=408) from error
    if message["type"] != "http.request":
        raise GoneError
    return message


def _room(blobs: Blobs, size: int) -> None:
    if blobs.free() < size + SPARE:
        raise UnavailableError(
            "blobs.full",
            "The plane's disk has no room for this.",
            "Free space there; the device tries again by itself.",
        )
