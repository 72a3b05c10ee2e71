# SPDX-License-Identifier: Apache-2.0
"""`POST /v1/exchange` as a bare ASGI application: a device reports, and hears what it is to do.

Rules: 1. a device with nothing to say is answered from memory, without a question to the database; 2. such a device may
wait here for its answer, and is woken by orders, by a change of trust and by the end of the plane; 3. anything else is
one visit, one transaction; a device makes one at a time, and not more than a pace allows; 4. whether the device is let
in is asked again after every wait; 5. a report that was held is no word of now: it may bring orders, and accuses
nobody; 6. a body is bounded while it comes, and so are the bodies of one device; 7. who hangs up waits no more: orders
that are given to a connection that is gone are lost, and come again some seconds later (`due`), also to one who waits;
8. ten thousand that are woken at once visit by and by, so that nobody else's change waits behind all of theirs.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import HTTPScope, Message, Receive, Send

from checkvalve import clock
from checkvalve.errors import ThrottledError
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import LONGEST_WAIT, Report
from checkvalve.server.exchange import due
from checkvalve.server.exchange import visit as visits
from checkvalve.server.exchange.due import Offer
from checkvalve.server.exchange.ground import Ground
from checkvalve.server.exchange.visit import Visited
from checkvalve.server.web import peers
from checkvalve.server.web.peers import Peer, Peers
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.presence import READING, Presence, Slot
from checkvalve.server.web.stamp import Stamp

PATH = "/v1/exchange"
SHORTEST = 0.1  # seconds that a report is held, if it is held
TURNS = 64  # visits at once
_JSON = (b"content-type", b"application/json")
_NEXT = exchange.NEXT.encode()
_END: dict[str, Any] = {"type": "http.response.body", "body": b"", "more_body": False}
_read = msgspec.json.Decoder(Report).decode
_write = msgspec.json.Encoder().encode


class GoneError(Exception):
    """The device hung up, in the middle of its report or while it waited."""


@dataclass(slots=True)
class Call:
    """One report on its way: who makes it, what it says, and whether it waited here."""

    peer: Peer
    report: Report
    held: bool = False


class Exchange:
    """Answers the reports of all devices."""

    def __init__(self, plane: Plane, known: Peers, stamp: Stamp) -> None:
        self._plane = plane
        self._presence: Presence = plane.presence
        self._peers = known
        self._stamp = stamp
        self._turns = asyncio.Semaphore(TURNS)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one report. Raises what the door turns into a problem document."""
        if scope["path"] != PATH:
            raise HTTPException(status_code=404)
        if scope["method"] != "POST":
            raise HTTPException(status_code=405, headers={"Allow": "POST"})
        peer = self._peers.of(scope)
        slot = await peers.admitted(self._plane, peer)  # before the body: who is shut out sends it in vain
        if slot.reading >= READING:
            raise _too_often(1)
        slot.reading += 1
        try:
            call = Call(peer, _report(await _body(receive)))
        except GoneError:
            return
        finally:
            slot.reading -= 1
        self._presence.saw(peer.device, self._plane.now())
        with contextlib.suppress(GoneError):
            await self._answer(slot, call, receive, send)

    async def _answer(self, slot: Slot, call: Call, receive: Receive, send: Send) -> None:
        ends = clock.monotonic() + min(call.report.wait, LONGEST_WAIT)
        while not (call.held and slot.standing.generation != call.report.generation):  # rule 5
            said = await self._said(slot, call)
            if said is not None:
                await self._send(send, said)
                return
            left = ends - clock.monotonic()
            if left <= 0 or self._presence.closed:
                break
            call.held = True
            again = due.again(call.report, slot.standing, slot.offer, clock.monotonic())
            if not await self._held(slot, min(left, max(again, SHORTEST)), receive):
                # Another poll of this device took its place: where both are alive, the device was copied.
                await self._nothing(send, (_NEXT, str(slot.standing.interval).encode()))
                return
            slot = await peers.admitted(self._plane, call.peer)  # rule 4
        await self._nothing(send)

    async def _held(self, slot: Slot, seconds: float, receive: Receive) -> bool:
        """Wait as `Presence.hold` does; `GoneError` if the device hung up meanwhile (rule 7)."""
        leaving = asyncio.ensure_future(_hangs_up(receive))
        try:
            ours = await self._presence.hold(slot, seconds, leaving)
            if leaving.done():
                raise GoneError
            return ours
        finally:
            leaving.cancel()

    async def _said(self, slot: Slot, call: Call) -> bytes | None:
        """Return the answer, or None if there is nothing to say (rules 1, 3)."""
        report, now = call.report, self._plane.now()
        ordered = due.orders(report, slot.standing, slot.offer, now, clock.monotonic())
        if not ordered and (call.held or not due.news(report, slot.standing)):
            return None
        pause = self._presence.pause(slot)
        if pause > 0:
            raise _too_often(int(pause) + 1)
        async with slot.visit, self._turns:  # rule 8
            give = due.repeatable(slot.offer, due.wanted(slot.standing), clock.monotonic())
            visited = await self._plane.db.write(
                "device.visit",
                visits.visit,
                self._ground(),
                call.peer.device,
                call.peer.key,
                report,
                held=call.held,
                give=give,
            )
            slot = self._presence.learn(visited.standing, visited.revision)
            slot.offer = _offer(slot.offer, visited)
        if visited.rollouts:
            self._plane.rolling.poke()
        peers.admit(call.peer, slot.standing, now)
        return None if visited.answer is None else _write(visited.answer)

    async def _send(self, send: Send, body: bytes) -> None:
        head = [_JSON, (b"content-length", str(len(body)).encode()), self._stamp.header()]
        await send(cast("Message", {"type": "http.response.start", "status": 200, "headers": head}))
        await send(cast("Message", {"type": "http.response.body", "body": body, "more_body": False}))

    async def _nothing(self, send: Send, *more: tuple[bytes, bytes]) -> None:
        head = [self._stamp.header(), *more]
        await send(cast("Message", {"type": "http.response.start", "status": 204, "headers": head}))
        await send(cast("Message", _END))

    def _ground(self) -> Ground:
        here = self._plane
        return Ground(
            plane=here.name,
            authority=here.authority,
            orders=here.orders,
            now=here.now(),
            new_id=here.new_id,
            entropy=here.entropy,
            values=here.values,
        )


