# SPDX-License-Identifier: Apache-2.0
"""Drafts of the list of what may run: `/api/v1/drafts`. Keys never come here, signatures do (walk release, 12)."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.crypto import metadata
from checkvalve.ids import DraftId, well_formed
from checkvalve.protocol import api, supply
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Draft, DraftState
from checkvalve.server.web.api import supply_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope, named


@get("/", opt={"permission": Permission.RELEASE_READ}, summary="Drafts, newest first")
async def listed(
    call: Called,
    within: Within = ROOT,
    in_state: Annotated[DraftState | None, QueryParameter(name="state")] = None,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[supply.Draft]:
    """List drafts, of one state or of all; at most one is open."""
    found, root = await call.ask(
        "drafts",
        lambda tx, seen: (
            supply_queries.drafts(tx, seen, limit=limit + 1, before=last(before), state=in_state),
            supply_queries.anchor(tx).root,
        ),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, lambda one: answers.draft(one, root))


@get("/{draft_id:str}", opt={"permission": Permission.RELEASE_READ}, summary="A draft")
async def one(call: Called, draft_id: FromPath[str]) -> supply.Draft:
    """Answer with one draft: what it changes, who signed, who may."""
    found, root = await _found(call, draft_id)
    return answers.draft(found, root)


@get("/{draft_id:str}/payload", opt={"permission": Permission.RELEASE_READ}, summary="The bytes to sign")
async def payload(call: Called, draft_id: FromPath[str]) -> Response[bytes]:
    """Answer with exactly the bytes that are signed; their SHA-256 is the draft's digest."""
    found, _ = await _found(call, draft_id)
    return Response(found.payload, media_type="application/json")


@post("/", opt={"permission": Permission.RELEASE_CREATE}, summary="Renew the list")
async def renew(call: Called, data: JSONBody[supply.NewDraft]) -> supply.Draft:
    """Draft the same list with a later expiry."""
    draft_id = DraftId(call.plane.new_id())

    def work(tx: Tx, act: Act) -> supply.Draft:
        return _answer(tx, supply_actions.renew(tx, act, draft_id, data.scope))

    return await call.act("draft.open", f"draft:{draft_id}", in_scope(data.scope), work)


@post("/{draft_id:str}/signatures", opt={"permission": Permission.RELEASE_SIGN}, status_code=200, summary="Sign")
async def sign(call: Called, draft_id: FromPath[str], data: JSONBody[supply.NewSignature]) -> supply.Draft:
    """Take a signature on the bytes whose SHA-256 is `digest`; the last one that is needed publishes."""
    signature, online = metadata.Signature(data.keyid, data.signature), call.plane.online

    def work(tx: Tx, act: Act) -> supply.Draft:
        return _answer(tx, supply_actions.sign(tx, act, DraftId(draft_id), data.digest, signature, online))

    return await call.act("draft.sign", named("draft", draft_id), _place(draft_id), work)


@post("/{draft_id:str}/discard", opt={"permission": Permission.RELEASE_CREATE}, status_code=200, summary="Discard")
async def discard(call: Called, draft_id: FromPath[str]) -> supply.Draft:
    """Give the draft up; what it would have added is discarded with it."""

    def work(tx: Tx, act: Act) -> supply.Draft:
        return _answer(tx, supply_actions.discard(tx, act, DraftId(draft_id)))

    return await call.act("draft.discard", named("draft", draft_id), _place(draft_id), work)


async def _found(call: Call, draft_id: str) -> tuple[Draft, bytes | None]:
    wanted = DraftId(draft_id if well_formed(draft_id) else NO_ID)
    return await call.ask(
        "draft", lambda tx, seen: (supply_queries.draft(tx, wanted, seen), supply_queries.anchor(tx).root)
    )


def _answer(tx: Tx, draft: Draft) -> supply.Draft:
    return answers.draft(draft, supply_queries.anchor(tx).root)


def _place(draft_id: str) -> Place:
    return Place(lambda tx, ident: supply_queries.draft_scopes(tx, DraftId(ident)), draft_id)


router = Router("/drafts", route_handlers=[listed, one, payload, renew, sign, discard], tags=["drafts"])
