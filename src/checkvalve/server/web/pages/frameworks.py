# SPDX-License-Identifier: Apache-2.0
"""What laws, standards and customers ask, which checks answer it, and what is known.

`/compliance/frameworks?id=` is one of them; `?text=`, `?state=` and `?who=` narrow.
"""

from collections.abc import Callable, Iterable

from litestar import get

from checkvalve import lines
from checkvalve.protocol import frameworks as said
from checkvalve.server.access.model import Permission
from checkvalve.server.checks import shipped as check_shipped
from checkvalve.server.checks.model import State
from checkvalve.server.web import texts
from checkvalve.server.web.api import frameworks as api
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View

LIST = Page("frameworks.html", "compliance", "fw.title")
ONE = Page("framework.html", "compliance", "fw.title")
CHECKS = Page("checks.html", "compliance", "checks.title")
SHAPES = {
    "pass": "ok",
    "fail": "bad",
    "error": "bad",
    "stale": "warn",
    "not_enough_data": "unknown",
    "not_applicable": "unknown",
    "": "info",
}
WAITING = State.NOT_ENOUGH_DATA.value
_READ = {"permission": Permission.SCORECARD_READ}


@get(["/compliance/frameworks", "/compliance/frameworks.json"], opt=_READ)
async def shown(request: Asked, call: Called) -> Answer:
    """Answer with all frameworks, or with the one that `?id=` names."""
    one = request.query_params.get("id", "")
    return await frame.show(request, call, ONE if one else LIST, look_at if one else look)


@get(["/compliance/checks", "/compliance/checks.json"], opt=_READ)
async def checks(request: Asked, call: Called) -> Answer:
    """Answer with what can be measured."""
    return await frame.show(request, call, CHECKS, look_checks)


def look(view: View) -> Data:
    """Return the list's data."""
    view.seen(Permission.SCORECARD_READ)
    found = api.frameworks(view.now)
    waiting = sum(each.number for one in found for each in one.counts if each.state == WAITING)
    return {
        "sentence": texts.say(
            "fw.sentence",
            frameworks=str(len(found)),
            requirements=str(sum(one.requirements for one in found)),
            waiting=str(waiting),
        ),
        "checks_href": view.link("/compliance/checks"),
        "items": [_framework(view, one) for one in found],
    }


def look_at(view: View) -> Data:
    """Return one framework's data; `NotFoundError` (`framework.not_found`)."""
    view.seen(Permission.SCORECARD_READ)
    ident, asked = view.query["id"], _asked(view, ("text", "state", "who"))
    every = api.requirements(ident, view.now)
    one = next(each for each in api.frameworks(view.now) if each.id == ident)
    wanted = lines.folded(asked["text"].strip())
    found = [
        each
        for each in every
        if asked["state"] in ("", each.state or "declared")
        and asked["who"] in ("", each.who)
        and (not wanted or any(wanted in lines.folded(text) for text in (each.id, each.asks, *each.checks)))
    ]
    return {
        **_framework(view, one),
        "sentence": texts.say(
            "fw.one",
            name=one.name,
            number=str(len(every)),
            waiting=str(sum(each.state == WAITING for each in every)),
        ),
        "query": asked,
        "narrowed": any(asked.values()),
        "states": _choices({each.state or "declared" for each in every}, _state_word),
        "whos": _choices({each.who for each in every}, lambda one: texts.say(f"fw.who.{one}")),
        "items": [_requirement(each) for each in found],
        "checks_href": view.link("/compliance/checks"),
    }


def look_checks(view: View) -> Data:
    """Return the data of the checks."""
    view.seen(Permission.SCORECARD_READ)
    every, asked = api.checks(view.now), _asked(view, ("text", "state", "subject"))
    titles = {each.subject: each.title for each in check_shipped.shipped()}
    ran, wanted = sum(each.state != WAITING for each in every), lines.folded(asked["text"].strip())
    found = [
        each
        for each in every
        if asked["state"] in ("", each.state)
        and asked["subject"] in ("", each.subject)
        and (not wanted or wanted in lines.folded(each.id) or wanted in lines.folded(each.asks))
    ]
    return {
        "sentence": texts.say("checks.sentence_some", ran=str(ran), n=str(len(every)))
        if ran
        else texts.say("checks.sentence", n=str(len(every))),
        "query": asked,
        "narrowed": any(asked.values()),
        "states": _choices({each.state for each in every}, _state_word),
        "subjects": _choices(list(titles), lambda one: titles[one]),
        "items": [
            {
                "id": each.id,
                "asks": each.asks,
                "subject": titles[each.subject],
                "shape": SHAPES[each.state],
                "state": _state_word(each.state),
                "reason": each.reason,
            }
            for each in found
        ],
    }


def _framework(view: View, one: said.Framework) -> Data:
    return {
        "id": one.id,
        "href": view.link("/compliance/frameworks", id=one.id),
        "name": one.name,
        "version": one.version,
        "valid_from": str(one.valid_from or "-"),
        "note": " ".join(each for each in (one.note, texts.say("fw.protected") if one.protected else "") if each),
        "number": one.requirements,
        "counts": [
            {
                "shape": SHAPES[each.state],
                "text": texts.say("fw.count", n=str(each.number), state=texts.say(f"fw.state.{each.state}")),
            }
            for each in one.counts
        ],
    }


def _requirement(one: said.Requirement) -> Data:
    notes = [texts.say(f"fw.coverage.{one.coverage}")]
    if one.valid_from:
        notes.append(texts.say("fw.applies", date=str(one.valid_from)))
    if not one.reread:
        notes.append(texts.say("fw.not_reread"))
    return {
        "id": one.id,
        "asks": one.asks,
        "who": texts.say(f"fw.who.{one.who}"),
        "notes": "; ".join(notes),
        "clock": one.clock,
        "checks": ", ".join(one.checks) or "-",
        "shape": SHAPES[one.state],
        "state": texts.say(f"fw.state.{one.state}"),
        "reason": one.reason,
    }


def _asked(view: View, keys: Iterable[str]) -> dict[str, str]:
    return {key: view.query.get(key, "") for key in keys}


def _state_word(one: str) -> str:
    return texts.say("fw.state." if one == "declared" else f"fw.state.{one}")


def _choices(values: Iterable[str], label: Callable[[str], str]) -> list[Data]:
    ordered = sorted(values) if isinstance(values, set) else list(values)
    return [{"value": "", "label": texts.say("fw.any")}, *({"value": one, "label": label(one)} for one in ordered)]


handlers = [shown, checks]
