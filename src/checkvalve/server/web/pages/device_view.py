# SPDX-License-Identifier: Apache-2.0
"""One device whole: its headline, the releases on it, its containers, its facts, and what the caller can do with it."""

import ipaddress
from collections.abc import Callable
from datetime import timedelta

from checkvalve.errors import CheckvalveError, NotFoundError
from checkvalve.ids import ReleaseId
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import Aside, Listening, Status, Workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.fleet import admit
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import trust as trusts
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.fleet.trust import Move
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import FAILED
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Title
from checkvalve.server.web import texts
from checkvalve.server.web.pages import (
    crash_view,
    device_headline,
    device_told,
    device_values,
    errand_asking,
    fleet_view,
    hold_view,
    lanes,
    members,
    release_view,
    times,
    words,
)
from checkvalve.server.web.pages.device_headline import Known
from checkvalve.server.web.pages.release_view import digits, plainly
from checkvalve.server.web.pages.view import Data, View, when

CLOSE = timedelta(minutes=2)  # clocks that differ by less agree
STORY = 12
SHORT = 12  # digits of a digest
SECOND = timedelta(seconds=1)


def whole(view: View, device: Device) -> Data:
    """Return the data of one device's page."""
    status = fleet_view.status(device)
    assigned = fleet_queries.assignment(view.tx, device.id)
    refs = (device.active, *((status.previous, status.release) if status else ()))
    named = fleet_view.titles(view, refs)
    known = Known(
        device=device,
        status=status,
        condition=fleet_view.condition(view, device),
        runs=fleet_view.runs(device.active, named),
        previous=fleet_view.runs(status.previous, named) if status else "",
        wants=fleet_view.runs(status.release, named) if status else "",
        kinds=_kinds(view, named.get(device.active)),
    )
    ordered = _release(view, assigned.release) if assigned and assigned.attempt != device.attempt else None
    return {
        "id": device.id,
        "name": plainly(device.name),
        "tags": list(device.tags),
        "tags_words": " ".join(device.tags) or texts.say("device.tags_none"),
        "scope": device.scope,
        "where": view.where(device.scope),
        **device_headline.say(view, known),
        "condition": known.condition.value,
        **fleet_view.state(view, device),
        "attempt": _attempt(view, known),
        "active": _slot(view, device.active, named),
        "previous": _slot(view, status.previous if status else "", named),
        "rollout": _rollout(view, device),
        "ordered": ordered,
        "ordered_at": when(assigned.made_at) if assigned and ordered else None,
        "boxes": [_box(view, one, known) for one in status.workloads] if status else [],
        "values": device_values.shown(view, device),
        "held": hold_view.of_device(view, device, status),
        "errands": errand_asking.of_device(view, device),
        "sockets": _sockets(status),
        **_facts(view, device, status),
        **device_told.timeline(view, device),
        **device_told.signed(view, device),
        "deeds": _deeds(view, device),
        "places": _places(view, device),
        "story": _story(view, device),
    }


def _attempt(view: View, known: Known) -> Data:
    status = known.status
    return {
        "id": known.device.attempt,
        **fleet_view.attempt(view, known.device),
        "wants": known.wants,
        "reason": plainly(status.reason) if status else "",
        "code": plainly(status.code) if status else "",
    }


def _rollout(view: View, device: Device) -> Data | None:
    """Return its part in the newest rollout, if the caller may see that."""
    found = rollout_queries.of_device(view.tx, device.id)
    rollout = view.rollout(f"rollout:{found[0].id}") if found else None
    if found is None or rollout is None:
        return None
    seat = found[1]
    shape, word = members.how(view, rollout, seat)
    failed = seat.member.outcome in FAILED
    kept = fleet_queries.receipts(view.tx, device.id, attempt=seat.member.attempt, limit=1) if failed else []
    said = texts.say("device.rollout_how", wave=lanes.named(rollout, seat.member.wave), how=word)
    return {
        "id": rollout.id,
        "name": rollout.name,
        "shape": shape,
        "words": said,
        "outcome": seat.member.outcome.value,
        "href": view.link(f"/rollouts/{rollout.id}"),
        "receipt_href": view.link(f"/devices/{device.id}", receipt=kept[0].digest) + "#receipt" if kept else "",
    }


def _slot(view: View, ref: str, named: dict[str, Title]) -> Data | None:
    title = named.get(ref)
    if not ref:
        return None
    href = view.link(f"/releases/{title.id}") if title else ""
    return {"digest": digits(ref), "name": fleet_view.runs(ref, named), "href": href}


def _release(view: View, release: ReleaseId) -> str:
    seen = view.reach.get(Permission.RELEASE_READ)
    try:
        return release_view.named(supply_queries.release(view.tx, release, seen)) if seen else release
    except NotFoundError:
        return release


def _kinds(view: View, title: Title | None) -> dict[str, bool]:
    """Return which services of the active release are to keep running; nothing if it cannot be read here."""
    if title is None:
        return {}
    try:
        manifest = workload.read(supply_queries.release(view.tx, title.id).manifest)
    except CheckvalveError:
        return {}
    return {name: one.kind == "service" for name, one in manifest.services.items()}


def _box(view: View, box: Workload, known: Known) -> Data:
    good = "ok" if fleet_view.is_heard(view, known.device) else "unknown"  # green is what was just heard
    shape = device_headline.wrong(box, known.kinds)
    running = box.state in device_headline.UP
    return {
        "service": plainly(box.service),
        "image": digits(box.image),
        "state": plainly(box.state),
        "shape": shape or (good if running and box.health in {"", "healthy"} else "done"),
        "health": plainly(box.health),
        "restarts": box.restarts,
        "crashed": crash_view.crashed(box, known.device.offset, view.now),
    }


