# SPDX-License-Identifier: Apache-2.0
"""Which device does this text name, and what do people read of one?"""

from checkvalve import ids, lines
from checkvalve.cli import times
from checkvalve.cli.invocation import Invocation
from checkvalve.cli.receipts import short
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol import fleet
from checkvalve.protocol.exchange import Workload

DEVICE = "device:"
"""May stand before the name of a device, as in selectors and where a place may be a scope too."""
_MOST = 10  # names that an error lists


def device(run: Invocation, text: str) -> fleet.WholeDevice:
    """Return the device that an id or a name (within `--scope`) names, with or without `device:` before it.

    Raises `NotFoundError` (`device.unknown`), `ConflictError` (`device.ambiguous`).
    """
    tidy = text.strip().removeprefix(DEVICE).strip()
    if ids.well_formed(tidy.lower()):
        return run.plane.get(f"/api/v1/devices/{tidy.lower()}", fleet.WholeDevice)
    place = {"scope": run.within()} if run.flags.scope else {}
    near = run.every("/api/v1/devices", fleet.Device, "after", text=tidy, **place)
    found = [one for one in near if lines.folded(one.name) == lines.folded(tidy)]
    in_use = [one for one in found if one.trust != "retired"]  # whoever replaced a device gave it the old one's name
    found = in_use or found
    if len(found) == 1:
        return run.plane.get(f"/api/v1/devices/{found[0].id}", fleet.WholeDevice)
    if found:
        listed = [f"{one.id}  {run.called(one.scope)}" for one in found[:_MOST]]
        remedy = "\n".join(["Say --scope, or give the id:", *listed])
        raise ConflictError("device.ambiguous", f"{tidy!r} names {len(found)} devices.", remedy)
    like = [one.name for one in near[:_MOST]]
    remedy = "\n".join(["There are:", *like]) if like else "`checkvalve device list` shows them."
    raise NotFoundError("device.unknown", f"No device that you may see is called {tidy!r}.", remedy)


def runs(one: fleet.Device) -> str:
    """Return what runs on a device, as lists have it."""
    return short(one.active) if one.active else "-"


def held(one: fleet.Device) -> str:
    """Return how many lock-out tags hang for a device, as lists have it."""
    return "-" if not one.held else "1 tag" if len(one.held) == 1 else f"{len(one.held)} tags"


def holds(run: Invocation, one: fleet.Device) -> list[tuple[str, ...]]:
    """Return the lock-out tags that hang for a device as rows: HELD BY, REASON, NUMBER, SINCE, WHERE, ID."""
    return [
        (tag.name, tag.reason, tag.number or "-", times.short(tag.at), _hangs(run, tag), tag.id) for tag in one.held
    ]


def _hangs(run: Invocation, tag: fleet.Hung) -> str:
    if tag.by == "device":
        return "at the device; it is lifted there only"
    where = run.called(tag.where) if tag.where else "this device"
    return where if tag.known else f"{where}; the device does not know yet"


def pairs(run: Invocation, one: fleet.WholeDevice) -> list[tuple[str, str]]:
    """Return what to show of a device."""
    trust = f"{one.trust}: {one.trust_reason}" if one.trust_reason else one.trust
    offset = "" if one.offset is None else f"{one.offset} ms ahead of the plane's"
    return [
        ("name", one.name),
        ("id", one.id),
        ("scope", run.called(one.scope)),
        ("tags", " ".join(one.tags)),
        ("trust", trust),
        ("condition", one.condition),
        ("liveness", f"{one.liveness}, last seen {times.short(one.seen_at)}"),
        ("link", f"{one.link.value}, every {one.interval} s while idle"),
        ("runs", one.active or "nothing yet"),
        ("attempt", f"{one.attempt}  {one.state.value}" if one.attempt else ""),
        ("", _why(one)),
        ("ordered", _ordered(one)),
        ("held", held(one) if one.held else ""),
        ("window", f"open until {times.short(one.window)}, by hand" if one.window else ""),
        ("clock", offset),
        ("agent", _status(one)),
        ("joined", f"{times.short(one.joined_at)} by invite {one.invite}"),
        ("certificate", f"generation {one.generation}, until {times.short(one.certificate_ends_at)}"),
        ("key", one.key),
        ("machine", one.machine),
    ]


def workloads(one: fleet.WholeDevice) -> list[tuple[str, ...]]:
    """Return the containers of a device as rows: SERVICE, IMAGE, STATE, HEALTH, RESTARTS, CRASHES."""
    each = () if one.status is None else one.status.workloads
    return [
        (box.service, short(box.image), box.state, box.health or "-", str(box.restarts), _crashes(box)) for box in each
    ]


def _crashes(box: Workload) -> str:
    if not box.crashes:
        return "-"
    how = "out of memory" if box.oom else "" if box.exit is None else f"last exit {box.exit}"
    return ", ".join(filter(None, (str(box.crashes), how)))


def _why(one: fleet.WholeDevice) -> str:
    if one.status is None or not one.status.reason:
        return ""
    return f"{one.status.reason} [{one.status.code}]" if one.status.code else one.status.reason


def _ordered(one: fleet.WholeDevice) -> str:
    if one.assigned is None:
        return ""
    return f"{one.assigned.target} by {one.assigned.by}, attempt {one.assigned.attempt}"


def _status(one: fleet.WholeDevice) -> str:
    return "" if one.status is None else ", ".join(filter(None, (one.status.agent, one.status.engine)))
