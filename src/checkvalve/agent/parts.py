# SPDX-License-Identifier: Apache-2.0
"""What a running agent is put together from, and the little that its two halves tell each other.

The one half (`work`) brings this machine to what was ordered, the other (`visit`) speaks with the plane. Neither calls
the other: what must outlive a restart goes through the journal, the rest through `Shared`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from checkvalve.agent import identity, posture
from checkvalve.agent.believed import Believed
from checkvalve.agent.blobs import Blobs
from checkvalve.agent.crashes import Died
from checkvalve.agent.errands import Errands
from checkvalve.agent.host import simulated as host
from checkvalve.agent.identity import Identity
from checkvalve.agent.journal import Journal
from checkvalve.agent.laying import simulated as laying
from checkvalve.agent.meter import Meter
from checkvalve.agent.permits.real import Real
from checkvalve.agent.ports import About, Clock, Disk, Engine, Host, Laying, Link, OpenBlob, Permits
from checkvalve.agent.shelf import Shelf
from checkvalve.agent.slots import Slots
from checkvalve.agent.spool import Spool
from checkvalve.agent.steps import Failure, Observed
from checkvalve.protocol.exchange import Listening, State

MOST_BACKOFF = 300.0  # seconds

Chore = Callable[[Observed], Awaitable[None]]
"""Done in a turn of the work, with what was seen in it; it raises for nothing."""

_log = logging.getLogger("checkvalve.agent")


@dataclass
class Shared:
    """What both halves look at. Nothing in it must survive: each start finds it out again."""

    observed: Observed | None = None  # as the engine last showed it
    about: About | None = None  # what the engine calls itself, once it has answered
    trouble: Failure | None = None  # what keeps the active release from being as it must
    receipted: tuple[str, State] | None = None  # the newest attempt and end that has its receipt
    met: float | None = None  # when the plane last answered, by the clock that never jumps
    due: float | None = None  # when the next exchange is, by the same
    silent: Failure | None = None  # why the plane did not answer the last time
    died: Mapping[str, Died] = field(default_factory=dict)  # services of the active release, by name
    sizes: Mapping[str, int] = field(default_factory=dict)  # of volumes, as far as they are known, in bytes
    reading: set[str] = field(default_factory=set)  # volumes of which somebody takes a copy: none of them goes
    weighed: str = ""  # the attempt for which they were asked for
    work: asyncio.Event = field(default_factory=asyncio.Event)  # there may be something to do
    news: asyncio.Event = field(default_factory=asyncio.Event)  # there is something to tell at once
    moved: asyncio.Event = field(default_factory=asyncio.Event)  # containers changed: to be told soon
    errands: asyncio.Event = field(default_factory=asyncio.Event)  # there may be an errand to run
    contents: asyncio.Event = field(default_factory=asyncio.Event)  # there may be something to send that one brought
    chore: Chore | None = None  # what has to be done between two moves, while nothing else changes containers


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent lives: its directory, where secrets lie in memory (None: nowhere), and what `run` was told."""

    data: Path
    runtime: Path | None
    proxy: str = ""
    source: str = ""


@dataclass
class Parts:
    """A whole device. `link` and `identity` change with each certificate: look them up here, do not keep them."""

    identity: Identity
    engine: Engine
    link: Link
    disk: Disk
    clock: Clock
    journal: Journal
    slots: Slots
    blobs: Blobs
    spool: Spool
    errands: Errands
    believed: Believed
    dial: Callable[[Identity], Link]
    agent: str  # version of this program
    meter: Meter
    shelf: Shelf
    laying: Laying = field(default_factory=laying.Simulated)
    listening: Callable[[], tuple[Listening, ...]] = posture.listening
    permits: Permits = field(default_factory=Real)
    host: Host = field(default_factory=host.Simulated)  # the machine itself only where somebody says so
    place: Place | None = None  # None: it has no directory of its own, and dials nobody
    shared: Shared = field(default_factory=Shared)

    @property
    def offset(self) -> int | None:
        """Return this device's clock minus the plane's in ms, now; None if they have not spoken."""
        return self.believed.offset(self.clock.now(), self.clock.monotonic())


def assemble(
    disk: Disk,
    clock: Clock,
    known: Identity,
    engine: Callable[[OpenBlob], Engine],
    dial: Callable[[Identity], Link],
    agent: str,
    listening: Callable[[], tuple[Listening, ...]] = posture.listening,
    laid: Laying | None = None,
) -> Parts:
    """Return a device put together from what is on its disk. Damage is mended, and said in the log.

    Raises `UnavailableError` (`disk.full`, `disk.failed`) and `InvalidError` (`metadata.…`).
    """
    slots = Slots(disk, identity.owner(disk, known))
    journal = Journal.open(disk, clock, slots.active)
    slots.recall(journal.committed)
    for trouble in filter(None, (journal.trouble, slots.trouble)):
        _log.warning("%s", trouble)
    blobs = Blobs(disk)
    believed = Believed(disk, known.root.encode(), clock.monotonic())
    return Parts(
        identity=known,
        engine=engine(blobs.open),
        link=dial(known),
        disk=disk,
        clock=clock,
        journal=journal,
        slots=slots,
        blobs=blobs,
        spool=Spool(disk),
        errands=Errands(disk, known.device),
        believed=believed,
        dial=dial,
        agent=agent,
        meter=Meter(disk, clock),
        shelf=Shelf(disk),
        laying=laid or laying.Simulated(),
        listening=listening,
    )


def backoff(tries: int, chance: float, most: float = MOST_BACKOFF, first: float = 1.0) -> float:
    """Return how many seconds to wait after `tries` failures in a row: full jitter, `chance` in [0, 1).

    All of a fleet that lost its plane in one moment come back spread over the whole time.
    """
    return chance * min(most, first * 2.0 ** min(tries, 30))


async def rest(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Return after `seconds`, or as soon as one of `events` is set."""
    if any(event.is_set() for event in events):
        await asyncio.sleep(0)
        return
    waits = [asyncio.ensure_future(clock.sleep(seconds)), *(asyncio.ensure_future(event.wait()) for event in events)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
