# SPDX-License-Identifier: Apache-2.0
"""Values: what is set where, what was set before, and setting it. What a secret holds is never in an answer.

`?kind=`, `?name=` and `?line=` narrow it, `?before=` pages, `?older=` pages the history; `?change=` fills the form with
an entry, `?device=` with a device.
"""

from collections.abc import Callable, Mapping, Sequence

from litestar import get, post
from litestar.response import Redirect

from checkvalve.ids import DeviceId
from checkvalve.server.access.model import Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.values import actions as value_actions
from checkvalve.server.values import queries as value_queries
from checkvalve.server.values.model import DEVICE, Entry, Key, Kind, Wanted
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place, in_scope
from checkvalve.server.web.pages import frame, render
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.values_view import Places, content, row, told
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("values.html", "values", "values.title")
SHOWN = 100
TOLD = 30
_SET = {"permission": Permission.VALUE_SET}


@get(["/values", "/values.json"], opt={"permission": Permission.VALUE_READ})
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with what is set in the place looked at, and with what was."""
    return await _list(request, call)


@post("/values", opt=_SET)
async def set_(request: Asked, call: Called) -> Answer | Redirect:
    """Set one value."""
    return await _change(request, call, _typed)


@post("/values/unset", opt=_SET)
async def unset(request: Asked, call: Called) -> Answer | Redirect:
    """Take one value away at its place."""
    return await _change(request, call, lambda _: None)


async def _list(request: Asked, call: Call, retry: Retry | None = None) -> Answer:
    return await frame.show(request, call, PAGE, look, retry=retry)


def _typed(form: Mapping[str, str]) -> str:
    """Return what was typed; browsers end lines with two characters."""
    text = form.get("content", "").replace("\r\n", "\n")
    return form.get("secret", "") or text if form.get("kind") == Kind.SECRET else text


def look(view: View) -> Data:
    """Return the data of the page."""
    seen = view.seen(Permission.VALUE_READ)
    places, kind, name = Places(view), _kind(view.query.get("kind", "")), view.query.get("name", "")
    wanted: value_queries.Wanted = {"scope": view.scope, "kind": kind, "name": name}
    if view.query.get("line"):
        wanted["line"] = view.query["line"]
    found = value_queries.current(view.tx, seen, limit=SHOWN + 1, before=_last(view, "before"), **wanted)
    history = value_queries.history(view.tx, seen, limit=TOLD + 1, before=_last(view, "older"), **wanted)
    number = len(found[:SHOWN])
    more = f"{number:,}+" if len(found) > SHOWN else f"{number:,}"
    return {
        "sentence": texts.say("values.sentence.many", n=more)
        if number != 1
        else texts.count("values.sentence", number),
        "detail": texts.say("values.detail"),
        "narrowed": bool(kind or name or view.query.get("line")),
        "chips": _chips(view, kind),
        "query": {"kind": kind.value if kind else "", "name": name, "line": view.query.get("line", "")},
        "items": [row(view, places, one) for one in found[:SHOWN]],
        "next_href": _page(view, "before", found[SHOWN - 1].id) if len(found) > SHOWN else "",
        "first_href": _page(view, "", "") if view.query.get("before") or view.query.get("older") else "",
        "history": [told(view, places, one) for one in history[:TOLD]],
        "older_href": _page(view, "older", history[TOLD - 1].id) + "#history" if len(history) > TOLD else "",
        "set": _form(view, places, seen),
    }


def _form(view: View, places: Places, seen: Visibility) -> Data | None:
    """Return where the caller may set something, and what the form begins with; None if nowhere."""
    options = [{"value": node.path, "label": view.where(node.path)} for node in view.places(Permission.VALUE_SET)]
    chosen = _chosen(view, seen)
    place = chosen.place if chosen else DEVICE + known(view.query["device"]) if view.query.get("device") else view.scope
    device = places.device(place)
    if device is not None and view.may(Permission.VALUE_SET, device.scope):
        options.insert(0, {"value": place, "label": places.named(place)})
    if not options:
        return None
    return {
        "places": options,
        "place": place,
        "kinds": [{"value": one.value, "label": texts.say(f"values.a_{one.value}")} for one in Kind],
        "kind": chosen.key.kind.value if chosen else view.query.get("kind", ""),
        "name": chosen.key.name if chosen else view.query.get("name", ""),
        "line": chosen.key.line if chosen else view.query.get("line", ""),
        "content": _text(chosen),
        "title": texts.say("values.change_this", name=chosen.key.name) if chosen else texts.say("values.set"),
    }


def _chosen(view: View, seen: Visibility) -> Entry | None:
    """Return the entry that the form changes."""
    wanted = known(view.query.get("change", ""))
    found = value_queries.by_id(view.tx, [wanted]).get(wanted)
    if found is None or not found.current:
        return None
    same = value_queries.current(view.tx, seen, place=found.place, name=found.key.name, limit=None)
    return next((one for one in same if one.id == found.id), None)


def _text(entry: Entry | None) -> str:
    if entry is None or content(entry)["sealed"]:
        return ""
    return (entry.content or b"").decode()


def _chips(view: View, kind: Kind | None) -> list[Data]:
    said = [("", "all"), *((one.value, one.value) for one in Kind)]
    return [
        {
            "label": texts.say(f"values.kind_{word}"),
            "href": view.link("/values", kind=value, name=view.query.get("name", "")),
            "current": value == (kind.value if kind else ""),
        }
        for value, word in said
    ]


def _page(view: View, which: str, last: str) -> str:
    said = {name: view.query.get(name, "") for name in ("kind", "name", "line")}
    return view.link("/values", **said, **({which: last} if which else {}))


def _last(view: View, which: str) -> str:
    return known(view.query[which]) if view.query.get(which) else ""


def _kind(text: str) -> Kind | None:
    return Kind(text) if text in set(Kind) else None


async def _change(request: Asked, call: Call, said: Callable[[Mapping[str, str]], str | None]) -> Answer | Redirect:
    async def do(form: Mapping[str, str]) -> None:
        key = Key(form.get("line", "").strip(), _kind(form.get("kind", "")) or Kind.VARIABLE, form.get("name", ""))
        wanted, place = Wanted(key, said(form)), form.get("place", "")

        def work(tx: Tx, act: Act) -> Sequence[Entry]:
            here = call.plane
            return value_actions.set_(tx, act, place, [wanted], here.new_id, here.values, form.get("note", ""))

        await call.act("values.set", value_queries.subject(place), at(place), work)

    then = render.link("/values", scope=request.query_params.get("scope", ""))
    return await frame.change(request, do, lambda retry: _list(request, call, retry), then)


def at(place: str) -> Place:
    """Return where rights to set something at a place are judged: a scope, or where a device stands now."""
    if not place.startswith(DEVICE):
        return in_scope(place)

    def stands(tx: Tx, ident: str) -> Sequence[str]:
        found = fleet_queries.device(tx, DeviceId(ident))
        return (found.scope,)

    return Place(stands, known(place.removeprefix(DEVICE)))


handlers = [listed, set_, unset]
