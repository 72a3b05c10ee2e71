# SPDX-License-Identifier: Apache-2.0
"""What small orders can be given to this device, and what is asked before one is?

Rules: 1. what cannot be ordered says why: by the room's rule, or for want of a right; one reason for all is said once;
2. services are those that the device last said it runs; where it has said none, the name is typed; 3. a restart and a
reboot ask why; a reboot shows what it interrupts, and asks for the device's name, so that nobody reboots the one beside
it; 4. an address may fill the form beforehand; what it says that there is not, is not taken.
"""

from collections.abc import Mapping
from datetime import timedelta

from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import ErrandId
from checkvalve.protocol.errand import MOST_LINES
from checkvalve.server.access.model import Permission
from checkvalve.server.errands import decide
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import GOOD, Asked, Kind
from checkvalve.server.errands.rights import RIGHT
from checkvalve.server.fleet.model import Device
from checkvalve.server.web import texts
from checkvalve.server.web.pages import device_headline, errand_view, errand_wait, fleet_view, release_view
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View

NEWEST = 6  # on the page of a device
LINES = 200
SINCE = (900, 3_600, 6 * 3_600, 24 * 3_600, 7 * 24 * 3_600, 0)  # seconds back; 0: all there is
HOUR = 3_600
WITHIN = (5 * 60, 15 * 60, HOUR, 4 * HOUR, 24 * HOUR, 7 * 24 * HOUR)  # seconds
STYLES: Mapping[Kind, str] = {Kind.REBOOT: "danger"}
_DIGITS = 9


def of_device(view: View, device: Device) -> Data:
    """Return what can be ordered of a device, and the newest of what was."""
    reasons = refusals(view, device)
    all_alike = len(set(reasons.values())) == 1
    found = errand_queries.errands(view.tx, view.reach[Permission.DEVICE_READ], device=device.id, limit=NEWEST)
    return {
        "buttons": [_button(view, device, kind, reasons[kind]) for kind in Kind],
        "reason": reasons[Kind.LOGS] if all_alike else "",  # rule 1
        "items": [errand_view.row(view, one, device) for one in found],
        "all_href": view.link("/errands", device=device.id),
    }


def refusals(view: View, device: Device) -> dict[Kind, str]:
    """Return of each kind why the caller cannot order it of the device now, or nothing if they can (rule 1)."""
    refused = errand_queries.refusals(view.tx, device)
    return {kind: _reason(view, device, kind, error) for kind, error in refused.items()}


def form(view: View, device: Device, kind: Kind) -> Data:
    """Return the data of the form that orders one."""
    status, name = fleet_view.status(device), plainly(device.name)
    services = [plainly(box.service) for box in status.workloads] if status else []
    reason, query = refusals(view, device)[kind], view.query
    return {
        "id": device.id,
        "kind": kind.value,
        "name": name,
        "href": view.link(f"/devices/{device.id}") + "#errands",
        "sentence": texts.say(f"errands.ask_{kind}", name=name),
        "detail": texts.say(f"errands.ask_{kind}_why"),
        "reason": reason,
        "enabled": not reason,
        "hears": errand_wait.hears(view, device),
        "services": services,
        "service": query.get("service", "") if query.get("service", "") in services else "",
        "sinces": [{"value": str(one), "label": _since(one)} for one in SINCE],
        "since": query["since"] if query.get("since", "") in {str(one) for one in SINCE} else str(HOUR),
        "lines": str(_number(query.get("lines", "")) or LINES),
        "most": MOST_LINES,
        "withins": [{"value": str(one), "label": errand_view.span(one)} for one in WITHIN],
        "within": str(int(GOOD[device.link].total_seconds())),
        "must": kind in decide.STOPS,
        "stops": _stops(device) if kind is Kind.REBOOT else None,
        "style": STYLES.get(kind, "primary"),
        "do": texts.say(f"errands.order_{kind}", name=name),
    }


def asked(form: Mapping[str, str], made: str, device: Device, kind: Kind) -> Asked:
    """Return what a form asks for; the room judges it. `InvalidError` (`errand.within`) for no length of time."""
    within = form.get("within", "")
    if within and _number(within) is None:
        raise InvalidError("errand.within", "This is no length of time.", "Choose one of the list.")
    return Asked(
        id=ErrandId(made),
        device=device.id,
        kind=kind,
        service=form.get("service", ""),
        since=_typed(form, "since", HOUR),
        lines=_typed(form, "lines", LINES),
        why=form.get("why", ""),
        within=timedelta(seconds=int(within)) if within else None,
    )


def _reason(view: View, device: Device, kind: Kind, refused: ConflictError | None) -> str:
    if refused is not None:
        return plainly(f"{refused.sentence} {refused.remedy}".strip())
    return release_view.no_right(view, RIGHT[kind], device.scope)


def _button(view: View, device: Device, kind: Kind, reason: str) -> Data:
    return {
        "name": kind.value,
        "label": texts.say(f"errands.do_{kind}"),
        "why": reason or texts.say(f"errands.why_{kind}"),
        "enabled": not reason,
        "style": STYLES.get(kind, ""),
        "href": view.link(f"/devices/{device.id}/{kind}"),
    }


def _since(seconds: int) -> str:
    if not seconds:
        return texts.say("errands.f_since_all")
    return texts.say("errands.f_since_span", span=errand_view.span(seconds))


def _stops(device: Device) -> Data:
    """Return what a reboot interrupts, as far as the device has told (rule 3)."""
    status = fleet_view.status(device)
    running = [box for box in status.workloads if box.state in device_headline.UP] if status else []
    said = texts.count("errands.stops_all", len(running)) if running else texts.say("errands.stops_machine")
    return {"words": said, "services": [plainly(box.service) for box in running]}


def _typed(form: Mapping[str, str], name: str, usual: int) -> int:
    """Return a number of the form, `usual` where nothing was typed, -1 for what is no number."""
    typed = form.get(name, "").strip()
    number = _number(typed)
    return usual if not typed else -1 if number is None else number


def _number(typed: str) -> int | None:
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) <= _DIGITS else None
