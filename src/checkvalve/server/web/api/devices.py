# SPDX-License-Identifier: Apache-2.0
"""Devices, what they told and what they signed: `/api/v1/devices`, `/api/v1/receipts`.

Who is let in counts from the device's next request: after each change the listeners' memory is told that it is old.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from litestar import Response, Router, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from checkvalve.ids import DeviceId, well_formed
from checkvalve.protocol import api, fleet
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Condition, Device, Hold, Kept, Line, Liveness, Order, Trust
from checkvalve.server.web.api import fleet_answers as answers
from checkvalve.server.web.api.paging import USUAL, After, Before, Limit, Within, Word, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, named

Tags = Annotated[
    list[str] | None, QueryParameter(name="tag", description="With this tag only; several: with all of them.")
]
Conditions = Annotated[
    list[Condition] | None, QueryParameter(name="condition", description="Like this only; several: like one of them.")
]
Digest = Annotated[
    str, QueryParameter(max_length=64, pattern="^[0-9a-f]*$", description="`next` of the stretch before.")
]


@get("/devices", opt={"permission": Permission.DEVICE_READ}, summary="Devices, by name")
async def listed(  # noqa: PLR0913 - one filter each
    call: Called,
    *,
    within: Within = ROOT,
    tags: Tags = None,
    trust: FromQuery[Trust | None] = None,
    liveness: FromQuery[Liveness | None] = None,
    condition: Conditions = None,
    held: FromQuery[bool] = False,
    text: Word = "",
    sort: FromQuery[Order] = Order.NAME,
    limit: Limit = USUAL,
    after: After = "",
) -> api.Page[fleet.Device]:
    """List devices; `text` is in name or tag, or an id; `held=true` has those that a tag hangs for.

    `sort=silent` has those first that are silent longest, `sort=crashing` those with the most services that crash.
    """
    now = call.plane.now()

    def question(tx: Tx, seen: Visibility) -> tuple[list[Device], dict[str, list[Hold]]]:
        found = fleet_queries.devices(
            tx,
            seen,
            order=sort,
            limit=limit + 1,
            after=last(after),
            tags=tuple(tags or ()),
            trust=trust,
            liveness=liveness,
            conditions=tuple(condition or ()),
            held=held,
            now=now,
            text=text,
        )
        return found, fleet_queries.holds_for(tx, found)

    found, holds = await call.ask("devices", question, scope=within)
    return stretch(found, limit, lambda one: one.id, lambda one: answers.device(one, holds[one.id], now))


@get("/devices/{device_id:str}", opt={"permission": Permission.DEVICE_READ}, summary="A device")
async def one(call: Called, device_id: FromPath[str]) -> fleet.WholeDevice:
    """Answer with all that is known of a device."""
    wanted = _id(device_id)
    return await call.ask("device", lambda tx, seen: _whole(call, tx, fleet_queries.device(tx, wanted, seen)))


@patch("/devices/{device_id:str}", opt={"permission": Permission.DEVICE_MANAGE}, summary="Rename, tag or move a device")
async def describe(call: Called, device_id: FromPath[str], data: JSONBody[fleet.DeviceChange]) -> fleet.WholeDevice:
    """Change what people say of a device. Moving it takes the right at both places."""

    def places(tx: Tx, ident: str) -> Sequence[str]:
        here = scope(tx, ident)
        return here if data.scope is None else (*here, data.scope)

    def change(tx: Tx, act: Act) -> Device:
        return fleet_actions.describe(tx, act, DeviceId(device_id), data.name, data.tags, data.scope)

    return await _changed(call, "device.describe", device_id, places, change)


@post(
    "/devices/{device_id:str}/quarantine",
    opt={"permission": Permission.DEVICE_MANAGE},
    status_code=200,
    summary="Shut out",
)
async def quarantine(call: Called, device_id: FromPath[str], data: JSONBody[fleet.Reason]) -> fleet.WholeDevice:
    """Shut a device out from its next request on, until it is accepted again."""
    return await _moved(call, "device.quarantine", device_id, data.reason, fleet_actions.quarantine)


@post(
    "/devices/{device_id:str}/accept",
    opt={"permission": Permission.DEVICE_MANAGE},
    status_code=200,
    summary="Let in again",
)
async def accept(call: Called, device_id: FromPath[str], data: JSONBody[fleet.Reason]) -> fleet.WholeDevice:
    """End a quarantine."""
    return await _moved(call, "device.accept", device_id, data.reason, fleet_actions.accept)


@post(
    "/devices/{device_id:str}/retire", opt={"permission": Permission.DEVICE_MANAGE}, status_code=200, summary="Retire"
)
async def retire(call: Called, device_id: FromPath[str], data: JSONBody[fleet.Reason]) -> fleet.WholeDevice:
    """Take a device out of service for ever."""
    return await _moved(call, "device.retire", device_id, data.reason, fleet_actions.retire)


@get(
    "/devices/{device_id:str}/events",
    opt={"permission": Permission.DEVICE_READ},
    summary="What a device told, newest first",
)
async def events(
    call: Called, device_id: FromPath[str], attempt: Word = "", limit: Limit = USUAL, before: Before = ""
) -> api.Page[fleet.DeviceEvent]:
    """List the lines of a device's journals, of one attempt or of all."""
    wanted = _id(device_id)

    def question(tx: Tx, seen: Visibility) -> list[Line]:
        known = fleet_queries.device(tx, wanted, seen)
        return fleet_queries.lines(tx, known.id, attempt=attempt, limit=limit + 1, after=before, newest=True)

    return stretch(await call.ask("events", question), limit, fleet_queries.mark, answers.event)


