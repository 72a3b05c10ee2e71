# SPDX-License-Identifier: Apache-2.0
"""What this device says of itself: its status, and the report that carries what the plane does not have yet.

1. The status goes with a report only if the plane asked for it, or it is another than the one that was sent last.
2. What is signed of an errand does not go before what the errand brought (walk errand, 8).
3. Events go from the first that the plane lacks on, in order; receipts from the oldest on. What does not fit goes next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from checkvalve.agent import asides, holds, identity, window
from checkvalve.agent.crashes import Died
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Container
from checkvalve.crypto import envelope
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import InvalidError
from checkvalve.protocol import errand, exchange
from checkvalve.protocol.exchange import MOST_EVENTS, MOST_RECEIPTS, MOST_VOLUMES, Event, Report, Status, Workload
from checkvalve.protocol.version import CAPABILITY

ROOM = 700_000  # bytes for events and receipts, so that the whole stays below LARGEST_REPORT
MOST_WORKLOADS = 200


@dataclass(frozen=True)
class Told:
    """A report, as it goes out, and what was in it."""

    data: bytes
    last: int  # of the last event in it, or the one before the first that was due
    digest: str
    status: bool
    wait: int  # seconds the plane may hold its answer back


def status(parts: Parts) -> Status:
    """Return what the device is like now."""
    shared, position = parts.shared, parts.journal.position
    observed = shared.observed
    containers = sorted(observed.containers, key=lambda each: (each.service, each.name)) if observed else []
    active, previous = parts.slots.active, parts.slots.previous
    trouble = shared.trouble
    return Status(
        state=position.state,
        attempt=position.attempt,
        release=position.release,
        code=trouble.code if trouble else position.code,
        reason=(trouble.sentence if trouble else position.reason)[:1_000],
        active=active.release if active else "",
        previous=previous.release if previous else "",
        observe=identity.observes(parts.disk),
        agent=parts.agent,
        engine=shared.about.words[:100] if shared.about else "",
        link=str(parts.identity.link),
        workloads=tuple(
            _workload(each, shared.died if active and each.attempt == active.attempt else {})
            for each in containers[:MOST_WORKLOADS]
        ),
        listeners=parts.listening(),
        values=active.values if active else "",
        held=holds.seen(parts.disk),
        window=window.until(parts.disk, parts.clock),
        copied=tuple(each.took for each in parts.shelf.copies[:MOST_VOLUMES]),
        aside=asides.told(parts.shelf.left)[:MOST_VOLUMES],
    )


def _workload(each: Container, died: Mapping[str, Died]) -> Workload:
    found = died.get(each.service, Died())
    return Workload(
        service=each.service,
        image=each.image,
        state=each.state,
        health=each.health,
        restarts=each.restarts,
        crashes=found.crashes,
        since=found.since,
        exit=found.exit if found.crashes else None,
        oom=found.oom and found.crashes > 0,
    )


def report(parts: Parts, *, known: int | None, told: str, tell: bool, hold: int) -> Told:
    """Return what to send now.

    `known` is the newest event that the plane keeps, None if it has not said; then none is sent, and it will say.
    `told` is the digest of the status that was sent last, `tell` whether the plane asked for it. Only a report that
    carries nothing asks the plane to hold its answer back, for `hold` seconds: what is carried should be confirmed now.
    """
    journal, position = parts.journal, parts.journal.position
    now = status(parts)
    digest = exchange.digest(now)
    receipts, left = _receipts(parts)
    events = () if known is None else _fitting(journal.events(known, MOST_EVENTS), left)
    said = now if tell or digest != told else None
    wait = 0 if known is None or said or events or receipts else hold
    made = Report(
        capability=CAPABILITY,
        journal=journal.id,
        seq=journal.seq,
        generation=parts.identity.generation,
        state=digest,
        clock=max(0, int(parts.clock.now().timestamp() * 1000)),
        epoch=position.epoch,
        counter=position.counter,
        wait=wait,
        status=said,
        events=events,
        oldest=journal.oldest if events else 0,
        receipts=receipts,
    )
    last = events[-1].seq if events else (journal.seq if known is None else known)
    return Told(msgspec.json.encode(made), last, digest, said is not None, wait)


def _receipts(parts: Parts) -> tuple[tuple[Envelope, ...], int]:
    """Return the oldest receipts that wait, and how many bytes are left; the first goes whatever its size."""
    left, found = ROOM, list[Envelope]()
    for data in parts.spool.waiting(MOST_RECEIPTS, lambda sealed: _stays(parts, sealed)):
        left -= len(data)
        if found and left < 0:
            break
        try:
            found.append(envelope.read(data))
        except InvalidError:
            continue  # the spool sets aside what is damaged
    return tuple(found), max(left, 0)


def _stays(parts: Parts, sealed: Envelope) -> bool:
    """Tell whether it has to wait for a content (rule 2)."""
    if sealed.payload_type != errand.ERRAND:
        return False
    try:
        return parts.errands.waits(errand.read(sealed.payload).errand)
    except InvalidError:
        return False  # of another version of this program; the plane may read it


def _fitting(events: Sequence[Event], room: int) -> tuple[Event, ...]:
    """Return as many events as fit, and one at the least: else nothing would ever go on."""
    fitting = list[Event]()
    for event in events:
        room -= len(msgspec.json.encode(event))
        if fitting and room < 0:
            break
        fitting.append(event)
    return tuple(fitting)
