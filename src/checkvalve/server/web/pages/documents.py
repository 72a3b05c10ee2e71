# SPDX-License-Identifier: Apache-2.0
"""One version of what is asked of suppliers: its text, what is different, and the way into force."""

from collections.abc import Awaitable, Callable, Mapping

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import DocumentId
from checkvalve.protocol import suppliers as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.suppliers import queries
from checkvalve.server.suppliers.model import Document
from checkvalve.server.web import texts
from checkvalve.server.web.api import documents as api
from checkvalve.server.web.api import supplier_answers as answers
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import frame, render, supplier_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("document.html", "compliance", "doc.title")
_READ, _MANAGE = {"permission": Permission.SUPPLIER_READ}, {"permission": Permission.SUPPLIER_MANAGE}
Deed = Callable[[Call, str], Awaitable[object]]
DEEDS: Mapping[str, Deed] = {"ask": api.asked, "take-back": api.taken_back, "adopt": api.adopted}


@get("/documents/{document_id:str}", opt=_READ)
async def one(request: Asked, call: Called, document_id: FromPath[str]) -> Answer:
    """Answer with one version."""
    return await _show(request, call, known(document_id))


@post("/documents/{document_id:str}", opt=_MANAGE)
async def write(request: Asked, call: Called, document_id: FromPath[str]) -> Answer | Redirect:
    """Write another text into a draft."""
    wanted = known(document_id)

    async def do(form: Mapping[str, str]) -> None:
        await api.written(call, wanted, forms.Written(title=form.get("title", ""), text=form.get("text", "")))

    return await _change(request, call, wanted, do)


@post(
    [
        "/documents/{document_id:str}/ask",
        "/documents/{document_id:str}/take-back",
        "/documents/{document_id:str}/adopt",
    ],
    opt=_MANAGE,
)
async def go_on(request: Asked, call: Called, document_id: FromPath[str]) -> Answer | Redirect:
    """Do what the last part of the address says: ask for approval, take that back, or put it into force."""
    wanted, deed = known(document_id), DEEDS[request.url.path.rpartition("/")[2]]

    async def do(_: Mapping[str, str]) -> None:
        await deed(call, wanted)

    return await _change(request, call, wanted, do)


def look(view: View, wanted: str) -> Data:
    """Return the page's data."""
    found = queries.document(view.tx, DocumentId(wanted), view.seen(Permission.SUPPLIER_READ))
    said, may = answers.document(view.tx, found, view.now), view.may(Permission.SUPPLIER_MANAGE, found.scope)
    before = _before(view, found)
    return {
        **supplier_view.document(view, said),
        "sentence": texts.say(
            "doc.sentence",
            version=str(said.version),
            kind=texts.say(f"sup.kind.{said.kind}").lower(),
            state=texts.say(f"sup.is.{said.state}"),
        ),
        "detail": texts.say("doc.detail", title=plainly(said.title), where=said.where),
        "raw": {"title": said.title, "text": said.text},
        "text": said.text,
        "digest": said.digest,
        "may_edit": may and said.state == "draft",
        "deeds": _deeds(said, may=may),
        "approval_href": view.link(f"/approvals/{said.approval}") if said.approval else "",
        "text_href": f"/api/v1/documents/{found.id}/text",
        "place": found.scope,
        "raw_kind": said.kind,
        "next": may and said.state == "approved",
        "before": before.version if before else 0,
        "different": supplier_view.different(f"{before.title}\n{before.text}", f"{found.title}\n{found.text}")
        if before
        else [],
    }


def _before(view: View, found: Document) -> Document | None:
    there = queries.documents(view.tx, queries.EVERYWHERE, scope=found.scope, kind=found.kind)
    return next((each for each in there if each.version < found.version), None)


def _deeds(said: forms.Document, *, may: bool) -> list[Data]:
    possible = {"draft": ("ask",), "asked": ("adopt", "take-back"), "ready": ("adopt", "take-back")}
    return [
        {
            "name": name,
            "label": texts.say(f"doc.{name.replace('-', '_')}"),
            "why": _why(name, said.state, may=may),
            "style": "primary" if name in ("ask", "adopt") else "",
            "enabled": may and (name, said.state) != ("adopt", "asked"),
        }
        for name in possible.get(said.state, ())
    ]


def _why(name: str, state: str, *, may: bool) -> str:
    if not may:
        return texts.say("sup.no_right")
    if (name, state) == ("adopt", "asked"):
        return texts.say("doc.adopt_waits")
    return texts.say(f"doc.{name.replace('-', '_')}_why")


async def _show(request: Asked, call: Call, wanted: str, retry: Retry | None = None) -> Answer:
    return await frame.show(request, call, PAGE, lambda view: look(view, wanted), retry=retry)


async def _change(request: Asked, call: Call, wanted: str, do: object) -> Answer | Redirect:
    then = render.link(f"/documents/{wanted}", scope=request.query_params.get("scope", ""))
    return await frame.change(request, do, lambda retry: _show(request, call, wanted, retry), then)  # type: ignore[arg-type]


handlers = [one, write, go_on]
