# SPDX-License-Identifier: Apache-2.0
"""Has on this device what an attempt needs: the manifest that people signed, and the blobs it names.

1. What a target *is* - digest, length, number - is read from the trust set at the time it is taken, never from orders.
2. A manifest's bytes are the target's by length and SHA-256 before anybody looks into them.
3. Nothing here ends because something has expired: that was judged when the order was accepted (`trust.deploy`), and
   an attempt that began may go on for as long as the plane is out of reach.
"""

from collections.abc import Mapping

from checkvalve.agent import situation
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Position, Slot
from checkvalve.crypto import metadata
from checkvalve.crypto.metadata import Target
from checkvalve.errors import InvalidError
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import ENDED


def number(parts: Parts, target: str) -> int:
    """Return a target's number in its line; 0 if it is not listed any more."""
    found = _target(parts, target)
    return 0 if found is None else found.number


async def manifest(parts: Parts) -> Slot:
    """Lay out the slot of the current attempt.

    Raises `InvalidError` (`release.not_listed`, `release.mismatch`, `manifest.*`), and what link and disk raise.
    """
    position = parts.journal.position
    target = _target(parts, position.target)
    if target is None:
        raise InvalidError("release.not_listed", f"{position.target} is not among what people signed any more.")
    data = await parts.link.manifest(f"sha256:{target.sha256}")
    digest = workload.digest(data)
    if len(data) != target.length or digest != f"sha256:{target.sha256}":
        raise InvalidError(
            "release.mismatch",
            f"The plane sent {len(data)} bytes with the digest {digest}, which is not what people signed.",
            "Look at the plane, and at what stands between it and this device.",
        )
    workload.read(data)
    return parts.slots.stage(position.attempt, position.target, target.number, data)


async def blobs(parts: Parts, wanted: Mapping[str, int]) -> None:
    """Have these blobs (digest -> size) on the disk, verified; `UnavailableError` (`disk.full`, with the numbers)."""
    parts.blobs.need(wanted)
    for digest, size in wanted.items():
        await parts.blobs.fetch(digest, size, parts.link)


def forget(parts: Parts) -> None:
    """Drop the slots and blobs that neither the active, the previous nor an open attempt needs."""
    slots = [slot for slot in (parts.slots.active, parts.slots.previous, _open(parts)) if slot is not None]
    parts.slots.forget({slot.attempt for slot in slots})
    keep = set[str]()
    for slot in slots:
        keep.update(situation.all_blobs(slot.manifest))
    parts.blobs.sweep(keep)


def _open(parts: Parts) -> Slot | None:
    position: Position = parts.journal.position
    return None if position.state in ENDED or not position.attempt else parts.slots.staged(position.attempt)


def _target(parts: Parts, path: str) -> Target | None:
    targets = parts.believed.trusted.targets
    if targets is None:
        return None
    found, _ = metadata.read_targets(metadata.payload(targets))
    return found.get(path)
