# SPDX-License-Identifier: Apache-2.0
"""How do small orders read? A sentence for how far one is, what to do next, and what can be ordered of a device.

Rules: 1. what waits says when its device is expected, as a time of day: what changes only because time goes by is not
said, for the page follows its parts by their data; 2. an order that ended by the device's word is shown with its
signature checked anew, and nothing that was not is green; 3. whether something may be ordered is said by the room, and
whoever may not order it is told why; 4. what devices say is shown with what cannot be seen in it spelled out.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from checkvalve.crypto import envelope, keys
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import errand as protocol
from checkvalve.protocol.errand import Done
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.errands import brought, ending
from checkvalve.server.errands.model import BRINGS, SILENT, Errand, Kind, State
from checkvalve.server.errands.rights import RIGHT
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.web import texts
from checkvalve.server.web.pages import errand_wait, release_view, times, words
from checkvalve.server.web.pages.release_view import digits, plainly
from checkvalve.server.web.pages.view import Data, View, when

STORY = 20
REASON = 160  # characters of a reason in a list
GIVEN = "given"  # what waits, and was told to its device
SHAPES: Mapping[State, str] = {
    State.WAITING: "waits",
    State.DONE: "ok",
    State.REFUSED: "warn",
    State.FAILED: "bad",
    State.CANCELLED: "refused",
    State.LOST: "unknown",
}
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
PARTS: Mapping[str, tuple[str, ...]] = {
    "head": ("name", "device", "sentence", "detail", "shape", "next", "next_why", "again"),
    "body": ("brings", "content", "text"),
    "side": ("id", "cancel", "shape", "word", "device", "facts", "signed"),
    "story": ("story",),
}


def row(view: View, errand: Errand, device: Device | None) -> Data:
    """Return one row of a list; `device` is None if it cannot be seen any more."""
    there, word_shape = ending.kept(errand, view.now), _word(errand)
    return {
        "id": errand.id,
        "kind": errand.kind.value,
        "state": errand.state.value,
        "name": title(errand),
        "device": plainly(device.name) if device else "",
        "device_href": view.link(f"/devices/{errand.device}") + "#errands" if device else "",
        "shape": word_shape[1],
        "word": word_shape[0],
        "reason": plainly(errand.reason)[:REASON] if errand.state in {State.REFUSED, State.FAILED} else "",
        "who": view.person(errand.made_by),
        "made_at": when(errand.made_at),
        "brought": release_view.size(errand.size) if there else "",
        "nothing": "" if there or errand.kind not in BRINGS else _nothing(errand),
        "href": view.link(f"/errands/{errand.id}"),
    }


def whole(view: View, errand: Errand) -> Data:
    """Return the data of one small order's page."""
    device = fleet_queries.device(view.tx, errand.device)
    name, signed = plainly(device.name), _signed(errand, device)
    seen = view.may(Permission.DEVICE_READ, device.scope)  # it may have been moved to where the caller sees nothing
    (word, shape), following = _word(errand), _next(view, errand, device)
    if signed is not None and not signed["good"]:
        shape, following = "bad", {"next": texts.say("errand.next_bad"), "next_why": texts.say("errand.next_bad_why")}
    who, content = view.person(errand.made_by), _content(view, errand, device)
    return {
        "id": errand.id,
        "kind": errand.kind.value,
        "state": errand.state.value,
        "live": errand.state is State.WAITING,
        "name": title(errand),
        "device": {"name": name, "href": view.link(f"/devices/{device.id}") + "#errands" if seen else ""},
        "sentence": _sentence(view, errand, name),
        "detail": texts.say(
            "errand.detail", who=who, name=name, where=view.where(device.scope if seen else errand.scope)
        ),
        "shape": shape,
        "word": word,
        **following,
        "again": _again(view, errand, device),
        "brings": errand.kind in BRINGS,
        "content": content,
        "text": content["digest"] if errand.kind is Kind.LOGS else "",
        "facts": list(_facts(errand, who)),
        "signed": signed,
        "cancel": _cancel(view, errand, device),
        "story": _story(view, errand),
    }


