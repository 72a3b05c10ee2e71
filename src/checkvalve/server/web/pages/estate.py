# SPDX-License-Identifier: Apache-2.0
"""The declared estate: how many are there, and how many of them are managed? Declaring a class, and many from a file.

`?text=` narrows, `?sort=` orders sites, `?after=` pages classes. A file is shown with what it would change before it
counts; a former number is declared again from the history of its class.
"""

from collections.abc import Mapping

from litestar import get, post
from litestar.datastructures import UploadFile
from litestar.response import Redirect
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.estate import csvs
from checkvalve.server.estate import queries as estate_queries
from checkvalve.server.estate.model import LONGEST_CLASS, MOST, Declaration, Kind, Said
from checkvalve.server.web import texts
from checkvalve.server.web.api import estate as estate_api
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import estate_view, frame, render
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("estate.html", "compliance", "estate.title")
HISTORY = Page("estate_history.html", "compliance", "estate.past_title")
SHOWN, TOLD = 100, 50
_READ, _DECLARE = {"permission": Permission.ESTATE_READ}, {"permission": Permission.ESTATE_DECLARE}
_BODY = 4 * csvs.LARGEST  # bytes: a file within a form


@get(["/estate", "/estate.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with what is declared in the place looked at."""
    return await _show(request, call)


@get(["/estate/history", "/estate/history.json"], opt=_READ)
async def history(request: Asked, call: Called) -> Answer:
    """Answer with everything ever declared of one class."""
    return await frame.show(request, call, HISTORY, look_back)


@post("/estate", opt=_DECLARE)
async def declare(request: Asked, call: Called) -> Answer | Redirect:
    """Declare one class."""

    async def do(form: Mapping[str, str]) -> None:
        said = _typed(form)
        await estate_api.declared(call, [said], said.scope)

    form = await frame.fields(request)
    then = {"place": form.get("place", ""), "kind": form.get("kind", ""), "class": form.get("class", "")}
    back = _link(request, "/estate/history", **then) if form.get("back") else _link(request, "/estate")
    return await frame.change(request, do, lambda retry: _show(request, call, retry, "declare"), back)


@post("/estate/import", opt=_DECLARE, request_max_body_size=_BODY, status_code=HTTP_200_OK)
async def import_(request: Asked, call: Called) -> Answer | Redirect:
    """Show what a file would change; with `sure`, declare it."""
    form = await request.form()
    sent = form.get("file")
    data = await sent.read() if isinstance(sent, UploadFile) else b""
    data = data or str(form.get("csv", "")).encode()
    scope = request.query_params.get("scope", "") or ROOT
    try:
        said, changes, names = await estate_api.checked(call, data, scope)
        if form.get("sure"):
            await estate_api.declared(call, said, scope)
            return Redirect(_link(request, "/estate"), status_code=HTTP_303_SEE_OTHER)
    except UnavailableError:
        raise
    except CheckvalveError as error:
        text = data.decode("utf-8-sig", "replace") if len(data) <= csvs.LARGEST else ""
        return await _show(request, call, Retry(error, {"csv": text.replace("\0", "")}), "import")
    called = {one.after.scope: names.called(one.after.scope) for one in changes.real}
    preview = estate_view.preview(changes, called, data.decode("utf-8-sig"))
    return await _show(request, call, preview=preview)


async def _show(
    request: Asked, call: Call, retry: Retry | None = None, tried: str = "", preview: Data | None = None
) -> Answer:
    wrong = retry.error.remedy.split("\n") if retry and retry.error.code == "estate.file" else []
    return await frame.show(request, call, PAGE, look, retry=retry, tried=tried, preview=preview, wrong=wrong)


def look(view: View) -> Data:
    """Return the data of the page."""
    seen, text = view.seen(Permission.ESTATE_READ), view.query.get("text", "")[:LONGEST_CLASS]
    order = view.query.get("sort", "") if view.query.get("sort", "") in estate_view.ORDERS else estate_view.ORDERS[0]
    view.places(Permission.ESTATE_READ)  # whose names are asked for at once
    rows = estate_queries.now(view.tx, seen)
    shares = estate_queries.compare(view.tx, seen, rows, view.now)
    rows.sort(key=lambda one: view.where(one.scope).casefold())
    by_class = [one for one in rows if estate_view.said(text, one.class_name)] if text else []
    found = [one for one in rows if estate_view.said(text, one.class_name, view.where(one.scope))] if text else rows
    first = _after(found, view.query.get("after", ""))
    here = found[first : first + SHOWN]
    return {
        "sentence": estate_view.sentence(shares),
        "detail": texts.say("estate.detail"),
        "narrowed": bool(text),
        "query": {"text": text, "sort": order},
        "orders": [{"value": one, "label": texts.say(f"estate.sort_{one}")} for one in estate_view.ORDERS],
        "any": bool(shares),
        "places": estate_view.places(view, shares, by_class, text, order),
        "items": [estate_view.row(view, one) for one in here],
        "next_href": _page(view, text, order, here[-1].id) if len(found) > first + SHOWN else "",
        "first_href": _page(view, text, order, "") if first else "",
        "export_href": view.link("/api/v1/estate/export"),
        "declare": _form(view),
    }


def look_back(view: View) -> Data:
    """Return the data of the history of one class."""
    seen, asked = view.seen(Permission.ESTATE_READ), view.query
    place, name = asked.get("place", ""), asked.get("class", "")
    kind = Kind(asked["kind"]) if asked.get("kind") in set(Kind) else Kind.DEVICE
    before = known(asked["before"]) if asked.get("before") else ""
    wanted = {"scope": place or "-", "kind": kind, "class_name": name or "-"}
    found = estate_queries.history(view.tx, seen, limit=TOLD + 1, before=before, **wanted)  # type: ignore[arg-type]
    newest = estate_queries.history(view.tx, seen, limit=1, **wanted)  # type: ignore[arg-type]
    counts = newest[0] if newest else None
    link = estate_view.past(view, place, kind, name)
    return {
        "sentence": _past(view, counts),
        "detail": texts.say("estate.past_detail"),
        "items": [estate_view.told(view, one, counts) for one in found[:TOLD]],
        "older_href": f"{link}&before={found[TOLD - 1].id}" if len(found) > TOLD else "",
        "newest_href": link if before else "",
    }


def _past(view: View, counts: Declaration | None) -> str:
    if counts is None:
        return texts.say("estate.past_sentence_none")
    said = {"name": counts.class_name, "where": view.where(counts.scope), "number": f"{counts.number:,}"}
    return texts.say("estate.past_sentence" if counts.number else "estate.past_sentence_ended", **said)


def _form(view: View) -> Data:
    """Return where the caller may declare, and what of."""
    nodes = view.places(Permission.ESTATE_DECLARE)
    return {
        "may": view.holds(Permission.ESTATE_DECLARE),
        "places": [{"value": one.path, "label": view.where(one.path)} for one in nodes],
        "kinds": [{"value": one.value, "label": texts.say(f"estate.a_{one}")} for one in Kind],
        "most": MOST,
        "longest": LONGEST_CLASS,
        "heading": ",".join(csvs.HEADING),
    }


def _typed(form: Mapping[str, str]) -> Said:
    digits, kind = form.get("number", "").strip(), form.get("kind", "")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(MOST)):
        raise InvalidError("estate.number", texts.say("estate.wrong_number"), texts.say("estate.wrong_number_why"))
    if kind not in set(Kind):
        raise InvalidError("estate.kind", texts.say("estate.wrong_kind"), texts.say("estate.wrong_kind_why"))
    return Said(form.get("place", ""), Kind(kind), form.get("class", ""), int(digits), form.get("note", ""))


def _after(found: list[Declaration], mark: str) -> int:
    ids: list[str] = [one.id for one in found]
    return ids.index(mark) + 1 if mark in ids else 0


def _page(view: View, text: str, order: str, after: str) -> str:
    return (
        view.link("/estate", text=text, sort=order if order != estate_view.ORDERS[0] else "", after=after) + "#classes"
    )


def _link(request: Asked, path: str, **query: str) -> str:
    return render.link(path, scope=request.query_params.get("scope", ""), **query)


handlers = [listed, history, declare, import_]
