# SPDX-License-Identifier: Apache-2.0
"""Which volumes of no slot are kept, and which go?

Rules: 1. only a volume with policy `snapshot` has a name of its slot's own, so only of such a one is another slot's
left behind; 2. that of a slot that failed holds what the failed release wrote: it is set aside, for people; 3. that of
a slot that was committed, and is neither the active nor the previous one any more, was copied before another release
wrote: it goes; 4. of one that is set aside the newest of each name stays, until somebody drops it; 5. where the disk of
the engine has less room than what has to stay free, the oldest go; 6. what a slot uses never goes, under whatever name
it came, and neither does what is not written down here: nobody knows what it holds; 7. but a copy that was cut short,
and that no slot uses, goes: nothing ever ran on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from checkvalve.agent.budget import MIB, Budget, Room, headroom
from checkvalve.agent.steps import DropVolume, Observed, Slot
from checkvalve.protocol.exchange import Aside, Copied


class Left(Struct, kw_only=True, frozen=True):
    """A volume that was left behind. `volume` is its name in the release, `name` that in the engine.

    `at` is when that was, in Unix ms by the device's clock; `size` in bytes, None if the engine did not say; `release`
    the release that wrote into it.
    """

    volume: str
    name: str
    attempt: str
    release: str
    at: int
    size: int | None = None
    failed: bool = True


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a volume besides its name: how long the copy into it took, and that it was left behind."""

    took: Copied | None = None
    left: Left | None = None


def used(slots: Iterable[Slot | None]) -> frozenset[str]:
    """Return the volumes that these slots use, by their names in the engine."""
    return frozenset(name for slot in slots if slot is not None for name in (*slot.volumes.values(), *slot.copies))


def behind(slot: Slot, observed: Observed, others: Iterable[Slot | None]) -> dict[str, str]:
    """Return the volumes that a slot leaves behind, as the release calls them -> as the engine does (rules 1 and 6)."""
    needed = used(others)
    return {
        volume: name
        for volume, name in sorted(slot.volumes.items())
        if slot.manifest.volumes[volume].policy == "snapshot" and name in observed.volumes and name not in needed
    }


def surplus(
    lefts: Sequence[Left], observed: Observed, slots: Iterable[Slot | None], budget: Budget, room: Room | None
) -> tuple[DropVolume, ...]:
    """Return what goes now. `lefts` are in the order of their coming."""
    needed, volumes = used(slots), observed.volumes
    halves = [DropVolume(each, f"The copy {each} goes: it was cut short.") for each in sorted(observed.halves - needed)]
    there = [each for each in lefts if each.name in volumes and each.name not in needed]
    newest = {each.volume: each for each in there if each.failed}
    gone = [DropVolume(each.name, _why(each)) for each in there if each is not newest.get(each.volume)]
    gone += halves
    if gone or not newest or room is None or room.free >= (stays := headroom(budget, room)):
        return tuple(gone)
    oldest = min(newest.values(), key=lambda each: (each.at, each.name))
    words = f"{room.free // MIB} MiB are free where the engine keeps its volumes, and {stays // MIB} MiB have to be."
    return (DropVolume(oldest.name, f"The set-aside copy of the volume {oldest.volume} goes: {words}"),)


def told(lefts: Sequence[Left]) -> tuple[Aside, ...]:
    """Return what was set aside, for the plane: the newest of each volume, by name."""
    newest = {each.volume: each for each in lefts if each.failed}
    return tuple(
        Aside(volume=volume, name=each.name, size=each.size, at=each.at) for volume, each in sorted(newest.items())
    )


def words(size: int | None) -> str:
    """Return how large something is, for people; in KiB, rounded up, what is less than a MiB."""
    if size is None:
        return "of unknown size"
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{-(-size // 1024)} KiB"


def _why(each: Left) -> str:
    if each.failed:
        return f"An older set-aside copy of the volume {each.volume} goes: a newer one is here."
    return f"The copy of the volume {each.volume} of a release before the last one goes: nothing returns to it."
