# SPDX-License-Identifier: Apache-2.0
"""Streams of server-sent events for pages that follow something by themselves (ADR 0020).

Rules: 1. a look is one transaction in which the person and their right are judged anew: what is shown ends with the
right to see it; 2. a part is sent when its data changed, never because time went by; 3. each look says the time it is
of, so that a page whose stream is broken knows how old it is; 4. a stream ends after `LASTS` seconds and when the plane
stops; the browser comes again by itself; 5. a process has at most `MOST` streams, and looking takes each at most one
part in `SHARE` of the time; 6. a stream that its reader does not empty is cut off.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from checkvalve import clock
from checkvalve.errors import CheckvalveError, UnavailableError

MOST = 32
WITHIN = 1.0  # seconds between two looks
SHARE = 10
LASTS = 60.0  # seconds of a stream
SLACK = 10.0  # seconds that its reader may lag behind
RETRY = 500  # milliseconds until the browser comes again
MEDIA_TYPE = "text/event-stream"
BEAT, END, CUT = "beat", "end", "cut"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page: its event, what says that it is the same (no blank, no dot), and how it is made."""

    name: str
    mark: str
    html: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: the parts, the moment as text, and whether nothing will change any more."""

    parts: Sequence[Part]
    at: str
    over: bool


class Slot:
    """One stream's place among those of the process."""

    def __init__(self, live: "Live", task: "asyncio.Task[object] | None") -> None:
        self.closed = False
        self._live = live
        self._waits: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if task is not None:
            task.add_done_callback(lambda _: self.release())  # a stream that never began has a place too
            self._timer = task.get_loop().call_later(LASTS + SLACK, task.cancel)  # rule 6

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or at once when the plane stops."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        waits = self._waits = loop.create_future()
        timer = loop.call_later(seconds, _done, waits)
        try:
            await waits
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the stream after what it is sending."""
        self.closed = True
        _done(self._waits)

    def release(self) -> None:
        """Give the place back; twice is as once."""
        self._live.leave(self)
        if self._timer is not None:
            self._timer.cancel()


class Live:
    """The streams of one process."""

    def __init__(self) -> None:
        self.closed = False
        self._slots: set[Slot] = set()

    @property
    def streams(self) -> int:
        """How many there are."""
        return len(self._slots)

    def enter(self) -> Slot:
        """Take a place for the request at hand; `UnavailableError` (`live.full`, `live.stopping`)."""
        if self.closed:
            raise UnavailableError("live.stopping", "The plane is stopping.", "The page comes again by itself.")
        if len(self._slots) >= MOST:
            raise UnavailableError(
                "live.full",
                f"{MOST} pages follow something here by themselves, and this process takes no more.",
                "Load the page anew to see how it is; it tries again by itself.",
            )
        slot = Slot(self, asyncio.current_task())
        self._slots.add(slot)
        return slot

    def leave(self, slot: Slot) -> None:
        """Give a place back."""
        self._slots.discard(slot)

    def close(self) -> None:
        """End all streams at once."""
        self.closed = True
        for slot in list(self._slots):
            slot.close()

    async def watch(self, stop: asyncio.Event) -> None:
        """Close when `stop` is set."""
        await stop.wait()
        self.close()


async def events(slot: Slot, look: Callable[[], Awaitable[Look]], first: Look, known: str) -> AsyncIterator[bytes]:
    """Yield the events of a stream, and give its place back; `known` says which parts its reader has (`marked`).

    The `first` look was had before the answer began, while a refusal still had a status.
    """
    ends, seen = clock.monotonic() + LASTS, first
    marks = dict(_read(known))
    try:
        yield f"retry: {RETRY}\n\n".encode()
        took = 0.0
        while not slot.closed:
            for part in (each for each in seen.parts if marks.get(each.name) != each.mark):
                marks[part.name] = part.mark
                yield _event(part.name, part.html(), marked(marks))
            yield _event(END if seen.over else BEAT, seen.at)
            pause = max(WITHIN, SHARE * took)  # rule 5
            if seen.over or clock.monotonic() + pause > ends:
                return
            await slot.wait(pause)
            began = clock.monotonic()
            try:
                seen = await look()
            except CheckvalveError as error:  # rule 1; a database that is away too: the reader sees that it is cut
                yield _event(CUT, error.sentence)
                return
            took = clock.monotonic() - began
    finally:
        slot.release()


def marked(marks: "dict[str, str]") -> str:
    """Return which parts a reader has as one text: what a page begins with, and a browser says when it comes again."""
    return ".".join(f"{name}:{mark}" for name, mark in sorted(marks.items()))


def _read(known: str) -> list[tuple[str, str]]:
    pieces = [piece.partition(":") for piece in known.split(".") if ":" in piece]
    return [(name, mark) for name, _, mark in pieces]


def _event(name: str, text: str, ident: str = "") -> bytes:
    lines = [f"event: {name}", *([f"id: {ident}"] if ident else []), *(f"data: {line}" for line in text.splitlines())]
    if not text:
        lines.append("data:")  # without data an event is dropped
    return ("\n".join(lines) + "\n\n").encode()


def _done(waits: "asyncio.Future[None] | None") -> None:
    if waits is not None and not waits.done():
        waits.set_result(None)
