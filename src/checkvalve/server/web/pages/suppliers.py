# SPDX-License-Identifier: Apache-2.0
"""Suppliers: what is asked of them, who they are, and what each said. Writing, approving and recording by forms.

`?text=` narrows, `?sort=` orders, `?show=all` lists those too that are none any more.
"""

from collections.abc import Mapping
from datetime import date

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.ids import SupplierId
from checkvalve.protocol import suppliers as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.suppliers import queries
from checkvalve.server.suppliers.model import Kind, Said, State
from checkvalve.server.web import texts
from checkvalve.server.web.api import documents as documents_api
from checkvalve.server.web.api import supplier_answers as answers
from checkvalve.server.web.api import suppliers as api
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import frame, render, supplier_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("suppliers.html", "compliance", "sup.title")
ONE = Page("supplier.html", "compliance", "sup.title")
ORDERS = ("name", "support")
_READ, _MANAGE = {"permission": Permission.SUPPLIER_READ}, {"permission": Permission.SUPPLIER_MANAGE}


@get(["/suppliers", "/suppliers.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with suppliers and with what is asked of them."""
    return await _list(request, call)


@get("/suppliers/{supplier_id:str}", opt=_READ)
async def one(request: Asked, call: Called, supplier_id: FromPath[str]) -> Answer:
    """Answer with one supplier."""
    return await _one(request, call, known(supplier_id))


@post("/suppliers", opt=_MANAGE)
async def add(request: Asked, call: Called) -> Answer | Redirect:
    """Add a supplier."""

    async def do(form: Mapping[str, str]) -> None:
        wanted = forms.NewSupplier(
            scope=form.get("place", ""),
            name=form.get("name", ""),
            contact=form.get("contact", ""),
            supplies=form.get("supplies", ""),
            support_end=_date(form.get("support_end", "")),
        )
        await api.added(call, wanted)

    return await frame.change(request, do, lambda retry: _list(request, call, retry, "add"), _at(request, "/suppliers"))


@post("/suppliers/documents", opt=_MANAGE)
async def begin(request: Asked, call: Called) -> Answer | Redirect:
    """Begin a version of what is asked."""

    async def do(form: Mapping[str, str]) -> None:
        kind = form.get("kind", "")
        await documents_api.drafted(call, forms.NewDocument(scope=form.get("place", ""), kind=kind))  # type: ignore[arg-type]

    return await frame.change(
        request, do, lambda retry: _list(request, call, retry, "begin"), _at(request, "/suppliers")
    )


@post("/suppliers/{supplier_id:str}", opt=_MANAGE)
async def change(request: Asked, call: Called, supplier_id: FromPath[str]) -> Answer | Redirect:
    """Change a supplier."""
    wanted = known(supplier_id)

    async def do(form: Mapping[str, str]) -> None:
        end = _date(form.get("support_end", ""))
        body = forms.SupplierChange(
            name=form.get("name", ""),
            contact=form.get("contact", ""),
            supplies=form.get("supplies", ""),
            support_end=end,
            no_support_end=end is None,
        )
        await api.changed(call, wanted, body)

    return await _changed(request, call, wanted, "change", do)


@post("/suppliers/{supplier_id:str}/end", opt=_MANAGE)
async def end(request: Asked, call: Called, supplier_id: FromPath[str]) -> Answer | Redirect:
    """End a supplier."""
    wanted = known(supplier_id)

    async def do(form: Mapping[str, str]) -> None:
        await api.ended(call, wanted, form.get("why", ""))

    return await _changed(request, call, wanted, "end", do)


@post("/suppliers/{supplier_id:str}/record", opt=_MANAGE)
async def record(request: Asked, call: Called, supplier_id: FromPath[str]) -> Answer | Redirect:
    """Record what a supplier said."""
    wanted = known(supplier_id)

    async def do(form: Mapping[str, str]) -> None:
        body = forms.Saying(
            document=known(form.get("document", "")), said=form.get("said", ""), note=form.get("note", "")
        )
        await api.recorded(call, wanted, body)

    return await _changed(request, call, wanted, "record", do)


def look(view: View) -> Data:
    """Return the list's data."""
    seen = view.seen(Permission.SUPPLIER_READ)
    asked = {key: view.query.get(key, "") for key in ("text", "sort", "show")}
    every = answers.suppliers(view.tx, queries.suppliers(view.tx, seen, ended=asked["show"] == "all"))
    order = asked["sort"] if asked["sort"] in ORDERS else ORDERS[0]
    found = sorted((each for each in every if _wanted(each, asked["text"])), key=lambda each: _rank(each, order))
    there = [answers.document(view.tx, each, view.now) for each in queries.documents(view.tx, seen)]
    places = [each for each in view.places(Permission.SUPPLIER_MANAGE) if each.path.count("/") == _ORGANISATION]
    return {
        **_head(answers.sovereignty(view.tx, seen, view.now)),
        "documents": [supplier_view.document(view, each) for each in there],
        "any": bool(every) or asked["show"] == "all",
        "narrowed": bool(asked["text"]),
        "query": asked | {"sort": order},
        "orders": [{"value": each, "label": texts.say(f"sup.sort_{each}")} for each in ORDERS],
        "shows": [
            {"value": "", "label": texts.say("sup.show_going")},
            {"value": "all", "label": texts.say("sup.show_all")},
        ],
        "items": [supplier_view.supplier(view, each) for each in found],
        "export_href": view.link("/api/v1/suppliers/export"),
        "places": [{"value": each.path, "label": view.where(each.path)} for each in places],
        "kinds": [{"value": each.value, "label": texts.say(f"sup.kind.{each}")} for each in Kind],
    }


def look_at(view: View, wanted: str) -> Data:
    """Return one supplier's data."""
    found = queries.supplier(view.tx, SupplierId(wanted), view.seen(Permission.SUPPLIER_READ))
    (said,) = answers.suppliers(view.tx, [found])
    may = view.may(Permission.SUPPLIER_MANAGE, found.scope) and found.ended_at is None
    there = queries.documents(view.tx, queries.EVERYWHERE, scope=found.scope)
    force = [each for each in there if queries.state(view.tx, each, view.now) is State.APPROVED]
    row = supplier_view.supplier(view, said)
    return {
        **row,
        "sentence": _sentence(said, row),
        "may": may,
        "raw": {
            "name": said.name,
            "contact": said.contact,
            "supplies": said.supplies,
            "support_end": str(said.support_end or ""),
        },
        "documents": [
            {
                "value": each.id,
                "label": texts.say("sup.of", kind=texts.say(f"sup.kind.{each.kind}"), version=each.version),
            }
            for each in force
        ],
        "saids": [{"value": each.value, "label": texts.say(f"sup.said.{each}")} for each in Said],
        "history": [supplier_view.told(view, each) for each in reversed(said.agreements)],
        "end": {
            "name": "end",
            "label": texts.say("sup.end"),
            "style": "danger",
            "why": texts.say("sup.end_why" if may else "sup.no_right"),
            "enabled": may,
        },
    }


_ORGANISATION = 2  # slashes of `/ORG/`


def _sentence(one: forms.Supplier, row: Data) -> str:
    if one.ended_at:
        return texts.say("sup.sentence_gone", name=plainly(one.name), why=plainly(one.ended_why))
    clause = row["clause"]
    return texts.say("sup.sentence", name=plainly(one.name), clause=str(clause["text"]))  # type: ignore[index]


def _head(found: list[forms.Sovereignty]) -> Data:
    if not found:
        return {"sentence": texts.say("sup.nowhere"), "detail": texts.say("sup.detail")}
    if len(found) == 1:
        return {"sentence": texts.say(f"sup.stage.{found[0].stage}"), "detail": found[0].reason}
    ready = sum(each.stage in ("approved", "used") for each in found)
    return {
        "sentence": texts.say("sup.many", ready=str(ready), all=str(len(found))),
        "detail": texts.say("sup.detail"),
    }


def _wanted(one: forms.Supplier, text: str) -> bool:
    wanted = lines.folded(text.strip())
    return not wanted or any(wanted in lines.folded(each) for each in (one.name, one.contact, one.supplies, one.where))


def _rank(one: forms.Supplier, order: str) -> tuple[str, str]:
    name = lines.folded(one.name)
    return (str(one.support_end or "9999"), name) if order == "support" else (name, one.id)


async def _list(request: Asked, call: Call, retry: Retry | None = None, tried: str = "") -> Answer:
    return await frame.show(request, call, LIST, look, retry=retry, tried=tried)


async def _one(request: Asked, call: Call, wanted: str, retry: Retry | None = None, tried: str = "") -> Answer:
    return await frame.show(request, call, ONE, lambda view: look_at(view, wanted), retry=retry, tried=tried)


async def _changed(request: Asked, call: Call, wanted: str, name: str, do: object) -> Answer | Redirect:
    return await frame.change(
        request,
        do,  # type: ignore[arg-type]
        lambda retry: _one(request, call, wanted, retry, name),
        _at(request, f"/suppliers/{wanted}"),
    )


def _at(request: Asked, path: str) -> str:
    return render.link(path, scope=request.query_params.get("scope", ""))


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidError("supplier.date", texts.say("gaps.wrong_date"), texts.say("gaps.wrong_date_why")) from None


handlers = [listed, one, add, begin, change, end, record]
