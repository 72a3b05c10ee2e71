# SPDX-License-Identifier: Apache-2.0
"""How does it read that services die? Of one container, of a device in a line, and of all of them on Today.

Rules: 1. the one that crashed most often comes first; 2. that a service crashes is news for everybody who sees the
device, not only for who may do something about it; 3. what a device says is shown with what cannot be seen in it
spelled out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from checkvalve.protocol.exchange import Workload
from checkvalve.server.access.model import Permission
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Condition, Device, Order
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, times
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

ROWS = 8  # on Today; the rest is one press away


@dataclass(frozen=True, slots=True)
class Crashing:
    """Devices with a service that crashes; `number` is how many there are in all."""

    devices: tuple[Device, ...] = ()
    number: int = 0


def crashed(box: Workload, offset: int | None, now: datetime) -> str:
    """Return how often it crashed, since when, and how it ended; nothing if it did not.

    `offset` is the device's clock minus the plane's in ms; a time that no calendar has is left out.
    """
    if not box.crashes:
        return ""
    since = _when_utc(box.since - (offset or 0))
    said = texts.count("device.crashed", box.crashes)
    said += texts.say("device.crashed_since", when=times.clock(since, now)) if box.since and since else ""
    if box.oom:
        return said + texts.say("device.crashed_oom")
    return said + (texts.say("device.crashed_exit", code=box.exit) if box.exit is not None else "")


def said(view: View, device: Device) -> str:
    """Return which services of a device crash, in a line (rules 1, 3)."""
    status = fleet_view.status(device) if device.crashing else None
    died = [box for box in status.workloads if box.crashes] if status else []
    died.sort(key=lambda box: (-box.crashes, box.service))
    return "; ".join(f"{plainly(box.service)}: {crashed(box, device.offset, view.now)}" for box in died)


def found(view: View) -> Crashing:
    """Return the devices that the caller sees (rule 2) with a service that crashes, up to `ROWS`, the worst first."""
    if not view.holds(Permission.DEVICE_READ):
        return Crashing()
    seen, how = view.seen(Permission.DEVICE_READ), (Condition.CRASHING,)
    devices = fleet_queries.devices(view.tx, seen, order=Order.CRASHING, conditions=how, now=view.now, limit=ROWS + 1)
    more = len(devices) > ROWS
    number = fleet_queries.count(view.tx, seen, conditions=how, now=view.now) if more else len(devices)
    return Crashing(tuple(devices[:ROWS]), number)


def rows(view: View, crashing: Crashing) -> Data:
    """Return them as rows of Today, with the way to all of them."""
    named = fleet_view.titles(view, (one.active for one in crashing.devices))
    query = {"is": Condition.CRASHING.value, "sort": Order.CRASHING.value}
    return {
        "crashing": [_row(view, one, fleet_view.runs(one.active, named)) for one in crashing.devices],
        "crashing_n": crashing.number,
        "crashing_all": texts.count("today.crashing_all", crashing.number) if crashing.number else "",
        "crashing_href": view.link("/fleet", **query) + "#devices",
    }


def _row(view: View, device: Device, runs: str) -> Data:
    name = plainly(device.name)
    return {
        "id": device.id,
        "shape": fleet_view.SHAPES[Condition.CRASHING],
        "title": name,
        "label": texts.say("today.device_crashing", name=name),
        "what": said(view, device)[: fleet_view.REASON],
        "where": view.where(device.scope),
        "runs": runs or texts.say("fleet.runs_none"),
        "since": when(device.seen_at),
        "href": view.link(f"/devices/{device.id}"),
    }


def _when_utc(milliseconds: int) -> datetime | None:
    """Return a moment of Unix milliseconds, None if no calendar has it."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
