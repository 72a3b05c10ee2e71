# SPDX-License-Identifier: Apache-2.0
"""Rollouts: `/api/v1/rollouts`."""

from collections.abc import Callable, Sequence
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.ids import ApprovalId, RolloutId, well_formed
from checkvalve.protocol import api
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import Intent, Rollout, State
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope, named


@get("/", opt={"permission": Permission.ROLLOUT_READ}, summary="Rollouts, newest first")
async def listed(
    call: Called,
    within: Within = ROOT,
    in_state: Annotated[State | None, QueryParameter(name="state")] = None,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[api.Rollout]:
    """List rollouts, of one state or of all."""
    found = await call.ask(
        "rollouts",
        lambda tx, seen: rollout_queries.listed(tx, seen, limit=limit + 1, before=last(before), state=in_state),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.rollout)


@get("/{rollout_id:str}", opt={"permission": Permission.ROLLOUT_READ}, summary="A rollout")
async def one(call: Called, rollout_id: FromPath[str]) -> api.Rollout:
    """Answer with one rollout."""
    wanted = RolloutId(rollout_id if well_formed(rollout_id) else NO_ID)
    return answers.rollout(await call.ask("rollout", lambda tx, seen: rollout_queries.rollout(tx, wanted, seen)))


@post("/", opt={"permission": Permission.ROLLOUT_DRAFT}, summary="Draft a rollout")
async def draft(call: Called, data: JSONBody[api.NewRollout]) -> api.Rollout:
    """Write down what is to happen; nothing happens yet."""
    made_id = RolloutId(call.plane.new_id())
    intent = Intent(data.release, data.selector, data.approvals, data.change, data.note)
    made = await call.act(
        "rollout.draft",
        f"rollout:{made_id}",
        in_scope(data.scope),
        lambda tx, act: rollout_actions.draft(tx, act, made_id, data.scope, data.name, intent),
    )
    return answers.rollout(made)


@post("/{rollout_id:str}/propose", opt={"permission": Permission.ROLLOUT_DRAFT}, status_code=200, summary="Propose")
async def propose(call: Called, rollout_id: FromPath[str]) -> api.Rollout:
    """Ask for the approvals that the draft names."""
    approval_id = ApprovalId(call.plane.new_id())
    return await _move(
        call,
        "rollout.propose",
        rollout_id,
        lambda tx, act, wanted: rollout_actions.propose(tx, act, wanted, approval_id),
    )


@post("/{rollout_id:str}/start", opt={"permission": Permission.ROLLOUT_START}, status_code=200, summary="Start")
async def start(call: Called, rollout_id: FromPath[str]) -> api.Rollout:
    """Start what was proposed and approved."""
    return await _move(call, "rollout.start", rollout_id, rollout_actions.start)


@post("/{rollout_id:str}/cancel", opt={"permission": Permission.ROLLOUT_DRAFT}, status_code=200, summary="Cancel")
async def cancel(call: Called, rollout_id: FromPath[str]) -> api.Rollout:
    """End what has not started."""
    return await _move(call, "rollout.cancel", rollout_id, rollout_actions.cancel)


async def _move(
    call: Call, action: str, rollout_id: str, change: Callable[[Tx, Act, RolloutId], Rollout]
) -> api.Rollout:
    where = Place(_scope, rollout_id)
    work: Callable[[Tx, Act], Rollout] = lambda tx, act: change(tx, act, RolloutId(rollout_id))  # noqa: E731
    return answers.rollout(await call.act(action, named("rollout", rollout_id), where, work))


def _scope(tx: Tx, rollout_id: str) -> Sequence[str]:
    return (rollout_queries.scope_of(tx, RolloutId(rollout_id)),)


router = Router("/rollouts", route_handlers=[listed, one, draft, propose, start, cancel], tags=["rollouts"])
