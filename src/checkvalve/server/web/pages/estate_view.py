# SPDX-License-Identifier: Apache-2.0
"""How does the declared estate read: site by site against what is managed, class by class, and as a change?

Rules: 1. a place with more managed than declared asks for a person, since one of the two numbers is wrong; 2. names and
notes are shown with what cannot be seen in them spelled out.
"""

from collections.abc import Mapping, Sequence

from checkvalve import lines
from checkvalve.server.access.model import Permission
from checkvalve.server.estate import managed
from checkvalve.server.estate.model import Changes, Cover, Declaration, Share, What
from checkvalve.server.web import texts
from checkvalve.server.web.pages import render
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

SHAPES = {
    Cover.NOTHING: "unknown",
    Cover.UNDECLARED: "warn",
    Cover.NONE: "unknown",
    Cover.PART: "info",
    Cover.WHOLE: "ok",
    Cover.MORE: "warn",
}
ORDERS = ("name", "declared", "open")
NAMED = 100  # changes that a preview names
_WIDE = 1_000  # units of a bar
_SITE = 3  # slashes of `/ORG/SITE/`


def sentence(shares: Sequence[Share]) -> str:
    """Return what is declared and how much of it is managed."""
    totals = managed.totals(shares)
    enrolled = _some("managed", totals.managed)
    if not totals.places:
        return texts.say("estate.sentence_none", managed=enrolled)
    sites = all(one.scope.count("/") >= _SITE for one in shares if one.devices or one.legacy)
    return texts.say(
        "estate.sentence",
        devices=_some("devices", totals.devices),
        legacy=_some("legacy", totals.legacy),
        places=texts.count("estate.sites" if sites else "estate.places", totals.places),
        managed=enrolled,
    )


def places(view: View, shares: Sequence[Share], classes: Sequence[Declaration], text: str, order: str) -> list[Data]:
    """Return the places that `text` is in the name or in a class of, in this order."""
    having = {managed.site(one.scope) for one in classes}
    rows = [(view.where(one.scope), one) for one in shares]
    found = [(name, one) for name, one in rows if said(text, name) or one.scope in having]
    found.sort(key=lambda row: (_rank(row[1], order), lines.folded(row[0])))
    return [_place(name, one) for name, one in found]


def said(text: str, *names: str) -> bool:
    """Tell whether one of `names` holds `text`, in any case."""
    wanted = lines.folded(text.strip())
    return any(wanted in lines.folded(name) for name in names)


def row(view: View, one: Declaration) -> Data:
    """Return one class as it counts."""
    name, where = plainly(one.class_name), view.where(one.scope)
    return {
        "id": one.id,
        "scope": one.scope,
        "where": where,
        "kind": one.kind.value,
        "kind_word": texts.say(f"estate.kind.{one.kind}"),
        "class": name,
        "number": one.number,
        "number_words": f"{one.number:,}",
        "note": plainly(one.note),
        "made_by": view.person(one.made_by),
        "made_at": when(one.made_at),
        "history_href": past(view, one.scope, one.kind, one.class_name),
        "history_what": texts.say("estate.history_of", name=name, where=where),
    }


def told(view: View, one: Declaration, counts: Declaration | None) -> Data:
    """Return one line of the history of a class, and what takes it back; `counts` is the one that counts now."""
    now = counts is not None and counts.id == one.id
    same = counts is not None and (counts.number, counts.note) == (one.number, one.note)
    words = f"{one.number:,}" if one.number else texts.say("estate.past_ended")
    return {
        **row(view, one),
        "words": words,
        "counts": now,
        "word": texts.say("estate.past_counts" if now else "estate.past_former"),
        "again": texts.say("estate.past_again", number=f"{one.number:,}")
        if not same and view.may(Permission.ESTATE_DECLARE, one.scope)
        else "",
        "class_raw": one.class_name,
        "note_raw": one.note,
    }


def preview(changes: Changes, names: Mapping[str, str], text: str) -> Data:
    """Return what a file would change; `names` are those of its places, `text` is the file."""
    counted = {what.value: f"{changes.number(what):,}" for what in What}
    real = changes.real
    return {
        "sentence": texts.say("estate.preview_is", **counted) if real else texts.say("estate.preview_none"),
        "some": bool(real),
        "text": text,
        "more": texts.say("estate.preview_more", n=NAMED) if len(real) > NAMED else "",
        "items": [
            {
                "what": texts.say(f"estate.what.{one.what}"),
                "where": names.get(one.after.scope, one.after.scope),
                "kind_word": texts.say(f"estate.kind.{one.after.kind}"),
                "class": plainly(one.after.class_name),
                "before": f"{one.before.number:,}" if one.before else "-",
                "after": f"{one.after.number:,}",
                "note": plainly(one.after.note),
            }
            for one in real[:NAMED]
        ],
    }


def past(view: View, scope: str, kind: str, class_name: str) -> str:
    """Return the address of the history of a class."""
    return view.link("/estate/history", place=scope, kind=kind, **{"class": class_name})


def _place(name: str, one: Share) -> Data:
    part = min(_WIDE, max(1, one.managed * _WIDE // one.devices)) if one.devices and one.managed else 0
    numbers = {"devices": f"{one.devices:,}", "managed": f"{one.managed:,}"}
    return {
        "scope": one.scope,
        "name": name,
        "href": render.link("/estate", scope=one.scope),
        "devices": one.devices,
        "legacy": one.legacy,
        "managed": one.managed,
        "cover": one.cover.value,
        "shape": SHAPES[one.cover],
        "word": texts.say(f"estate.cover.{one.cover}", **numbers),
        "devices_words": f"{one.devices:,}" if one.devices else "-",
        "legacy_words": f"{one.legacy:,}" if one.legacy else "-",
        "managed_href": render.link("/fleet", scope=one.scope) + "#devices" if one.managed else "",
        "bar": {"managed": part, "rest": _WIDE - part, "shape": SHAPES[one.cover]} if one.devices else None,
    }


def _rank(one: Share, order: str) -> int:
    match order:
        case "declared":
            return -(one.devices + one.legacy)
        case "open":
            return one.managed - one.devices
        case _:
            return 0


def _some(name: str, number: int) -> str:
    return texts.count(f"estate.{name}", number) if number else texts.say(f"estate.{name}.none")
