# SPDX-License-Identifier: Apache-2.0
"""What this process knows of every device, so that one with nothing new to say costs no question to the database.

Rules: 1. a standing has two halves: what people and the plane decided (trust, certificate, what to run, what hangs),
which is as new as `fleet.revision` says, and what the device told (journal, status, orders), which is as new as its
last visit; each half gives way to a newer one only; 2. memory that was not compared with the database for `FRESH`
seconds counts for nothing: whoever asks then asks the database; 3. a device that is shut out loses its held poll and
its transfers at once; 4. a device has one held poll: a newer one takes the place of the one before, whose connection
may be gone; 5. moments of reports are gathered here and written by a tick; 6. everything here runs on one event loop.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from checkvalve import clock
from checkvalve.errors import NotFoundError, UnavailableError
from checkvalve.ids import DeviceId
from checkvalve.server.db import dialect
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.exchange.due import Offer
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import LET_IN, Standing

WITHIN = 1.0  # seconds between two looks whether somebody decided something
FRESH = 5.0  # seconds that memory counts
BURST, PACE = 30, 0.5  # visits that write: so many at once, then one every so many seconds
READING = 4  # reports of one device on their way in at once: each may fill a MiB of memory
STREAMS = 4  # transfers of one device at once
ALL_STREAMS = 256  # of all devices: each holds a piece of a file in memory
_TOLD = ("journal", "known", "status_digest", "taken", "held", "epoch", "counter")

_log = structlog.get_logger("checkvalve.presence")


@dataclass(slots=True, eq=False)
class Slot:
    """All that is remembered of one device."""

    standing: Standing
    as_of: int
    """The revision that the plane's half of the standing is from."""
    offer: Offer | None = None
    visit: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One visit at a time, so that what it told is learned in order."""
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    poll: asyncio.Future[bool] | None = None
    reading: int = 0
    """Reports on their way in."""
    full_at: float = 0.0
    """When its visits are as many as it may make, by the pace."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the database said at one moment; `standings` is None where nothing was decided since the last look."""

    revision: int
    standings: Mapping[str, Standing] | None


