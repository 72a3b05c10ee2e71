# SPDX-License-Identifier: Apache-2.0
"""How do suppliers, what is asked of them, and what they said read?"""

import difflib
from collections.abc import Mapping
from datetime import date, timedelta

from checkvalve.protocol import suppliers as said
from checkvalve.server.suppliers.model import Kind
from checkvalve.server.web import texts
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View

SHAPES = {"draft": "unknown", "asked": "info", "ready": "info", "approved": "ok", "superseded": "unknown"}
WORDS = {"": "unknown", "sent": "info", "answered": "info", "agreed": "ok", "refused": "bad"}
SOON = timedelta(days=365)


def document(view: View, one: said.Document) -> Data:
    """Return a version as a row."""
    return {
        "id": one.id,
        "href": view.link(f"/documents/{one.id}"),
        "kind": texts.say(f"sup.kind.{one.kind}"),
        "title": plainly(one.title),
        "version": one.version,
        "where": one.where,
        "state": texts.say(f"sup.is.{one.state}"),
        "shape": SHAPES[one.state],
        "changed_at": one.approved_at or one.changed_at,
    }


def supplier(view: View, one: said.Supplier) -> Data:
    """Return a supplier as a row."""
    now = counted(one)
    return {
        "id": one.id,
        "href": view.link(f"/suppliers/{one.id}"),
        "name": plainly(one.name),
        "where": one.where,
        "contact": plainly(one.contact) or "-",
        "supplies": plainly(one.supplies) or "-",
        "support": support(one.support_end, view.now.date()),
        "clause": _word(now.get(Kind.CLAUSE.value)),
        "questionnaire": _word(now.get(Kind.QUESTIONNAIRE.value)),
        "gone": texts.say("sup.gone") if one.ended_at else "",
    }


def counted(one: said.Supplier) -> Mapping[str, said.Agreement]:
    """Return what a supplier says now to the newest version that they were sent, by kind."""
    return {each.kind: each for each in sorted(one.agreements, key=lambda each: (each.version, each.at, each.id))}


def support(end: date | None, today: date) -> Data:
    """Return when support ends, and whether somebody should look at it."""
    if end is None:
        return {"text": "-", "shape": ""}
    if end < today:
        return {"text": texts.say("sup.over", date=end.isoformat()), "shape": "bad"}
    if end - today < SOON:
        return {"text": texts.say("sup.soon", date=end.isoformat()), "shape": "warn"}
    return {"text": end.isoformat(), "shape": ""}


def told(view: View, one: said.Agreement) -> Data:
    """Return what a supplier said as a row of their history."""
    return {
        "at": one.at,
        "what": texts.say("sup.of", kind=texts.say(f"sup.kind.{one.kind}"), version=str(one.version)),
        "href": view.link(f"/documents/{one.document}"),
        "shape": WORDS[one.said],
        "said": texts.say(f"sup.said.{one.said}"),
        "note": plainly(one.note),
        "by": plainly(view.person(one.by)),
        "counts": texts.say("sup.counts") if one.counts else "",
    }


def different(before: str, after: str) -> list[Data]:
    """Return the lines of two texts with what went and what came; lines that are in both only around those."""
    found = list(difflib.unified_diff(before.split("\n"), after.split("\n"), n=1, lineterm=""))[2:]
    kinds = {"+": "came", "-": "went", " ": "same", "@": "gap"}
    return [{"kind": kinds[line[0]], "text": "" if line[0] == "@" else line[1:]} for line in found]


def _word(one: said.Agreement | None) -> Data:
    word = one.said if one else ""
    return {"shape": WORDS[word], "text": texts.say(f"sup.said.{word}")}
