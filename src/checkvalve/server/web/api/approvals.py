# SPDX-License-Identifier: Apache-2.0
"""What waits for people's yes: `/api/v1/approvals`. Looking never votes."""

from collections.abc import Sequence

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from checkvalve.ids import ApprovalId, well_formed
from checkvalve.protocol import api
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval, Choice
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, named


@get("/", opt={"permission": Permission.APPROVAL_READ}, summary="Requests for approval, newest first")
async def listed(
    call: Called,
    *,
    within: Within = ROOT,
    waiting: FromQuery[bool] = False,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[api.Approval]:
    """List what was asked for, and how it stands; `waiting`: only what this caller can still vote on."""

    def question(tx: Tx, seen: Visibility) -> api.Page[api.Approval]:
        if waiting:
            found = _for_me(call, tx, seen, last(before))
        else:
            found = approval_queries.listed(tx, seen, limit=limit + 1, before=last(before))
        return stretch(found, limit, lambda one: one.id, lambda one: _answer(call, tx, one))

    return await call.ask("approvals", question, scope=within)


@get("/{approval_id:str}", opt={"permission": Permission.APPROVAL_READ}, summary="A request for approval")
async def one(call: Called, approval_id: FromPath[str]) -> api.Approval:
    """Answer with one, its votes included."""
    wanted = ApprovalId(approval_id if well_formed(approval_id) else NO_ID)
    return await call.ask("approval", lambda tx, seen: _answer(call, tx, approval_queries.approval(tx, wanted, seen)))


@post("/{approval_id:str}/votes", opt={"permission": Permission.APPROVAL_VOTE}, status_code=200, summary="Vote")
async def vote(call: Called, approval_id: FromPath[str], data: JSONBody[api.NewVote]) -> api.Approval:
    """Approve or reject exactly what `digest` names."""

    def cast(tx: Tx, act: Act) -> api.Approval:
        wanted, voter = ApprovalId(approval_id), call.caller.person.id
        approval_actions.vote(tx, act, wanted, voter, Choice(data.choice), data.digest, data.note)
        return _answer(call, tx, approval_queries.approval(tx, wanted))

    return await call.act("approval.vote", named("approval", approval_id), Place(_scope, approval_id), cast)


def _for_me(call: Call, tx: Tx, seen: Visibility, before: str) -> list[Approval]:
    may = call.reach(tx).get(Permission.APPROVAL_VOTE, Visibility(()))
    found = approval_queries.waiting_for(tx, seen, call.caller.person.id, call.plane.now())
    here = [one for one in found if one.scope.startswith(may.prefixes) and (not before or one.id < before)]
    return here[::-1]


def _answer(call: Call, tx: Tx, approval: Approval) -> api.Approval:
    standing = approval_queries.standing(tx, approval, call.plane.now())
    return answers.approval(approval, standing, approval_queries.votes(tx, approval.id))


def _scope(tx: Tx, approval_id: str) -> Sequence[str]:
    return (approval_queries.scope_of(tx, ApprovalId(approval_id)),)


router = Router("/approvals", route_handlers=[listed, one, vote], tags=["approvals"])
