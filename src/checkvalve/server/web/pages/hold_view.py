# SPDX-License-Identifier: Apache-2.0
"""How do tags read: who hung them, why, where, what they hold, and may the caller lift them?

Rules: 1. a tag that was hung at a device is shown and offers nothing: it is lifted there; 2. that a device does not
know of a tag is said: until then it may still switch; 3. what tags say is shown with what cannot be seen in it spelled
out.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from checkvalve.errors import NotFoundError
from checkvalve.protocol.exchange import Status, Tag
from checkvalve.server.access import decide
from checkvalve.server.access.model import Permission, Visibility
from checkvalve.server.fleet import holds as tagged
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device, Hold
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, release_view
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when


def of_device(view: View, device: Device, status: Status | None) -> Data:
    """Return the tags that hang for a device, its own first, and what the caller can do about them."""
    local = own(device)
    known = {tag.id for tag in status.held if tag.by == "plane"} if status else set()
    hung = fleet_queries.holds_for(view.tx, [device])[device.id]
    number = len(local) + len(hung)
    window = _moment(status.window) if status and status.window else None
    return {
        "sentence": texts.count("held.is", number) if number else texts.say("held.none"),
        "n": number,
        "items": local + [_of_plane(view, device, hold, known) for hold in hung],
        "hang": _hang(view, device.scope),
        "name": view.call.caller.person.name,
        "window": when(window),
    }


def own(device: Device) -> list[Data]:
    """Return the tags that hang at a device itself (rule 1)."""
    status = fleet_view.status(device)
    return [_local(tag) for tag in status.held if tag.by == "device"] if status else []


def marks(view: View, devices: Iterable[Device]) -> dict[str, str]:
    """Return, of each device of a list, how many tags hold it in words; nothing for those that none does."""
    found = list(devices)
    hung = fleet_queries.holds_for(view.tx, found)
    numbers = {one.id: len(hung[one.id]) + _own_n(one) for one in found}
    return {device: texts.count("held.mark", number) if number else "" for device, number in numbers.items()}


def unaware(view: View, hanging: Iterable[Hold]) -> dict[str, int]:
    """Return how many devices of each place that the caller sees do not know yet of what hangs, if anything does."""
    return fleet_queries.unaware(view.tx, view.reach[Permission.DEVICE_READ]) if list(hanging) else {}


def row(view: View, hold: Hold, waiting: Mapping[str, int]) -> Data:
    """Return one tag of the plane's in a list of all; `waiting` is what `unaware` returns (rule 2)."""
    name, href, held = _place(view, hold)
    yet = sum(number for scope, number in waiting.items() if scope.startswith(hold.scope)) if not hold.device else 0
    return {
        **_tag(hold),
        "where": name,
        "href": href,
        "held": held,
        "held_words": texts.count("holds.devices", held) if held else texts.say("holds.devices_none"),
        "note": texts.count("holds.unaware", min(yet, held)) if yet and held and hold.lifted_at is None else "",
        "lift": lifting(view, hold) if hold.lifted_at is None else None,
        "lifted_at": when(hold.lifted_at),
        "lifted_by": view.person(hold.lifted_by) if hold.lifted_by else "",
        "lifted_why": plainly(hold.lifted_why),
    }


def lifting(view: View, hold: Hold) -> Data:
    """Return what lifting a tag takes."""
    own, name = hold.made_by == view.me, plainly(hold.name)
    why = texts.say("hold.lift_own") if own else texts.say("hold.lift_foreign", name=name)
    right = release_view.no_right(view, Permission.DEVICE_HOLD, hold.scope)
    return {
        "name": f"lift-{hold.id}",
        "label": texts.say("hold.lift"),
        "why": right or why,
        "enabled": not right,
        "style": "",
        "hold": hold.id,
        "own": own,
        "hint": texts.say(f"hold.lift_reason_{'own' if own else 'foreign'}"),
        "press": texts.say("hold.lift_of", name=name, reason=plainly(hold.reason)),
    }


def _hang(view: View, scope: str) -> Data:
    right = release_view.no_right(view, Permission.DEVICE_HOLD, scope)
    return release_view.deed("hang", "hold", right, texts.say("hold.hang_why"))


def _place(view: View, hold: Hold) -> tuple[str, str, int]:
    """Return where a tag hangs in words, the page of that, and how many devices the caller sees that it holds."""
    if hold.device is not None:
        try:
            device = fleet_queries.device(view.tx, hold.device, view.reach[Permission.DEVICE_READ])
        except NotFoundError:
            return view.where(hold.scope), "", 1
        where = f"{view.where(device.scope)} / {plainly(device.name)}"
        return where, view.link(f"/devices/{device.id}") + "#tags", 1
    seen = decide.narrowed(view.reach[Permission.DEVICE_READ], hold.scope)
    held = fleet_queries.count(view.tx, seen, retired=False)
    return view.where(hold.scope), f"/fleet?scope={hold.scope}" if _seen(seen) else "", held


def _seen(seen: Visibility) -> bool:
    return bool(seen.prefixes)


def _tag(hold: Hold) -> Data:
    return {
        "id": hold.id,
        "by": "plane",
        "name": plainly(hold.name),
        "reason": plainly(hold.reason),
        "number": plainly(hold.number),
        "since": when(hold.made_at),
    }


def _of_plane(view: View, device: Device, hold: Hold, known: set[str]) -> Data:
    note = ""
    if not tagged.knows_tags(device.capability):
        note = texts.say("hold.old_agent")
    elif hold.id not in known and len(known) < tagged.TOLD:
        note = texts.say("hold.unknown")  # rule 2
    where = texts.say("hold.on_this") if hold.device is not None else view.where(hold.scope)
    return {**_tag(hold), "where": where, "note": note, "lift": lifting(view, hold)}


def _local(tag: Tag) -> Data:
    return {
        "id": tag.id,
        "by": "device",
        "name": plainly(tag.name),
        "reason": plainly(tag.reason),
        "number": plainly(tag.number),
        "since": when(_moment(tag.at)),
        "where": texts.say("hold.at_device"),
        "note": "",
        "lift": None,
    }


def _own_n(device: Device) -> int:
    return len(own(device)) if device.locked else 0


def _moment(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a clock may show any number