class Presence:
    """Of one plane, for the life of its process."""

    def __init__(self) -> None:
        self.closed = False
        self._slots: dict[str, Slot] = {}
        self._revision = -1
        self._looked_at = self._whole_at = float("-inf")
        self._learned: set[str] = set()
        self._seen: dict[DeviceId, datetime] = {}
        self._wake = asyncio.Event()
        self._watching = False
        self._waiting: list[asyncio.Future[None]] = []
        self._streams = 0

    # What is remembered

    def of(self, device: str) -> Slot | None:
        """Return what is remembered of a device."""
        return self._slots.get(device)

    def fresh(self) -> bool:
        """Tell whether memory counts (rule 2)."""
        return clock.monotonic() - self._looked_at < FRESH

    def learn(self, standing: Standing, revision: int) -> Slot:
        """Take what a transaction read that saw this `revision`; return what is remembered now."""
        self._learned.add(standing.id)
        slot = self._slots.get(standing.id)
        if slot is None:
            slot = self._slots[standing.id] = Slot(standing, revision)
        elif revision >= slot.as_of:
            self._decided(slot, standing, revision)
        else:  # somebody decided something since: that half stays (rule 1)
            slot.standing = _merged(slot.standing, standing)
        return slot

    def saw(self, device: DeviceId, now: datetime) -> None:
        """Take note that a device reported."""
        self._seen[device] = now

    def seen(self) -> dict[DeviceId, datetime]:
        """Return the moments since they were last asked for (rule 5)."""
        seen, self._seen = self._seen, {}
        return seen

    def unseen(self, seen: Mapping[DeviceId, datetime]) -> None:
        """Take moments back that could not be written."""
        self._seen = {**seen, **self._seen}

    def pause(self, slot: Slot) -> float:
        """Count a visit; return 0.0, or the seconds to wait where it is one too many."""
        now = clock.monotonic()
        full_at = max(slot.full_at, now)
        if full_at - now > BURST * PACE:
            return full_at - now - BURST * PACE
        slot.full_at = full_at + PACE
        return 0.0

    # Waiting

    async def hold(self, slot: Slot, seconds: float, leaving: "asyncio.Future[None]") -> bool:
        """Return after `seconds`, or sooner if something was decided, the plane stops, or `leaving` is done.

        False if a newer poll of the device took this one's place (rule 4).
        """
        if self.closed:
            return True
        loop = asyncio.get_running_loop()
        poll: asyncio.Future[bool] = loop.create_future()
        _let_go(slot.poll, replaced=True)
        slot.poll = poll
        timer = loop.call_later(seconds, _let_go, poll)
        leaving.add_done_callback(lambda _: _let_go(poll))
        try:
            return await poll
        finally:
            timer.cancel()
            if slot.poll is poll:
                slot.poll = None

    def begin(self, slot: Slot, stream: asyncio.Task[None]) -> bool:
        """Count a transfer in, to be ended if the device is shut out; False if it is one too many."""
        if len(slot.streams) >= STREAMS or self._streams >= ALL_STREAMS:
            return False
        slot.streams.add(stream)
        self._streams += 1
        return True

    def end(self, slot: Slot, stream: asyncio.Task[None]) -> None:
        """Count a transfer out."""
        if stream in slot.streams:
            slot.streams.remove(stream)
            self._streams -= 1

    def close(self) -> None:
        """Let every poll go: the plane stops."""
        self.closed = True
        for slot in self._slots.values():
            _let_go(slot.poll)

    # Looking

    def stir(self) -> "asyncio.Future[None]":
        """Look at once. What is returned is done when everything committed before this call is remembered."""
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._watching:
            self._waiting.append(looked)
            self._wake.set()
        else:
            looked.set_result(None)
        return looked

    async def watch(self, db: Database, stop: asyncio.Event) -> None:
        """Look every second, and when stirred, until `stop` is set; then let every poll go."""
        self._watching, self.closed, self._wake = True, False, asyncio.Event()
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._wake.set())
        failing = False
        try:
            while not stop.is_set():
                waiting, self._waiting = self._waiting, []
                self._wake.clear()
                failing = not await self._try(db, told=failing)
                for one in waiting:
                    _done(one)
                await _within(self._wake, WITHIN)
        finally:
            self._watching = False
            self._looked_at = float("-inf")
            stopped.cancel()
            for one in self._waiting:
                _done(one)
            self.close()

    async def look(self, db: Database) -> None:
        """Compare memory with the database.

        The whole is read where somebody decided something, and every `FRESH` seconds where devices may have told
        something to another process. Raises `UnavailableError` (`database.unavailable`).
        """
        begun = clock.monotonic()
        old = db.kind != dialect.SQLITE and begun - self._whole_at >= FRESH
        self._learned.clear()
        found = await db.read("presence.look", _read, -1 if old else self._revision)
        self._looked_at = begun
        if found.standings is not None:
            self._whole_at = begun
            self._take(found.revision, found.standings, frozenset(self._learned))
        self._revision = found.revision

    async def ask(self, db: Database, device: str) -> Slot | None:
        """Ask the database for one device; None if there is none. Raises as `look` does."""
        found = await db.read("presence.ask", _read_one, device)
        return None if found is None else self.learn(*found)

    async def _try(self, db: Database, *, told: bool) -> bool:
        try:
            await self.look(db)
        except UnavailableError as error:
            if not told:
                _log.error("devices are not looked at", code=error.code, sentence=error.sentence, remedy=error.remedy)
            return False
        except Exception:  # noqa: BLE001 - the last handler there is
            # Whatever it is: memory ages, each device is asked of the database, and the next look may succeed.
            _log.exception("devices are not looked at")
            return False
        return True

    def _take(self, revision: int, standings: Mapping[str, Standing], learned: Collection[str]) -> None:
        for device in [each for each in self._slots if each not in standings and each not in learned]:
            self._end(self._slots.pop(device))
        for device, standing in standings.items():
            slot = self._slots.get(device)
            if slot is None:
                self._slots[device] = Slot(standing, revision)
            elif standing == slot.standing:  # of most: this loop holds up everybody else's
                slot.as_of = max(slot.as_of, revision)
            elif revision >= slot.as_of:
                # What the device told while this was being read is newer than what was read (rule 1).
                self._decided(slot, _merged(standing, slot.standing) if device in learned else standing, revision)

    def _decided(self, slot: Slot, standing: Standing, revision: int) -> None:
        before, slot.standing, slot.as_of = slot.standing, standing, revision
        if standing.trust not in LET_IN:
            self._end(slot)
        elif _merged(before, standing) != standing:
            _let_go(slot.poll)

    def _end(self, slot: Slot) -> None:
        _let_go(slot.poll)
        for stream in list(slot.streams):
            stream.cancel()


def read(tx: Tx, device: str) -> tuple[Standing, int]:
    """Return a device's standing and the revision it is from: what `learn` takes; `NotFoundError`."""
    return fleet_queries.standing(tx, DeviceId(device)), fleet_queries.revision(tx)


def _read(tx: Tx, known: int) -> Look:
    revision = fleet_queries.revision(tx)
    return Look(revision, None if revision == known else fleet_queries.standings(tx))


def _read_one(tx: Tx, device: str) -> tuple[Standing, int] | None:
    try:
        return read(tx, device)
    except NotFoundError:
        return None


def _merged(decided: Standing, told: Standing) -> Standing:
    return replace(decided, **{name: getattr(told, name) for name in _TOLD})


def _let_go(poll: "asyncio.Future[bool] | None", *, replaced: bool = False) -> None:
    if poll is not None and not poll.done():
        poll.set_result(not replaced)


def _done(looked: "asyncio.Future[None]") -> None:
    if not looked.done():
        looked.set_result(None)


async def _within(event: asyncio.Event, seconds: float) -> None:
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    await event.wait()
    timer.cancel()