def title(errand: Errand) -> str:
    """Return what it is: `Logs of historian`."""
    return words.small_order(errand.kind.value, errand.service)


def span(seconds: int) -> str:
    """Return a length of time in the largest unit that it is whole in: `2 hours`, `90 minutes`."""
    name, unit = next((name, unit) for name, unit in UNITS if seconds % unit == 0)
    return texts.count(f"errands.{name}", seconds // unit)


def devices(view: View, found: Iterable[Errand]) -> dict[DeviceId, Device]:
    """Return the devices of these errands that the caller may see."""
    seen: dict[DeviceId, Device] = {}
    for wanted in {one.device for one in found}:
        try:
            seen[wanted] = fleet_queries.device(view.tx, wanted, view.reach[Permission.DEVICE_READ])
        except NotFoundError:
            continue
    return seen


def _nothing(errand: Errand) -> str:
    """Return why there is no file of one that brings one."""
    if errand.digest and errand.content:
        return texts.say("errands.gone")
    return texts.say("errands.brought_yet" if errand.state is State.WAITING else "errands.brought_nothing")


def _word(errand: Errand) -> tuple[str, str]:
    given = errand.state is State.WAITING and errand.given_at is not None
    return texts.say(f"errand.state_{GIVEN if given else errand.state}"), "info" if given else SHAPES[errand.state]


def _far(view: View, errand: Errand) -> str:
    """Return the ending of the texts that say how far it is."""
    if errand.state is not State.WAITING:
        return errand.state.value
    if view.now >= errand.until:
        return "overdue"
    return GIVEN if errand.given_at else State.WAITING.value


def _sentence(view: View, errand: Errand, name: str) -> str:
    far = _far(view, errand)
    ending = f"done_{errand.kind}" if far == State.DONE.value else far
    if ending == "done_logs" and not errand.service:
        ending = "done_logs_all"
    return texts.say(f"errand.is_{ending}", title=title(errand), name=name, service=plainly(errand.service))


def _next(view: View, errand: Errand, device: Device) -> Data:
    """Return what to do next, and what it follows from."""
    far, reason = _far(view, errand), plainly(errand.reason)
    until, lost = times.clock(errand.until, view.now), times.clock(errand.until + SILENT, view.now)
    match far:
        case "waiting":
            name, why = errand_wait.waits(view, device, until)
            return {"next": texts.say(name), "next_why": why}
        case "given" | "overdue":
            why = texts.say(f"errand.next_{far}_why", until=until, lost=lost)
        case "done":
            why = texts.say("errand.next_done_why", reason=reason) if reason else ""
        case "refused" | "failed":
            why = " ".join(part for part in (reason, _remedy(errand.code)) if part)
        case "cancelled":
            why = reason
        case _:
            why = " ".join(part for part in (reason, texts.say("errand.next_lost_why")) if part)
    return {"next": texts.say(f"errand.next_{far}"), "next_why": why}


def _remedy(code: str) -> str:
    """Return what to do about a no of the device: by its code, by what that is about, or else to try again."""
    found = (f"errand.remedy.{name}" for name in (code, code.partition(".")[0]))
    return texts.say(next((name for name in found if name in texts.EN), "errand.next_again"))


def _again(view: View, errand: Errand, device: Device) -> str:
    """Return where the same is ordered once more, of one that ended otherwise than it should; else nothing."""
    if errand.state in {State.WAITING, State.DONE} or not view.may(RIGHT[errand.kind], device.scope):
        return ""
    asked = {"service": errand.service}
    if errand.kind is Kind.LOGS:
        asked |= {"since": str(errand.since), "lines": str(errand.lines)}
    return view.link(f"/devices/{errand.device}/{errand.kind}", **asked)


def _content(view: View, errand: Errand, device: Device) -> Data:
    """Return what there is of its file; `why` is said where there is none, or none for this caller."""
    may = view.may(RIGHT[errand.kind], device.scope)  # where it stands now, as in the API
    lead, why = texts.say("errand.content_none"), ""
    try:
        digest = brought.digest(errand, view.now)
    except NotFoundError as error:
        digest, why = "", error.sentence
    if digest and not may:
        digest, lead = "", texts.say("errand.content_hidden")
        why = texts.say("errand.content_right", permission=RIGHT[errand.kind], where=view.where(errand.scope))
    return {
        "digest": digest,
        "href": f"/api/v1/errands/{errand.id}/content" if digest else "",
        "label": texts.say("errand.download", size=release_view.size(errand.size)) if digest else "",
        "kind": errand.kind.value,
        "waits": errand.state is State.WAITING,
        "until": when(ending.kept_until(errand)) if digest else None,
        "lead": lead,
        "why": "" if errand.state is State.WAITING else why,
    }


def _facts(errand: Errand, who: str) -> Iterable[Data]:
    if errand.service or errand.kind is Kind.LOGS:
        yield _fact("service", plainly(errand.service) or texts.say("errands.f_service_all"))
    if errand.kind is Kind.LOGS:
        since = texts.say("errand.since", span=span(errand.since)) if errand.since else texts.say("errand.since_all")
        yield _fact("asked", texts.say("errand.asked", since=since, lines=texts.count("errand.lines", errand.lines)))
    if errand.why:
        yield _fact("why", plainly(errand.why))
    yield _fact("made", who, errand.made_at)
    moments = {"given": errand.given_at, "ended": errand.ended_at}
    if errand.state is State.WAITING:
        moments["until"] = errand.until
    for name, at in moments.items():
        if at is not None:
            yield _fact(name, "", at)
    if errand.code:
        yield _fact("code", plainly(errand.code), mono=True)


def _fact(name: str, value: str, at: datetime | None = None, *, mono: bool = False) -> Data:
    return {"label": texts.say(f"errand.f_{name}"), "value": value, "at": when(at), "mono": mono}


def _signed(errand: Errand, device: Device) -> Data | None:
    """Return what the device signed about it (rule 2); None if nothing came."""
    if errand.envelope is None:
        return None
    try:
        said = protocol.verified(envelope.read(errand.envelope), keys.load_public(device.public))
    except InvalidError:
        return {"good": False, "shape": "bad", "word": texts.say("errand.signed_bad"), "said": None}
    good = said.errand == errand.id and said.device == errand.device
    word, shape = ("errand.signed_good", "ok") if good else ("errand.signed_bad", "bad")
    return {"good": good, "shape": shape, "word": texts.say(word), "said": _said(said) if good else None}


def _said(said: Done) -> Data:
    return {
        "begun": when(times.of_clock(said.begun)) if said.begun else None,
        "at": when(times.of_clock(said.at)),
        "agent": plainly(said.agent),
        "seq": said.seq,
        "head": digits(said.head),
        "content": digits(said.content.digest) if said.content else "",
    }


def _cancel(view: View, errand: Errand, device: Device) -> Data | None:
    if errand.state is not State.WAITING or not view.may(Permission.DEVICE_READ, device.scope):
        return None  # of a device that was moved out of sight not even the refusal says where it is
    right = release_view.no_right(view, RIGHT[errand.kind], device.scope)
    why = texts.say("errand.cancel_why_given" if errand.given_at else "errand.cancel_why")
    return release_view.deed("cancel", "errand", right, why)


def _story(view: View, errand: Errand) -> list[Data] | None:
    if not view.may(Permission.AUDIT_READ, errand.scope):
        return None
    seen = access_queries.entries_within(view.reach[Permission.AUDIT_READ])
    found = audit_queries.latest(view.tx, seen, limit=STORY, subject=f"errand:{errand.id}")
    return [words.told(view, entry) for entry in found]
