# SPDX-License-Identifier: Apache-2.0
"""What is held, and what waits for somebody on site: the part of Today that says so.

Rules: 1. a tag is one row however many devices it holds; 2. a device that is held by its own tag, and one that waits
for its permit or its window, is a row each, up to a few: the rest is one press away.
"""

from collections.abc import Mapping

from checkvalve.protocol.exchange import State
from checkvalve.server.access.model import Permission
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device, Hold
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, hold_view
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

ROWS = 8  # of each kind
_WAITING = ((State.WAITING_PERMIT, "permit", "warn"), (State.WAITING_WINDOW, "window", "waits"))


def held(view: View) -> Data:
    """Return the rows, and a way to those there are more of."""
    if not view.holds(Permission.DEVICE_READ):
        return {"held": [], "held_more": []}
    seen = view.seen(Permission.DEVICE_READ)
    hanging = fleet_queries.holds(view.tx, seen, limit=ROWS)
    waiting_for = hold_view.unaware(view, hanging)
    rows = [_tag(view, one, waiting_for) for one in hanging]
    rows += [_local(view, one) for one in fleet_queries.devices(view.tx, seen, locked=True, retired=False, limit=ROWS)]
    more: list[Data] = []
    for state, name, shape in _WAITING:
        waiting = fleet_queries.devices(view.tx, seen, states=(state,), retired=False, limit=ROWS + 1)
        rows += [_waits(view, one, name, shape) for one in waiting[:ROWS]]
        if len(waiting) > ROWS:
            number = fleet_queries.count(view.tx, seen, states=(state,), retired=False)
            href = view.link("/fleet", step=state.value) + "#devices"
            more.append({"href": href, "words": texts.say(f"today.{name}_all", n=f"{number:,}")})
    return {"held": rows, "held_more": more}


def _tag(view: View, hold: Hold, unaware: Mapping[str, int]) -> Data:
    tag = hold_view.row(view, hold, unaware)
    permit = [texts.say("hold.permit", number=tag["number"])] if tag["number"] else []
    more = ", ".join(str(each) for each in (*permit, tag["held_words"], tag["note"]) if each)
    return {
        "id": hold.id,
        "shape": "warn",
        "title": tag["where"],
        "label": texts.say("today.held_tag", where=tag["where"]),
        "what": texts.say("today.held_also", reason=str(tag["reason"])[: fleet_view.REASON], more=more),
        "where": view.where(hold.scope),
        "who": tag["name"],
        "since": tag["since"],
        "href": view.link("/holds") if hold.device is None else tag["href"] or view.link("/holds"),
    }


def _local(view: View, device: Device) -> Data:
    tags = [tag for tag in hold_view.own(device) if tag["by"] == "device"]
    return {
        **_device(view, device, "held_local", "warn"),
        "what": "; ".join(str(tag["reason"]) for tag in tags)[: fleet_view.REASON],
        "who": ", ".join(str(tag["name"]) for tag in tags)[: fleet_view.REASON],
        "since": tags[0]["since"] if tags else None,
        "href": view.link(f"/devices/{device.id}") + "#tags",
    }


def _waits(view: View, device: Device, name: str, shape: str) -> Data:
    status = fleet_view.status(device)
    said = plainly(status.reason)[: fleet_view.REASON] if status else ""
    return {**_device(view, device, name, shape), "what": said, "who": "-", "since": when(device.seen_at)}


def _device(view: View, device: Device, label: str, shape: str) -> Data:
    name = plainly(device.name)
    return {
        "id": device.id,
        "shape": shape if fleet_view.is_heard(view, device) else "unknown",
        "title": name,
        "label": texts.say(f"today.{label}", name=name),
        "where": view.where(device.scope),
        "href": view.link(f"/devices/{device.id}"),
    }
