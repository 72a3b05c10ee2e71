# SPDX-License-Identifier: Apache-2.0
"""What a device told and signed: the lines of its journal, newest first, and its receipts, one of them opened.

Rules: 1. times of the journal are the device's own, and that is said; what shows no date that there is, is the time at
which the line came; 2. a receipt is opened only with its signature checked anew, by the key that the device joined
with; 3. all texts here come from devices: what cannot be seen in them is spelled out.
"""

from datetime import UTC, datetime
from itertools import islice

import msgspec

from checkvalve.crypto import envelope, keys
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import Receipt, Seen
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device, Kept, Line
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view
from checkvalve.server.web.pages.release_view import digits, plainly
from checkvalve.server.web.pages.view import Data, View, when

LINES = 20
RECEIPTS = 10
FACTS = 4  # of a line
SHORT = 12  # digits of a digest
TAIL = 20  # lines of a log
_KINDS = {"boot": "done", "order": "info", "note": "done"}


def timeline(view: View, device: Device) -> Data:
    """Return the newest lines of the journal, or those before `?before=`."""
    before = view.query.get("before", "")
    found = fleet_queries.lines(view.tx, device.id, limit=LINES + 1, after=before, newest=True)
    page, more = found[:LINES], len(found) > LINES
    read = [(line, _event(line)) for line in page]
    named = fleet_view.titles(view, (event.release for _, event in read if event))
    here = f"/devices/{device.id}"
    return {
        "lines": [_line(line, event, fleet_view.runs(event.release, named) if event else "") for line, event in read],
        "lines_older": view.link(here, before=fleet_queries.mark(page[-1])) + "#timeline" if more else "",
        "lines_newest": view.link(here) + "#timeline" if before else "",
    }


def signed(view: View, device: Device) -> Data:
    """Return the newest receipts, or those before `?older=`, and the one that `?receipt=` names, else the newest."""
    older, here = view.query.get("older", ""), f"/devices/{device.id}"
    found = fleet_queries.receipts(view.tx, device.id, limit=RECEIPTS + 1, before=older)
    page, more = found[:RECEIPTS], len(found) > RECEIPTS
    opened = _opened(view, device, page)
    named = fleet_view.titles(view, (one.release for one in (*page, *([opened] if opened else []))))
    rows = [
        {
            "digest": one.digest,
            "outcome": one.outcome.value,
            "shape": fleet_view.ATTEMPTS[one.outcome],
            "word": texts.say(f"attempt.{one.outcome}"),
            "release": fleet_view.runs(one.release, named),
            "reason": plainly(one.reason),
            "came_at": when(one.came_at),
            "attempt": one.attempt,
            "opened": opened is not None and one.digest == opened.digest,
            "href": view.link(here, receipt=one.digest, older=older) + "#receipt",
        }
        for one in page
    ]
    return {
        "receipts": rows,
        "receipts_older": view.link(here, older=page[-1].digest) + "#receipts" if more else "",
        "receipts_newest": view.link(here) + "#receipts" if older else "",
        "receipt": _whole(device, opened, fleet_view.runs(opened.release, named)) if opened else None,
    }


def last_lines(device: Device, kept: Kept) -> list[Data]:
    """Return the last lines of the services that a receipt says were wrong; none if its signature does not hold."""
    try:
        said = receipts.verified(envelope.read(kept.envelope), keys.load_public(device.public))  # rule 2
    except InvalidError:
        return []
    return [
        {"service": plainly(one.service), "wrong": plainly(one.wrong), "logs": _tail(plainly(one.logs))}
        for one in said.services
        if one.logs
    ]


def _tail(logs: str) -> str:
    return "\n".join(logs.splitlines()[-TAIL:])


def _event(line: Line) -> Event | None:
    try:
        return msgspec.json.decode(line.line, type=Event)
    except msgspec.DecodeError:
        return None


def _line(line: Line, event: Event | None, release: str) -> Data:
    if event is None:
        said: Data = {"shape": "unknown", "word": texts.say("device.event_unread"), "kind": "", "what": "", "why": ""}
        return {
            **said,
            "at": when(line.came_at),
            "came_at": when(line.came_at),
            "seq": line.seq,
            "journal": line.journal,
        }
    is_state = event.kind == "state"
    facts = ", ".join(f"{name} {value}" for name, value in islice(sorted(event.facts.items()), FACTS))
    return {
        "seq": line.seq,
        "journal": line.journal,
        "at": _of_clock(event.at) or when(line.came_at),
        "came_at": when(line.came_at),
        "kind": event.kind,
        "state": event.state.value,
        "attempt": event.attempt,
        "shape": fleet_view.ATTEMPTS[event.state] if is_state else _KINDS[event.kind],
        "word": texts.say(f"attempt.{event.state}" if is_state else f"device.event_{event.kind}"),
        "what": release if is_state else plainly(facts)[:200] if event.kind == "note" else "",
        "why": plainly(event.reason) or plainly(event.code),
    }


def _opened(view: View, device: Device, page: list[Kept]) -> Kept | None:
    wanted = view.query.get("receipt", "")
    try:
        found = fleet_queries.receipt(view.tx, wanted) if wanted else None
    except NotFoundError:
        found = None
    if found is not None and found.device == device.id:
        return found
    return page[0] if page else None


def _whole(device: Device, kept: Kept, release: str) -> Data:
    title = texts.say("device.receipt", digest=kept.digest[:SHORT])
    common: Data = {"digest": kept.digest, "title": title, "bytes_href": f"/api/v1/receipts/{kept.digest}"}
    try:
        said = receipts.verified(envelope.read(kept.envelope), keys.load_public(device.public))  # rule 2
    except InvalidError:
        return {**common, "good": False, "shape": "bad", "word": texts.say("device.receipt_bad"), "said": None}
    return {
        **common,
        "good": True,
        "shape": "ok",
        "word": texts.say("device.receipt_good"),
        "said": _said(said, release),
    }


def _said(said: Receipt, release: str) -> Data:
    return {
        "outcome": said.outcome.value,
        "outcome_shape": fleet_view.ATTEMPTS[said.outcome],
        "outcome_word": texts.say(f"attempt.{said.outcome}"),
        "release": release,
        "code": plainly(said.code),
        "reason": plainly(said.reason),
        "attempt": said.attempt,
        "agent": plainly(said.agent),
        "engine": plainly(said.engine),
        "journal": texts.say("device.journal_said", first=said.first, last=said.last),
        "head": digits(said.head),
        "steps": [
            {
                "shape": fleet_view.ATTEMPTS[step.state],
                "word": texts.say(f"attempt.{step.state}"),
                "at": _of_clock(step.at),
                "why": plainly(step.reason) or plainly(step.code),
            }
            for step in said.steps
        ],
        "services": [_seen(one, failed=said.outcome is not State.COMMITTED) for one in said.services],
        "data": [{"volume": plainly(name), "words": plainly(words)} for name, words in sorted(said.data.items())],
    }


def _seen(one: Seen, *, failed: bool) -> Data:
    bad = bool(one.wrong) and failed
    return {
        "service": plainly(one.service),
        "image": digits(one.image)[:SHORT],
        "state": plainly(one.state),
        "health": plainly(one.health),
        "exit": "" if one.exit is None else str(one.exit),
        "restarts": one.restarts,
        "shape": "bad" if bad else "done",
        "wrong": plainly(one.wrong),
        "probes": [f"{plainly(name)}: {plainly(why)}" for name, why in sorted(one.probes.items()) if why],
        "logs": plainly(one.logs),
    }


def _of_clock(milliseconds: int) -> str | None:
    try:
        return when(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None  # rule 1: a clock may show any number
