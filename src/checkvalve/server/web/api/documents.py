# SPDX-License-Identifier: Apache-2.0
"""What is asked of suppliers: `/api/v1/documents`."""

from collections.abc import Callable, Sequence

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import ApprovalId, DocumentId, PersonId
from checkvalve.protocol import api
from checkvalve.protocol import suppliers as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.suppliers import actions, decide, queries, shipped
from checkvalve.server.suppliers.model import Document
from checkvalve.server.web.api import supplier_answers as answers
from checkvalve.server.web.api.paging import Within
from checkvalve.server.web.calls import Call, Called, Place, in_scope, named

_READ, _MANAGE = {"permission": Permission.SUPPLIER_READ}, {"permission": Permission.SUPPLIER_MANAGE}


@get("/", opt=_READ, summary="Documents, the newest version first")
async def listed(call: Called, *, within: Within = ROOT) -> api.Page[forms.Document]:
    """List every version of what is asked of suppliers. There are never many."""

    def look(tx: Tx, seen: Visibility) -> list[forms.Document]:
        return [answers.document(tx, each, call.plane.now()) for each in queries.documents(tx, seen)]

    return api.Page(items=await call.ask("documents", look, scope=within))


@get("/{document_id:str}", opt=_READ, summary="One document")
async def one(call: Called, document_id: FromPath[str]) -> forms.Document:
    """Return one version with its text."""

    def look(tx: Tx, seen: Visibility) -> forms.Document:
        return answers.document(tx, queries.document(tx, DocumentId(document_id), seen), call.plane.now())

    return await call.ask("document", look)


@get("/{document_id:str}/text", opt=_READ, summary="The text of a document, to hand to purchasing")
async def text(call: Called, document_id: FromPath[str]) -> Response[bytes]:
    """Answer with the text as a file."""

    def look(tx: Tx, seen: Visibility) -> Document:
        return queries.document(tx, DocumentId(document_id), seen)

    found = await call.ask("document", look)
    name = f"{found.kind.value}-{found.version}.txt"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    body = f"{found.title}\nVersion {found.version}, sha256:{found.digest}\n\n{found.text}\n"
    return Response(body.encode(), media_type="text/plain", headers=headers)


@post("/", opt=_MANAGE, summary="Begin a version of a document")
async def draft(call: Called, data: JSONBody[forms.NewDocument]) -> forms.Document:
    """Begin the next version; the first one from what is shipped, later ones from the one before."""
    return await drafted(call, data)


@post("/{document_id:str}", opt=_MANAGE, status_code=200, summary="Write another text into a draft")
async def write(call: Called, document_id: FromPath[str], data: JSONBody[forms.Written]) -> forms.Document:
    """Change title and text of a draft."""
    return await written(call, document_id, data)


@post("/{document_id:str}/ask", opt=_MANAGE, status_code=200, summary="Ask for approval")
async def ask(call: Called, document_id: FromPath[str]) -> forms.Document:
    """Ask another person to approve a draft; its text is final from then on."""
    return await asked(call, document_id)


@post("/{document_id:str}/take-back", opt=_MANAGE, status_code=200, summary="Take the request for approval back")
async def take_back(call: Called, document_id: FromPath[str]) -> forms.Document:
    """Make a document a draft again."""
    return await taken_back(call, document_id)


@post("/{document_id:str}/adopt", opt=_MANAGE, status_code=200, summary="Put an approved document into force")
async def adopt(call: Called, document_id: FromPath[str]) -> forms.Document:
    """Put a document into force; an earlier version is superseded."""
    return await adopted(call, document_id)


async def drafted(call: Call, data: forms.NewDocument) -> forms.Document:
    """Begin a version. Raises what `suppliers.actions.draft` does."""
    made, person, now = DocumentId(call.plane.new_id()), PersonId(call.caller.person.id), call.plane.now()

    def do(tx: Tx, act: Act) -> forms.Document:
        kind = decide.kind(data.kind)
        had = queries.documents(tx, queries.EVERYWHERE, scope=data.scope, kind=kind)
        title, body = (had[0].title, had[0].text) if had else shipped.draft(kind)
        wanted = Document(
            made, data.scope, kind, 0, data.title or title, data.text or body, "", None, person, now, person, now
        )
        return answers.document(tx, actions.draft(tx, act, wanted), act.at)

    return await call.act("document.draft", f"document:{made}", in_scope(data.scope), do)


async def written(call: Call, ident: str, data: forms.Written) -> forms.Document:
    """Write another text. Raises what `suppliers.actions.write` does."""
    person = PersonId(call.caller.person.id)
    return await _changed(
        call,
        "document.write",
        ident,
        lambda tx, act: actions.write(tx, act, DocumentId(ident), person, data.title, data.text),
    )


async def asked(call: Call, ident: str) -> forms.Document:
    """Ask for approval. Raises what `suppliers.actions.ask` does."""
    person, approval = PersonId(call.caller.person.id), ApprovalId(call.plane.new_id())
    return await _changed(
        call, "document.ask", ident, lambda tx, act: actions.ask(tx, act, DocumentId(ident), person, approval)
    )


async def taken_back(call: Call, ident: str) -> forms.Document:
    """Take a request back. Raises what `suppliers.actions.take_back` does."""
    return await _changed(
        call, "document.take_back", ident, lambda tx, act: actions.take_back(tx, act, DocumentId(ident))
    )


async def adopted(call: Call, ident: str) -> forms.Document:
    """Put a document into force. Raises what `suppliers.actions.adopt` does."""
    return await _changed(call, "document.adopt", ident, lambda tx, act: actions.adopt(tx, act, DocumentId(ident)))


def place(tx: Tx, document_id: str) -> Sequence[str]:
    """Return where the right to a document is judged; `NotFoundError`."""
    return (queries.document(tx, DocumentId(document_id)).scope,)


async def _changed(call: Call, action: str, ident: str, do: Callable[[Tx, Act], Document]) -> forms.Document:
    def work(tx: Tx, act: Act) -> forms.Document:
        return answers.document(tx, do(tx, act), act.at)

    return await call.act(action, named("document", ident), Place(place, ident), work)


router = Router(
    "/documents", route_handlers=[listed, one, text, draft, write, ask, take_back, adopt], tags=["suppliers"]
)
