# SPDX-License-Identifier: Apache-2.0
"""Has on this device what an attempt needs: the manifest that people signed, what fills it, and the blobs it names.

1. What a target *is* - digest, length, number - is read from the trust set at the time it is taken, never from orders.
2. A manifest's bytes are the target's by length and SHA-256 before anybody looks into them.
3. Nothing here ends because something has expired: that was judged when the order was accepted (`trust.deploy`), and
   an attempt that began may go on for as long as the plane is out of reach.
4. What a slot of this device has already is not fetched again: a release that runs, or ran before, comes back without
   the plane, and so do its values. A file that is damaged is one that is not there.
5. Values are judged before anything is laid out (`given`), and so is whether this device can keep secrets in memory:
   what it cannot run it refuses while the old release still runs.
6. A fetch pauses now and then, and soon when something happens: what runs is looked after, and a newer order heard,
   though a slow line takes days. What a broken line has brought is kept, and is no failure.
"""

from collections.abc import Mapping

from checkvalve.agent import blobs as blobs_of
from checkvalve.agent import budget, given, identity, local, situation
from checkvalve.agent.budget import Budget, Means
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Position, Slot
from checkvalve.crypto import metadata
from checkvalve.crypto.metadata import Target
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import ENDED
from checkvalve.protocol.workload import Manifest

LONG, SHORT = 300.0, 10.0  # seconds of fetching in one go: at most, and when something has happened


def number(parts: Parts, target: str) -> int:
    """Return a target's number in its line; 0 if it is not listed any more."""
    found = _target(parts, target)
    return 0 if found is None else found.number


async def manifest(parts: Parts) -> Slot:
    """Lay out the slot of the current attempt, filled.

    Raises `InvalidError` (`release.not_listed`, `release.mismatch`, `manifest.*`, `values.*`), `ConflictError` (of
    `Laying.check`), and what link and disk raise.
    """
    position = parts.journal.position
    target = _target(parts, position.target)
    if target is None:
        raise InvalidError("release.not_listed", f"{position.target} is not among what people signed any more.")
    here = parts.slots.manifest(f"sha256:{target.sha256}")  # rule 4
    data = await parts.link.manifest(f"sha256:{target.sha256}") if here is None else here
    digest = workload.digest(data)
    if len(data) != target.length or digest != f"sha256:{target.sha256}":
        raise InvalidError(
            "release.mismatch",
            f"The plane sent {len(data)} bytes with the digest {digest}, which is not what people signed.",
            "Look at the plane, and at what stands between it and this device.",
        )
    read = workload.read(data)
    values = await _values(parts, read, digest) if position.values else b""
    if not position.values:
        given.sufficient(None, read)
    parts.laying.check(read)  # rule 5
    return parts.slots.stage(position.attempt, position.target, target.number, data, values)


async def blobs(parts: Parts, wanted: Mapping[str, int], *, limited: bool = False) -> None:
    """Have these blobs (digest -> size) on the disk, verified, or a part of them (rule 6).

    Raises `UnavailableError` (`disk.full`, with the numbers; what `budget.waits` names, if it is `limited`).
    """
    parts.blobs.need(wanted)
    toll = _Toll(parts, limited=limited)
    try:
        for digest, size in wanted.items():
            if not await parts.blobs.fetch(digest, size, parts.link, toll.pay):
                return
    except UnavailableError as error:
        if not error.code.startswith("link.") or toll.paid < blobs_of.PIECE:
            raise
    finally:
        parts.meter.keep()


def means(parts: Parts) -> Means:
    """Return what there is to fetch with; `UnavailableError` (`disk.failed`)."""
    clock, about = parts.clock, parts.shared.about
    return Means(
        here=parts.disk.room(),
        engine=parts.disk.room(about.root if about else ""),
        local=clock.local(),
        parts=parts.blobs.parts(),
        spent=parts.meter.spent(parts.believed.floor.at(clock.monotonic())),
        offset=parts.offset,
        volumes=parts.shared.sizes,
    )


class _Toll:
    """What is asked of each piece that comes: that it is counted, and paid for with time."""

    def __init__(self, parts: Parts, *, limited: bool) -> None:
        self.paid = 0
        self._parts = parts
        self._limited = limited
        self._budget = _budget(parts)
        self._began = parts.clock.monotonic()

    async def pay(self, size: int) -> bool:
        """See `blobs.Toll`; `UnavailableError` as `budget.waits` has it."""
        parts, clock = self._parts, self._parts.clock
        self.paid += size
        now = parts.believed.floor.at(clock.monotonic())
        parts.meter.count(size, now)
        if self._limited:
            why = budget.waits(self._budget, clock.local(), parts.offset, parts.meter.spent(now))
            if why is not None:
                raise UnavailableError(why.code, why.sentence, "It goes on by itself.")
        rate = self._budget.rate_kib_s
        await parts.meter.pace(size, None if rate is None else rate * 1024)
        seconds = clock.monotonic() - self._began
        return seconds < (SHORT if parts.shared.work.is_set() else LONG)


def _budget(parts: Parts) -> Budget:
    try:
        return local.rules(parts.disk).budget
    except CheckvalveError:  # `fetching` waits for a right one; what mends what runs does not
        return Budget()


def forget(parts: Parts) -> None:
    """Drop the slots and blobs that neither the active, the previous nor an open attempt needs."""
    slots = kept(parts)
    parts.slots.forget({slot.attempt for slot in slots})
    keep = set[str]()
    for slot in slots:
        keep.update(situation.all_blobs(slot.manifest))
    parts.blobs.sweep(keep)
    parts.laying.sweep({slot.attempt for slot in slots})
    if all(slot.given is None or slot.given.device == parts.identity.device for slot in slots):
        identity.forget_former(parts.disk)


def kept(parts: Parts) -> list[Slot]:
    """Return the slots that something may still need: the active, the previous, and that of an open attempt."""
    return [slot for slot in (parts.slots.active, parts.slots.previous, _open(parts)) if slot is not None]


async def _values(parts: Parts, manifest: Manifest, release: str) -> bytes:
    """Return the bytes of the attempt's values, verified (rules 4 and 5)."""
    digest = parts.journal.position.values
    here = parts.slots.document(digest)
    data = await parts.link.values(digest) if here is None else here
    given.accepted(
        data,
        digest=digest,
        device=parts.identity.device,
        release=release,
        manifest=manifest,
        key=parts.identity.key,
    )
    return data


def _open(parts: Parts) -> Slot | None:
    position: Position = parts.journal.position
    return None if position.state in ENDED or not position.attempt else parts.slots.staged(position.attempt)


def _target(parts: Parts, path: str) -> Target | None:
    targets = parts.believed.trusted.targets
    if targets is None:
        return None
    found, _ = metadata.read_targets(metadata.payload(targets))
    return found.get(path)