def _too_often(seconds: int) -> ThrottledError:
    return ThrottledError(
        "device.too_often", "This device reports too often.", "The agent waits by itself.", retry_after=seconds
    )


def _offer(before: Offer | None, visited: Visited) -> Offer | None:
    signed, answer = visited.signed, visited.answer
    if signed is None:
        return before
    gave = answer is not None and answer.orders is not None
    said = (signed.attempt, signed.held, signed.errands)
    same = before is not None and (before.attempt, before.held, before.errands) == said
    given_at, times = float("-inf"), 0
    if gave:
        given_at, times = clock.monotonic(), before.times + 1 if before is not None and same else 1
    elif before is not None and same:
        given_at, times = before.given_at, before.times
    number = (signed.epoch, signed.counter)
    return Offer(signed.attempt, number, signed.ends_at, given_at, times, signed.held, signed.errands)


async def _body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = cast("dict[str, Any]", await receive())
        if message["type"] != "http.request":
            raise GoneError
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > exchange.LARGEST_REPORT:  # rule 6
            raise HTTPException(status_code=413)
        if not message.get("more_body"):
            return b"".join((*pieces, piece)) if pieces else piece
        pieces.append(piece)


async def _hangs_up(receive: Receive) -> None:
    if (await receive())["type"] != "http.disconnect":
        await asyncio.Future()  # it says more than its report, which nobody listens to: it is there


def _report(body: bytes) -> Report:
    try:
        return _read(body)
    except msgspec.ValidationError as error:
        raise ValidationException(detail=str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(status_code=400) from error
