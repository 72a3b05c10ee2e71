# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags that people hang at the plane: `/api/v1/holds`.

A tag counts from the device's next word on: after each change the listeners' memory is told that it is old, so that a
device that waits here hears of it at once.
"""

from collections.abc import Sequence
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.errors import InvalidError
from checkvalve.ids import DeviceId, HoldId, PersonId
from checkvalve.protocol import api, fleet
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Hold
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.web.api import devices
from checkvalve.server.web.api import fleet_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import Called, Place, in_scope, named

Every = Annotated[bool, QueryParameter(name="all", description="Those that were lifted too.")]


@get("/", opt={"permission": Permission.DEVICE_READ}, summary="Lock-out tags, newest first")
async def listed(
    call: Called, *, within: Within = ROOT, every: Every = False, limit: Limit = USUAL, before: Before = ""
) -> api.Page[fleet.Hold]:
    """List the tags that hang for what one may see, also those of places above it."""
    lifted = None if every else False

    def look(tx: Tx, seen: Visibility) -> list[fleet.Hold]:
        found = fleet_queries.holds(tx, seen, lifted=lifted, limit=limit + 1, before=last(before))
        return _answered(tx, *found)

    return stretch(await call.ask("holds", look, scope=within), limit, lambda one: one.id, lambda one: one)


@post("/", opt={"permission": Permission.DEVICE_HOLD}, summary="Hang a lock-out tag")
async def hang(call: Called, data: JSONBody[fleet.NewHold]) -> fleet.Hold:
    """Hang a tag at a place or on a device: nothing is switched there until it is lifted."""
    made_id = HoldId(call.plane.new_id())
    asked = Hold(
        id=made_id,
        scope=data.scope or "",
        device=DeviceId(data.device) if data.device is not None else None,
        name=data.name or call.caller.person.name,
        reason=data.reason,
        number=data.number,
        made_by=PersonId(call.caller.person.id),
        made_at=call.plane.now(),
    )
    (made,) = await call.act(
        "hold.hang", f"hold:{made_id}", _there(data), lambda tx, act: _answered(tx, fleet_actions.hang(tx, act, asked))
    )
    await call.plane.presence.stir()
    return made


@post("/{hold_id:str}/lift", opt={"permission": Permission.DEVICE_HOLD}, status_code=200, summary="Lift a tag")
async def lift(call: Called, hold_id: FromPath[str], data: JSONBody[fleet.Lifting]) -> fleet.Hold:
    """Lift a tag; whoever lifts what somebody else hung says why."""
    (lifted,) = await call.act(
        "hold.lift",
        named("hold", hold_id),
        Place(place, hold_id),
        lambda tx, act: _answered(tx, fleet_actions.lift(tx, act, HoldId(hold_id), data.reason)),
    )
    await call.plane.presence.stir()
    return lifted


def place(tx: Tx, hold_id: str) -> Sequence[str]:
    """Return where the right to a tag is judged; `NotFoundError`."""
    return (fleet_queries.hold(tx, HoldId(hold_id)).scope,)


def _answered(tx: Tx, *holds: Hold) -> list[fleet.Hold]:
    names = identity_queries.names(tx, (person for one in holds for person in (one.made_by, one.lifted_by or "")))
    return [answers.hold(one, names) for one in holds]


def _there(data: fleet.NewHold) -> Place:
    if (data.scope is None) == (data.device is None):
        raise InvalidError(
            "hold.where", "A tag hangs at a place or on a device.", "Name one of the two: `scope` or `device`."
        )
    return Place(devices.scope, data.device) if data.device is not None else in_scope(data.scope or ROOT)


router = Router("/holds", route_handlers=[listed, hang, lift], tags=["holds"])