@get("/devices/{device_id:str}/receipts", opt={"permission": Permission.DEVICE_READ}, summary="What a device signed")
async def receipts(
    call: Called, device_id: FromPath[str], attempt: Word = "", limit: Limit = USUAL, before: Digest = ""
) -> api.Page[fleet.Receipt]:
    """List a device's receipts, newest first; `before` is a digest."""
    wanted = _id(device_id)

    def question(tx: Tx, seen: Visibility) -> list[Kept]:
        known = fleet_queries.device(tx, wanted, seen)
        return fleet_queries.receipts(tx, known.id, attempt=attempt, limit=limit + 1, before=before)

    return stretch(await call.ask("receipts", question), limit, lambda one: one.digest, answers.receipt)


@get("/receipts/{digest:str}", opt={"permission": Permission.DEVICE_READ}, summary="A receipt's final bytes")
async def receipt(call: Called, digest: FromPath[str]) -> Response[bytes]:
    """Answer with the envelope that the device signed, as it came."""
    found = await call.ask("receipt", lambda tx, seen: fleet_queries.receipt(tx, digest, seen))
    return Response(found.envelope, media_type="application/json")


async def _moved(
    call: Call, action: str, device_id: str, reason: str, move: Callable[[Tx, Act, DeviceId, str], Device]
) -> fleet.WholeDevice:
    return await _changed(call, action, device_id, scope, lambda tx, act: move(tx, act, DeviceId(device_id), reason))


async def _changed(
    call: Call,
    action: str,
    device_id: str,
    places: Callable[[Tx, str], Sequence[str]],
    change: Callable[[Tx, Act], Device],
) -> fleet.WholeDevice:
    made = await call.act(
        action, named("device", device_id), Place(places, device_id), lambda tx, act: _whole(call, tx, change(tx, act))
    )
    await call.plane.presence.stir()  # after this answer the device is judged by what it says
    return made


def _whole(call: Call, tx: Tx, value: Device) -> fleet.WholeDevice:
    holds = fleet_queries.holds_for(tx, [value])[value.id]
    return answers.whole(value, fleet_queries.assignment(tx, value.id), holds, call.plane.now())


def _id(device_id: str) -> DeviceId:
    return DeviceId(device_id if well_formed(device_id) else NO_ID)


def scope(tx: Tx, device_id: str) -> Sequence[str]:
    """Return where the right to a device is judged; `NotFoundError`."""
    return (fleet_queries.device(tx, DeviceId(device_id)).scope,)


router = Router(
    "/",
    route_handlers=[listed, one, describe, quarantine, accept, retire, events, receipts, receipt],
    tags=["devices"],
)