def _sockets(status: Status | None) -> Data:
    found = status.listeners if status else ()
    reach = sum(not _loopback(one) for one in found)
    said = texts.count("device.sockets_said", len(found), reach=reach)
    return {
        "sentence": said if found else texts.say("device.sockets_none"),
        "items": [
            {"protocol": one.protocol, "address": plainly(one.address), "port": one.port, "outside": not _loopback(one)}
            for one in found
        ],
    }


def _loopback(one: Listening) -> bool:
    try:
        return ipaddress.ip_address(one.address).is_loopback
    except ValueError:
        return False


def _facts(view: View, device: Device, status: Status | None) -> Data:
    every = times.span(timedelta(seconds=device.interval))
    invite = fleet_queries.invite(view.tx, device.invite)
    who = view.person(invite.made_by) if invite.made_by else texts.say("actor.the_plane")
    ended = device.certificate_ends_at <= view.now
    ends = times.relative(device.certificate_ends_at, view.now) if ended else times.exact(device.certificate_ends_at)
    clock, clock_is, shape = _clock(device)
    return {
        "link": device.link.value,
        "link_words": texts.say(f"device.link_{device.link}", every=every),
        "interval": device.interval,
        "agent": plainly(status.agent) if status else "",
        "engine": plainly(status.engine) if status else "",
        "aside": [_aside(each) for each in status.aside] if status else [],
        "certificate_ends_at": when(device.certificate_ends_at),
        "certificate": texts.say(
            "device.certificate_ended" if ended else "device.certificate_until", n=device.generation, when=ends
        ),
        "certificate_ended": ended,
        "certificate_pending": texts.say("device.certificate_pending") if device.pending > device.generation else "",
        "key": device.key,
        "key_digits": digits(device.key),
        "machine": plainly(device.machine),
        "joined_at": when(device.joined_at),
        "joined_by": texts.say("device.joined_by", invite=device.invite[-6:], who=who),
        "invite": device.invite,
        "seen_at": when(device.seen_at),
        "offset": device.offset,
        "clock": clock,
        "clock_is": clock_is,
        "clock_shape": shape,
    }


def _aside(each: Aside) -> str:
    """Return what a failed release wrote on the device, by name, size and moment."""
    size = texts.say("device.aside_unknown") if each.size is None else f"{each.size / (1 << 20):,.1f} MiB"
    at = times.of_clock(each.at)
    since = texts.say("device.aside_unknown") if at is None else times.exact(at)
    return texts.say("device.aside_one", volume=plainly(each.volume), name=plainly(each.name), size=size, since=since)


def _clock(device: Device) -> tuple[str, str, str]:
    """Return how its clock stands to the plane's, the same as a sentence if it is far off, and the shape of that."""
    if device.offset is None:
        return texts.say("device.clock_unknown"), "", "unknown"
    off = timedelta(milliseconds=abs(device.offset)) if abs(device.offset) < 10**14 else timedelta(days=36_500)
    if off <= CLOSE:
        return texts.say("device.clock_close", span=times.span(max(off, SECOND))), "", "ok"
    side = "ahead" if device.offset > 0 else "behind"
    span = times.span(off)
    return texts.say(f"device.clock_{side}", span=span), texts.say(f"device.clock_{side}_is", span=span), "warn"


def _deeds(view: View, device: Device) -> list[Data]:
    quarantined = device.trust is Trust.QUARANTINED
    right = release_view.no_right(view, Permission.DEVICE_MANAGE, device.scope)
    judged: list[tuple[str, Callable[[], object], str]] = [
        ("describe", lambda: trusts.not_retired(device), ""),
        ("accept", lambda: trusts.moved(device, Move.ACCEPT, invited_to_observe=False), "primary"),
        ("quarantine", lambda: trusts.moved(device, Move.QUARANTINE, invited_to_observe=False), "danger"),
        ("retire", lambda: trusts.moved(device, Move.RETIRE, invited_to_observe=False), "danger"),
    ]
    judged.sort(key=lambda one: one[0] != "accept" if quarantined else False)  # what ends a quarantine comes first
    return [
        release_view.deed(name, "device", _refused(judge) or right, texts.say(f"device.{name}_why"), style=style)
        for name, judge, style in judged
    ]


def _refused(judge: Callable[[], object]) -> str:
    try:
        judge()
    except CheckvalveError as error:
        return f"{error.sentence} {error.remedy}".strip()
    return ""


def _places(view: View, device: Device) -> list[Data]:
    """Return where it may stand: its own place, and the others of its organisation where the caller may put it."""
    organisation = "/" + device.scope.split("/")[1] + "/"
    nodes = view.places(Permission.DEVICE_MANAGE)
    there = {one.path for one in nodes if one.kind in admit.PLACES and one.path.startswith(organisation)}
    paths = [device.scope, *(one.path for one in nodes if one.path in there and one.path != device.scope)]
    return [{"value": path, "label": view.where(path)} for path in paths]


def _story(view: View, device: Device) -> list[Data] | None:
    if not view.may(Permission.AUDIT_READ, device.scope):
        return None
    seen = access_queries.entries_within(view.reach[Permission.AUDIT_READ])
    found = audit_queries.latest(view.tx, seen, limit=STORY, subject=f"device:{device.id}")
    return [words.told(view, entry) for entry in found]
