# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags: while one hangs, nothing is switched on this device. Everything else goes on, a return too.

Rules: 1. those hung at the device and those of the plane are two files, each replaced whole: the plane sees the first
and lifts none of them, and who stands at the device lifts none of the plane's; 2. a file that is not what was written
holds the device (`hold.damaged`): what hung is not known, so something does; 3. what was asked for twice is so once.
"""

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
from msgspec import Struct, structs

from checkvalve import canonical
from checkvalve.agent.ports import Disk
from checkvalve.crypto import checked
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.protocol.exchange import MOST_TAGS, Tag

HERE = "holds.json"
PLANE = "holds.plane.json"
MOST = 16  # hung at the device: with the plane's they have to fit into a status


class _Hung(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """All tags of one of the two."""

    tags: tuple[Tag, ...] = ()
    v: Literal[1] = 1


def here(disk: Disk) -> tuple[Tag, ...]:
    """Return the tags hung at the device, oldest first; `InvalidError` (`hold.damaged`)."""
    return _read(disk, HERE)


def plane(disk: Disk) -> tuple[Tag, ...]:
    """Return the tags that the plane has hung; `InvalidError` (`hold.damaged`)."""
    return _read(disk, PLANE)


def all_(disk: Disk) -> tuple[Tag, ...]:
    """Return every tag that hangs; `InvalidError` (`hold.damaged`): then something does that cannot be read."""
    return here(disk) + plane(disk)


def seen(disk: Disk) -> tuple[Tag, ...]:
    """Return the tags that can be read, as many as a status holds, those of the device first. It raises for nothing."""
    found: list[Tag] = []
    for name in (HERE, PLANE):
        try:
            found += _read(disk, name)
        except CheckvalveError:
            continue
    return tuple(found[:MOST_TAGS])


def hang(disk: Disk, tag: Tag) -> None:
    """Hang a tag at the device; one of the same id takes its place.

    Raises `ConflictError` (`hold.too_many`), `InvalidError` (`hold.damaged`, `hold.tag`).
    """
    tag = structs.replace(tag, by="device")
    try:
        msgspec.convert(msgspec.to_builtins(tag), Tag)
    except msgspec.ValidationError as error:
        raise InvalidError("hold.tag", f"No tag can say this: {error}.", "Say it shorter.") from error
    others = tuple(each for each in here(disk) if each.id != tag.id)
    if len(others) >= MOST:
        raise ConflictError("hold.too_many", f"{MOST} tags hang here already.", "Lift one of them first.")
    _write(disk, HERE, (*others, tag))


def lift(disk: Disk, name: str) -> Tag:
    """Lift the tag with this id that was hung at the device, and return it.

    Raises `NotFoundError` (`hold.not_found`), `ForbiddenError` (`hold.plane`: it was not hung here), `InvalidError`
    (`hold.damaged`).
    """
    tags = here(disk)
    found = next((each for each in tags if each.id == name), None)
    if found is None:
        if any(each.id == name for each in seen(disk)):
            raise ForbiddenError(
                "hold.plane",
                "This tag was not hung at the device, and is not lifted at it.",
                "Have it lifted where it was hung: on the plane.",
            )
        raise NotFoundError("hold.not_found", f"No tag {name} hangs here.", "See what does: checkvalve-agent status.")
    _write(disk, HERE, tuple(each for each in tags if each.id != name))
    return found


def clear(disk: Disk) -> tuple[Tag, ...]:
    """Lift every tag that was hung at the device, and end the damage of their file; return those that were readable."""
    tags = tuple(each for each in seen(disk) if each.by == "device")
    _write(disk, HERE, ())
    return tags


def told(disk: Disk, tags: Sequence[Tag]) -> bool:
    """Have exactly these be the plane's tags; tell whether that is another set than before."""
    wanted = tuple(structs.replace(each, by="plane") for each in tags)
    try:
        if plane(disk) == wanted:
            return False
    except InvalidError:
        pass  # damaged: it is written anew
    _write(disk, PLANE, wanted)
    return True


def _read(disk: Disk, name: str) -> tuple[Tag, ...]:
    try:
        return msgspec.convert(canonical.loads(checked.read(disk.read(name))), _Hung).tags
    except NotFoundError:
        return ()
    except (InvalidError, msgspec.ValidationError) as error:
        remedy = (
            "Look at the disk; then, if nothing hangs: checkvalve-agent release-hold --all."
            if name == HERE
            else "Look at the disk; then hang a tag for this device on the plane and lift it: that sends them all anew."
        )
        raise InvalidError(
            "hold.damaged", f"The file of lock-out tags ({name}) is damaged, so one may hang.", remedy
        ) from error


def _write(disk: Disk, name: str, tags: tuple[Tag, ...]) -> None:
    plain = cast("canonical.Json", msgspec.to_builtins(_Hung(tags=tags)))
    disk.replace(name, checked.write(canonical.dumps(plain)))
