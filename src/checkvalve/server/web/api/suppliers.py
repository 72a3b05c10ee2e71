# SPDX-License-Identifier: Apache-2.0
"""Suppliers and what they said: `/api/v1/suppliers`."""

from collections.abc import Sequence
from datetime import date

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import AgreementId, DocumentId, PersonId, SupplierId
from checkvalve.protocol import api
from checkvalve.protocol import suppliers as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.suppliers import actions, decide, queries
from checkvalve.server.suppliers.model import Agreement, Supplier
from checkvalve.server.web.api import supplier_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import Call, Called, Place, in_scope, named

_READ, _MANAGE = {"permission": Permission.SUPPLIER_READ}, {"permission": Permission.SUPPLIER_MANAGE}


@get("/", opt=_READ, summary="Suppliers, newest first")
async def listed(
    call: Called, *, within: Within = ROOT, limit: Limit = USUAL, before: Before = ""
) -> api.Page[forms.Supplier]:
    """List suppliers with what they said, those too that are none any more."""

    def look(tx: Tx, seen: Visibility) -> list[forms.Supplier]:
        return answers.suppliers(tx, queries.suppliers(tx, seen, limit=limit + 1, before=last(before)))

    found = await call.ask("suppliers", look, scope=within)
    return stretch(found, limit, lambda one: one.id, lambda one: one)


@get("/sovereignty", opt=_READ, summary="How far sovereignty is a condition of buying")
async def sovereignty(call: Called, *, within: Within = ROOT) -> api.Page[forms.Sovereignty]:
    """Say for each organisation whether there is a clause, whether it is in force, and whether a supplier agreed."""
    now = call.plane.now()
    return api.Page(
        items=await call.ask("suppliers", lambda tx, seen: answers.sovereignty(tx, seen, now), scope=within)
    )


@get("/export", opt=_READ, summary="Suppliers, as CSV")
async def export(call: Called, *, within: Within = ROOT) -> Response[bytes]:
    """Answer with a file for spreadsheets."""
    data = await call.ask("suppliers", answers.exported, scope=within)
    headers = {"Content-Disposition": 'attachment; filename="suppliers.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type="text/csv", headers=headers)


@get("/{supplier_id:str}", opt=_READ, summary="One supplier")
async def one(call: Called, supplier_id: FromPath[str]) -> forms.Supplier:
    """Return a supplier with all that they said."""

    def look(tx: Tx, seen: Visibility) -> forms.Supplier:
        return answers.suppliers(tx, [queries.supplier(tx, SupplierId(supplier_id), seen)])[0]

    return await call.ask("supplier", look)


@post("/", opt=_MANAGE, summary="Add a supplier")
async def add(call: Called, data: JSONBody[forms.NewSupplier]) -> forms.Supplier:
    """Add a supplier to an organisation."""
    return await added(call, data)


@post("/{supplier_id:str}", opt=_MANAGE, status_code=200, summary="Change a supplier")
async def change(call: Called, supplier_id: FromPath[str], data: JSONBody[forms.SupplierChange]) -> forms.Supplier:
    """Change name, contact, what they supply or the end of support; the record holds what it was."""
    return await changed(call, supplier_id, data)


@post("/{supplier_id:str}/end", opt=_MANAGE, status_code=200, summary="Say that nothing is bought from them any more")
async def end(call: Called, supplier_id: FromPath[str], data: JSONBody[forms.Ending]) -> forms.Supplier:
    """End a supplier, with a reason; what they said stays readable."""
    return await ended(call, supplier_id, data.why)


@post("/{supplier_id:str}/agreements", opt=_MANAGE, summary="Record what a supplier said")
async def record(call: Called, supplier_id: FromPath[str], data: JSONBody[forms.Saying]) -> forms.Supplier:
    """Record that a document in force was sent, answered, agreed or refused."""
    return await recorded(call, supplier_id, data)


async def added(call: Call, data: forms.NewSupplier) -> forms.Supplier:
    """Add a supplier. Raises what `suppliers.actions.add` does."""
    made = SupplierId(call.plane.new_id())
    wanted = _supplier(call, made, data.scope, data.name, data.contact, data.supplies, data.support_end)

    def do(tx: Tx, act: Act) -> forms.Supplier:
        return answers.suppliers(tx, [actions.add(tx, act, wanted)])[0]

    return await call.act("supplier.add", f"supplier:{made}", in_scope(data.scope), do)


async def changed(call: Call, ident: str, data: forms.SupplierChange) -> forms.Supplier:
    """Change a supplier. Raises what `suppliers.actions.change` does."""

    def do(tx: Tx, act: Act) -> forms.Supplier:
        had = queries.supplier(tx, SupplierId(ident))
        wanted = _supplier(
            call,
            had.id,
            had.scope,
            had.name if data.name is None else data.name,
            had.contact if data.contact is None else data.contact,
            had.supplies if data.supplies is None else data.supplies,
            None if data.no_support_end else data.support_end or had.support_end,
        )
        return answers.suppliers(tx, [actions.change(tx, act, wanted)])[0]

    return await call.act("supplier.change", named("supplier", ident), Place(place, ident), do)


async def ended(call: Call, ident: str, why: str) -> forms.Supplier:
    """End a supplier. Raises what `suppliers.actions.end` does."""

    def do(tx: Tx, act: Act) -> forms.Supplier:
        person = PersonId(call.caller.person.id)
        return answers.suppliers(tx, [actions.end(tx, act, SupplierId(ident), person, why)])[0]

    return await call.act("supplier.end", named("supplier", ident), Place(place, ident), do)


async def recorded(call: Call, ident: str, data: forms.Saying) -> forms.Supplier:
    """Record what a supplier said. Raises what `suppliers.actions.record` does."""
    made = AgreementId(call.plane.new_id())

    def do(tx: Tx, act: Act) -> forms.Supplier:
        person, said = PersonId(call.caller.person.id), decide.said(data.said)
        word = Agreement(made, SupplierId(ident), DocumentId(data.document), said, data.note, person, act.at)
        actions.record(tx, act, word)
        return answers.suppliers(tx, [queries.supplier(tx, SupplierId(ident))])[0]

    return await call.act("supplier.record", named("supplier", ident), Place(place, ident), do)


def place(tx: Tx, supplier_id: str) -> Sequence[str]:
    """Return where the right to a supplier is judged; `NotFoundError`."""
    return (queries.supplier(tx, SupplierId(supplier_id)).scope,)


def _supplier(
    call: Call, ident: SupplierId, scope: str, name: str, contact: str, supplies: str, support_end: date | None
) -> Supplier:
    person, now = PersonId(call.caller.person.id), call.plane.now()
    return Supplier(ident, scope, name, contact, supplies, support_end, person, now, person, now)


router = Router(
    "/suppliers",
    route_handlers=[listed, sovereignty, export, one, add, change, end, record],
    tags=["suppliers"],
)
