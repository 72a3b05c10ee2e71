# SPDX-License-Identifier: Apache-2.0
"""Rollouts: `/api/v1/rollouts`."""

from collections.abc import Callable, Sequence
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.errors import ConflictError
from checkvalve.ids import ApprovalId, RolloutId, well_formed
from checkvalve.protocol import api, rights
from checkvalve.protocol import rollout as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import moves
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.back import Back, obstacle
from checkvalve.server.rollouts.model import LIVE, Intent, No, Plan, Rollout, Seat, State
from checkvalve.server.rollouts.moves import Move
from checkvalve.server.web.api import rollout_answers
from checkvalve.server.web.api.paging import USUAL, After, Before, Limit, Within, last, stretch
from checkvalve.server.web.api.rollout_answers import Ended, Names
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope, named

Work = Callable[[Tx, Act, RolloutId], Rollout]


@get("/", opt={"permission": Permission.ROLLOUT_READ}, summary="Rollouts, newest first")
async def listed(
    call: Called,
    within: Within = ROOT,
    in_state: Annotated[State | None, QueryParameter(name="state")] = None,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[forms.Rollout]:
    """List rollouts, of one state or of all."""

    def look(tx: Tx, seen: Visibility) -> list[forms.Rollout]:
        found = rollout_queries.listed(tx, seen, limit=limit + 1, before=last(before), state=in_state)
        return _answered(tx, *found)

    return stretch(await call.ask("rollouts", look, scope=within), limit, lambda one: one.id, lambda one: one)


@get("/{rollout_id:str}", opt={"permission": Permission.ROLLOUT_READ}, summary="A rollout")
async def one(call: Called, rollout_id: FromPath[str]) -> forms.Rollout:
    """Answer with one rollout."""
    wanted = _wanted(rollout_id)
    (found,) = await call.ask("rollout", lambda tx, seen: _answered(tx, rollout_queries.rollout(tx, wanted, seen)))
    return found


@get("/{rollout_id:str}/progress", opt={"permission": Permission.ROLLOUT_READ}, summary="How far a rollout is")
async def progress(call: Called, rollout_id: FromPath[str]) -> forms.RolloutProgress:
    """Answer with the waves of a started rollout, and what it waits for."""
    wanted, now, since = _wanted(rollout_id), call.plane.now(), call.plane.rolling.since

    def look(tx: Tx, seen: Visibility) -> forms.RolloutProgress:
        found = rollout_queries.rollout(tx, wanted, seen)
        return rollout_answers.progress(found, _names(tx, found), *rollout_queries.progress(tx, found, now, since))

    return await call.ask("rollout", look)


@get("/{rollout_id:str}/devices", opt={"permission": Permission.ROLLOUT_READ}, summary="The devices of a rollout")
async def devices(
    call: Called,
    rollout_id: FromPath[str],
    wave: Annotated[int | None, QueryParameter(ge=0, le=10_000, description="From 0, as devices have it.")] = None,
    outcome: Annotated[Ended | None, QueryParameter()] = None,
    limit: Limit = USUAL,
    after: After = "",
) -> api.Page[forms.RolloutDevice]:
    """List who goes when, and how it ended; wave by wave."""
    wanted = _wanted(rollout_id)

    def look(tx: Tx, seen: Visibility) -> tuple[Rollout, list[Seat]]:
        found = rollout_queries.rollout(tx, wanted, seen)
        outcomes = rollout_answers.outcomes(outcome)
        return found, rollout_queries.seats(
            tx, wanted, wave=wave, outcomes=outcomes, limit=limit + 1, after=last(after), seen=seen
        )

    found, seats = await call.ask("rollout", look)
    return stretch(seats, limit, lambda one: one.device.id, lambda one: rollout_answers.device(found, one))


@get("/{rollout_id:str}/plan", opt={"permission": Permission.ROLLOUT_READ}, summary="Who would go when")
async def plan(call: Called, rollout_id: FromPath[str]) -> forms.RolloutPlan:
    """Answer with what starting it now would do; nothing is changed."""
    wanted, now = _wanted(rollout_id), call.plane.now()

    def look(tx: Tx, seen: Visibility) -> forms.RolloutPlan:
        found = rollout_queries.rollout(tx, wanted, seen)
        planned = rollout_queries.planned(tx, found, now)
        obstacle = rollout_queries.obstacle(tx, found)
        manifest = rollout_queries.manifest(tx, found)
        return rollout_answers.plan(
            found,
            _names(tx, found),
            planned,
            obstacle or rollout_queries.in_the_way(tx, found, planned),
            exclusive=rights.exclusive(manifest) if manifest else (),
            copies=rollout_queries.copies(manifest, planned),
        )

    return await call.ask("rollout", look)


@get("/{rollout_id:str}/undo", opt={"permission": Permission.ROLLOUT_READ}, summary="Who would go back to what")
async def way_back(call: Called, rollout_id: FromPath[str]) -> forms.RolloutWayBack:
    """Answer with what undoing it now would do; nothing is changed."""
    wanted = _wanted(rollout_id)

    def look(tx: Tx, seen: Visibility) -> tuple[Rollout, Names, Back, No | ConflictError | None]:
        found = rollout_queries.rollout(tx, wanted, seen)
        back = rollout_queries.way_back(tx, found)
        return (
            found,
            _names(tx, found),
            back,
            moves.judge(found, Move.UNDO) or obstacle(back, rollout_queries.taken_besides(tx, found, back)),
        )

    return rollout_answers.way_back(*await call.ask("rollout", look))


@post("/", opt={"permission": Permission.ROLLOUT_DRAFT}, summary="Draft a rollout")
async def draft(call: Called, data: JSONBody[forms.NewRollout]) -> forms.Rollout:
    """Write down what is to happen; nothing happens yet."""
    made_id = RolloutId(call.plane.new_id())
    intent = Intent(data.release, data.selector, data.approvals, data.change, data.note, Plan(data.canary, data.step))
    (made,) = await call.act(
        "rollout.draft",
        f"rollout:{made_id}",
        in_scope(data.scope),
        lambda tx, act: _answered(tx, rollout_actions.draft(tx, act, made_id, data.scope, data.name, intent)),
    )
    return made


@post("/{rollout_id:str}/propose", opt={"permission": Permission.ROLLOUT_DRAFT}, status_code=200, summary="Propose")
async def propose(call: Called, rollout_id: FromPath[str]) -> forms.Rollout:
    """Ask for the approvals that the draft names."""
    approval_id = ApprovalId(call.plane.new_id())
    return await _move(
        call,
        "rollout.propose",
        rollout_id,
        lambda tx, act, wanted: rollout_actions.propose(tx, act, wanted, approval_id),
    )


@post("/{rollout_id:str}/start", opt={"permission": Permission.ROLLOUT_START}, status_code=200, summary="Start")
async def start(call: Called, rollout_id: FromPath[str]) -> forms.Rollout:
    """Start what was proposed and approved: the first wave opens at once."""
    new_id = call.plane.new_id
    return await _move(
        call, "rollout.start", rollout_id, lambda tx, act, wanted: rollout_actions.start(tx, act, wanted, new_id)
    )


@post("/{rollout_id:str}/pause", opt={"permission": Permission.ROLLOUT_START}, status_code=200, summary="Pause")
async def pause(call: Called, rollout_id: FromPath[str], data: JSONBody[forms.Because]) -> forms.Rollout:
    """Let no device begin any more."""
    work: Work = lambda tx, act, wanted: rollout_actions.pause(tx, act, wanted, "", data.reason)  # noqa: E731
    return await _move(call, "rollout.pause", rollout_id, work, data.reason)


@post("/{rollout_id:str}/resume", opt={"permission": Permission.ROLLOUT_START}, status_code=200, summary="Resume")
async def resume(call: Called, rollout_id: FromPath[str], data: JSONBody[forms.Because]) -> forms.Rollout:
    """Go on without those that failed."""
    work: Work = lambda tx, act, wanted: rollout_actions.resume(tx, act, wanted, data.reason)  # noqa: E731
    return await _move(call, "rollout.resume", rollout_id, work, data.reason)


@post("/{rollout_id:str}/undo", opt={"permission": Permission.ROLLOUT_START}, summary="Undo")
async def undo(call: Called, rollout_id: FromPath[str], data: JSONBody[forms.Because]) -> forms.Rollout:
    """Send the devices back to what they ran before; answer with the rollout that does."""
    new_id = call.plane.new_id
    undo_id = RolloutId(new_id())
    work: Work = lambda tx, act, wanted: rollout_actions.undo(tx, act, wanted, undo_id, new_id, data.reason)  # noqa: E731
    return await _move(call, "rollout.undo", rollout_id, work, data.reason)


@post("/{rollout_id:str}/cancel", opt={"permission": Permission.ROLLOUT_DRAFT}, status_code=200, summary="Cancel")
async def cancel(call: Called, rollout_id: FromPath[str]) -> forms.Rollout:
    """End it where it stands; devices that took it keep it. What was started asks for the right to start."""

    def work(tx: Tx, act: Act, wanted: RolloutId) -> Rollout:
        found = rollout_queries.rollout(tx, wanted)
        if found.state in LIVE:
            call.also(tx, Permission.ROLLOUT_START, found.scope)
        return rollout_actions.cancel(tx, act, wanted)

    return await _move(call, "rollout.cancel", rollout_id, work)


async def _move(call: Call, action: str, rollout_id: str, change: Work, reason: str = "") -> forms.Rollout:
    where = Place(_scope, rollout_id)
    work: Callable[[Tx, Act], list[forms.Rollout]] = lambda tx, act: _answered(  # noqa: E731
        tx, change(tx, act, RolloutId(rollout_id))
    )
    (moved,) = await call.act(action, named("rollout", rollout_id), where, work, reason=reason)
    await call.plane.presence.stir()  # devices that wait here hear of it at once
    call.plane.rolling.poke()
    return moved


def _answered(tx: Tx, *found: Rollout) -> list[forms.Rollout]:
    names = _names(tx, *found)
    return [rollout_answers.rollout(one, names) for one in found]


def _names(tx: Tx, *found: Rollout) -> Names:
    return identity_queries.names(tx, (one.made_by for one in found))


def _wanted(rollout_id: str) -> RolloutId:
    return RolloutId(rollout_id if well_formed(rollout_id) else NO_ID)


def _scope(tx: Tx, rollout_id: str) -> Sequence[str]:
    return (rollout_queries.scope_of(tx, RolloutId(rollout_id)),)


_READ = [listed, one, progress, devices, plan, way_back]
_CHANGE = [draft, propose, start, pause, resume, undo, cancel]
router = Router("/rollouts", route_handlers=[*_READ, *_CHANGE], tags=["rollouts"])
