# SPDX-License-Identifier: Apache-2.0
"""What a person at the cabinet has done: tags, the window, and the return to the release before.

Rules: 1. each act is in the journal before it is done, with who asked for it: the plane reads it there. What could not
be done says so there too; 2. a tag of the plane is not lifted here, and one of ours not by the plane; 3. going back is
an attempt as any other: it fetches nothing, waits for holds, window and permit, is watched by the gate, and comes back
by itself if it fails; 4. it goes to what people signed and did not take back since: listed, and not below the floor of
its line. What has expired meanwhile does not matter, for that was judged when it came; 5. while containers are being
switched it is refused: that attempt ends by itself first. A device that is degraded may try: it may be the cure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec

from checkvalve import ids
from checkvalve.agent import evidence, holds, identity, window
from checkvalve.agent.cabinet.asked import Back, Hang, Lift
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Failure, Slot
from checkvalve.crypto import metadata
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.protocol.exchange import Deploy, State, Tag

_BUSY = frozenset({State.SWITCHING, State.VERIFYING, State.ROLLING_BACK})
_SUPERSEDED = Failure("deploy.superseded", "Somebody at the device went back instead. Nothing was changed.")


def hang(parts: Parts, asked: Hang, who: str) -> Any:  # noqa: ANN401  # JSON
    """Hang a tag of this device, and return it. Raises what `holds.hang` raises."""
    at = max(0, int(parts.clock.now().timestamp() * 1000))
    name = asked.name.strip() or who
    tag = Tag(
        id=parts.clock.new_id(), name=name, reason=asked.reason.strip(), number=asked.number.strip(), at=at, by="device"
    )
    number = f" (number {tag.number})" if tag.number else ""
    with _noted(parts, "cabinet.hold", f"{who} hung a tag for {name}: {tag.reason}{number}", who, tag=tag.id):
        holds.hang(parts.disk, tag)
    return msgspec.to_builtins(tag)


def lift(parts: Parts, asked: Lift, who: str) -> Any:  # noqa: ANN401  # JSON
    """Lift one tag of this device, or all, and return what was lifted.

    Raises `NotFoundError` (`hold.not_found`), `ForbiddenError` (`hold.plane`), `InvalidError` (`hold.damaged`).
    """
    if asked.all:
        with _noted(parts, "cabinet.release_hold", f"{who} lifted every tag that was hung at this device", who):
            return msgspec.to_builtins(holds.clear(parts.disk))
    tag = _meant(parts, asked.id)
    with _noted(parts, "cabinet.release_hold", f"{who} lifted the tag of {tag.name}: {tag.reason}", who, tag=tag.id):
        return [msgspec.to_builtins(holds.lift(parts.disk, tag.id))]


def open_window(parts: Parts, minutes: int, who: str) -> Any:  # noqa: ANN401  # JSON
    """Open the window for so many minutes; return the seconds for which it is open. 0 closes it, also one not open."""
    if not minutes:
        with _noted(parts, "cabinet.window_close", f"{who} closed the window", who):
            window.close(parts.disk)
        return {"seconds": 0}
    until = parts.clock.now() + timedelta(minutes=minutes)
    said = f"{who} opened the window for {minutes} minutes, until {until:%H:%M} UTC by this device's clock"
    with _noted(parts, "cabinet.window_open", said, who, minutes=minutes):
        window.open_(parts.disk, parts.clock, minutes, who)
    return {"seconds": minutes * 60}


def back(parts: Parts, asked: Back, who: str) -> Any:  # noqa: ANN401  # JSON
    """Begin the return to the slot before, and say to which; with `asked.dry`, only say it.

    Raises `ForbiddenError` (`device.observes`), `ConflictError` (`back.busy`, `back.nothing`, `release.below_floor`),
    `InvalidError` (`release.not_listed`), `UnavailableError` (`disk.full`, `disk.failed`).
    """
    slot = _before(parts)
    told = {"attempt": "", "release": slot.release, "name": slot.manifest.name, "version": slot.manifest.version}
    told |= {"values": slot.values, "from": parts.slots.active.release if parts.slots.active else ""}
    if asked.dry:
        return told
    attempt = _attempt(parts)
    named = f"{slot.manifest.name} {slot.manifest.version}"
    with _noted(parts, "cabinet.back", f"{who} has this device go back to {named}", who, target=slot.target):
        _ordered(parts, attempt, slot)
    return told | {"attempt": attempt}


def _before(parts: Parts) -> Slot:
    """Return the slot to go back to, if it may be gone back to (rules 4 and 5)."""
    if identity.observes(parts.disk):
        raise ForbiddenError(
            "device.observes",
            "This device only observes: a file on it says so, and it changes nothing.",
            "Remove the file `observe` from its data directory if it is to change.",
        )
    state, slot = parts.journal.position.state, parts.slots.previous
    if state in _BUSY:
        raise ConflictError(
            "back.busy",
            f"An attempt is under way ({state.value}); it comes back by itself if it fails.",
            "Wait until it has ended: checkvalve-agent status --watch.",
        )
    if slot is None:
        raise ConflictError("back.nothing", "Nothing ran here before what runs now.", "There is nothing to go back to.")
    _may_run(parts, slot)
    return slot


def _may_run(parts: Parts, slot: Slot) -> None:
    targets = parts.believed.trusted.targets
    listed, floors = ({}, {}) if targets is None else metadata.read_targets(metadata.payload(targets))
    named = f"{slot.manifest.name} {slot.manifest.version}"
    if slot.target not in listed:
        raise InvalidError(
            "release.not_listed",
            f"{named}, which ran before, is not among what people signed any more.",
            "Have another release rolled out from the plane.",
        )
    floor = floors.get(slot.target.rpartition("/")[0], 0)
    if slot.number < floor:
        raise ConflictError(
            "release.below_floor",
            f"{named} is number {slot.number} of its line, and nothing below number {floor} may be taken any more.",
            "Have a newer release rolled out from the plane.",
        )


def _ordered(parts: Parts, attempt: str, slot: Slot) -> None:
    """Park the attempt as an order of the plane is parked: `plan.move` takes it up."""
    waiting = parts.journal.position
    facts: dict[str, str | int] = {"target": slot.target, "number": slot.number, "parked": 1, "local": 1}
    if slot.values:
        facts["values"] = slot.values
    parts.journal.write("order", attempt=attempt, release=slot.release, facts=facts)
    if waiting.next_attempt:  # it had not even begun, and the plane waits to hear of it
        evidence.refuse(parts, Deploy(attempt=waiting.next_attempt, target=waiting.next_target), _SUPERSEDED)


def _attempt(parts: Parts) -> str:
    """Return a fresh id of the time that the plane goes by: this device's own clock may stand at 1970."""
    moment = parts.believed.floor.unix(parts.clock.monotonic())
    fresh = parts.clock.new_id()
    time = ids.encode(moment, bytes(10))
    return time[:10] + fresh[10:]


def _meant(parts: Parts, name: str) -> Tag:
    """Return the tag with this id; "" is the only one that was hung here (rule 2)."""
    here = holds.here(parts.disk)
    if not name and len(here) == 1:
        return here[0]
    for tag in here:
        if tag.id == name:
            return tag
    if any(tag.id == name for tag in holds.seen(parts.disk)):
        raise ForbiddenError(
            "hold.plane",
            "This tag was not hung at the device, and is not lifted at it.",
            "Have it lifted where it was hung: on the plane.",
        )
    raise NotFoundError(
        "hold.not_found",
        f"No tag {name} hangs here." if name else f"{len(here) or 'No'} tags hang here, and none was named.",
        "See what does: checkvalve-agent status.",
    )


@contextmanager
def _noted(parts: Parts, code: str, said: str, who: str, **facts: str | int) -> Iterator[None]:
    """Have an act in the journal before it is done (rule 1), and have it looked at and told at once."""
    parts.journal.write("note", code=code, reason=said, facts={"who": who, **facts})
    try:
        yield
    except CheckvalveError as error:
        parts.journal.write("note", code=error.code, reason=f"It was not done: {error.sentence}", facts={"who": who})
        raise
    finally:
        parts.shared.work.set()
        parts.shared.news.set()
