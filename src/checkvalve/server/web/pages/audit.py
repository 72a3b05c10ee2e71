# SPDX-License-Identifier: Apache-2.0
"""Audit: the record, searched in words of the domain; and one entry with its own bytes and leaf hash."""

from collections.abc import Mapping
from datetime import timedelta

from litestar import get
from litestar.params import FromPath

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.ids import EntryId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Entry, Kind
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame, words
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View, known, when

LIST = Page("audit.html", "audit", "audit.title")
ONE = Page("entry.html", "audit", "audit.title")
MOST = 50
FILTERS = ("action", "actor", "subject", "since")
SPANS: Mapping[str, timedelta] = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
_READ = {"permission": Permission.AUDIT_READ}


@get(["/audit", "/audit.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with entries, the newest first, as the query asks for them."""
    return await frame.show(request, call, LIST, look)


@get("/audit/{entry_id:str}", opt=_READ)
async def one(request: Asked, call: Called, entry_id: FromPath[str]) -> Answer:
    """Answer with one entry."""
    return await frame.show(request, call, ONE, lambda view: look_at(view, entry_id))


def look(view: View) -> Data:
    """Return the list's data. `action` is a beginning, `actor` a login or an id, `subject` whole, `since` a span."""
    asked = {name: view.query.get(name, "").strip() for name in FILTERS}
    before, span = view.query.get("before", ""), SPANS.get(asked["since"])
    found = audit_queries.latest(
        view.tx,
        access_queries.entries_within(view.seen(Permission.AUDIT_READ)),
        limit=MOST + 1,
        before=known(before) if before else "",
        action=asked["action"],
        subject=asked["subject"],
        actor=_person(view, asked["actor"]),
        since=view.now - span if span else None,
    )
    shown, more = found[:MOST], len(found) > MOST
    filtered = any(asked.values()) or bool(before)
    return {
        "sentence": texts.say("audit.sentence_filtered" if filtered else "audit.sentence"),
        "detail": texts.say("audit.detail"),
        "filter": asked,
        "actions": sorted(texts.TOLD),
        "spans": [{"value": name, "label": texts.say(f"audit.span.{name or 'all'}")} for name in ("", *SPANS)],
        "items": [words.told(view, entry) for entry in shown],
        "shown": texts.count("audit.shown", len(shown)),
        "next_href": view.link("/audit", **asked, before=shown[-1].id) if more else "",
    }


def look_at(view: View, entry_id: str) -> Data:
    """Return one entry's data."""
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    entry = audit_queries.entry(view.tx, seen, EntryId(known(entry_id)))
    line = words.told(view, entry)
    said = entry.facts.get("sentence") if entry.kind is Kind.REFUSED else ""
    return {
        "id": entry.id,
        "sentence": f"{line['actor']} {line['verb']} {line['object']}".strip() + ".",
        "detail": texts.say("entry.detail", id=entry.id),
        "kind": entry.kind.value,
        "refused": str(said or ""),
        "at": when(entry.at),
        "actor": entry.actor.name or entry.actor.id,
        "actor_id": entry.actor.id,
        "actor_kind": entry.actor.kind,
        "action": entry.action,
        "subject": entry.subject,
        "scope": entry.scope,
        "where": view.where(entry.scope),
        "reason": entry.reason,
        "address": str(_said(entry).get("address", "")),
        "bindings": list(entry.bindings),
        "changes": _changes(entry),
        "bytes": entry.data.decode(),
        "size": f"{len(entry.data):,}",
        "leaf_hash": entry.leaf_hash.hex(),
    }


def _person(view: View, text: str) -> str:
    """Return the id that the record knows a person by; what is no login is taken as an id."""
    found = identity_queries.by_login(view.tx, text) if text else None
    return found[0].id if found else text


def _said(entry: Entry) -> Mapping[str, Json]:
    said = canonical.loads(entry.data)
    return said if isinstance(said, Mapping) else {}


def _changes(entry: Entry) -> list[Data]:
    before, after = _part(entry, "before"), _part(entry, "after")
    return [
        {"name": name, "before": _shown(before.get(name)), "after": _shown(after.get(name))}
        for name in sorted({*before, *after})
    ]


def _part(entry: Entry, name: str) -> Mapping[str, Json]:
    part = entry.facts.get(name)
    return part if isinstance(part, Mapping) else {}


def _shown(value: Json) -> str:
    match value:
        case None | "":
            return "-"
        case list() | tuple():
            return ", ".join(_shown(item) for item in value) or "-"
        case _:
            return str(value)


handlers = [listed, one]
