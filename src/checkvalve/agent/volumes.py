# SPDX-License-Identifier: Apache-2.0
"""The volumes of a device for people: who uses each, which one somebody means, and which one may be dropped.

Rules: 1. a volume is known by its name in the engine, and called by the name that its release has for it; 2. called so,
it is the one that what runs has, else one that is being brought, else the one of before; the set-aside one has to be
asked for; 3. what a slot uses is not dropped, whoever asks: it is what runs, or what is returned to.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from checkvalve.agent.asides import Left
from checkvalve.agent.steps import Slot
from checkvalve.errors import ConflictError, NotFoundError

ASIDE, OLDER = "set aside", "of an older release"
_FIRST = ("active", "staged", "previous")  # rule 2


class Volume(Struct, kw_only=True, frozen=True):
    """One volume. `volume` is its name in the release, "" if none is known; `name` that in the engine.

    `uses` are `active`, `previous` and `staged`, or says why it is here; empty: nobody knows. `release` is as people
    call the one that wrote into it last, or its digest. `at` is when it was set aside (Unix ms); `size` is in bytes.
    """

    name: str
    volume: str = ""
    services: tuple[str, ...] = ()
    policy: str = ""
    uses: tuple[str, ...] = ()
    release: str = ""
    size: int | None = None
    at: int = 0


def listed(
    there: Collection[str], slots: Mapping[str, Slot | None], lefts: Sequence[Left], sizes: Mapping[str, int]
) -> list[Volume]:
    """Return the volumes that are `there` in the engine; `slots` are by what they are called, as `Volume.uses` does."""
    behind = {each.name: each for each in lefts}
    return [_one(name, slots, behind.get(name), sizes.get(name)) for name in sorted(there)]


def meant(found: Sequence[Volume], name: str, *, aside: bool) -> Volume:
    """Return the volume that somebody calls so (rules 1 and 2); `NotFoundError` (`volume.not_found`)."""
    for each in found:
        if each.name == name and (not aside or ASIDE in each.uses):
            return each
    called = [each for each in found if each.volume == name]
    if aside:
        kept = [each for each in called if ASIDE in each.uses]
        if kept:
            return max(kept, key=lambda each: (each.at, each.name))
    for use in () if aside else _FIRST:
        for each in called:
            if use in each.uses:
                return each
    names = ", ".join(sorted({each.volume or each.name for each in found})) or "none"
    what = f"No set-aside copy of a volume {name} is here." if aside else f"No volume {name} is here."
    raise NotFoundError("volume.not_found", what, f"Volumes that are here: {names}. See: checkvalve-agent volume list.")


def droppable(found: Sequence[Volume], name: str) -> Volume:
    """Return the volume that somebody wants dropped: by its name in the engine, or the set-aside one called so.

    Raises `NotFoundError` (`volume.not_found`), `ConflictError` (`volume.used`).
    """
    exact = next((each for each in found if each.name == name), None)
    each = exact or meant(found, name, aside=True)
    if each.uses and set(each.uses) & set(_FIRST):  # rule 3
        raise ConflictError(
            "volume.used",
            f"The volume {each.name} belongs to a release that is installed here ({', '.join(each.uses)}).",
            "Only what no installed release uses is dropped.",
        )
    return each


def _one(name: str, slots: Mapping[str, Slot | None], left: Left | None, known: int | None) -> Volume:
    users = {use: slot for use, slot in slots.items() if slot is not None and name in slot.volumes.values()}
    if not users:
        if left is None:
            return Volume(name=name, size=known)
        use = ASIDE if left.failed else OLDER
        return Volume(
            name=name,
            volume=left.volume,
            policy="snapshot",
            uses=(use,),
            release=left.release,
            size=left.size if known is None else known,
            at=left.at if left.failed else 0,
        )
    slot = next(users[use] for use in _FIRST if use in users)
    volume = next(key for key, value in slot.volumes.items() if value == name)
    return Volume(
        name=name,
        volume=volume,
        services=tuple(
            sorted(who for who, one in slot.manifest.services.items() if volume in {at.volume for at in one.mounts})
        ),
        policy=slot.manifest.volumes[volume].policy,
        uses=tuple(users),
        release=f"{slot.manifest.name} {slot.manifest.version}",
        size=known,
    )
