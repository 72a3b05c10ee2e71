# SPDX-License-Identifier: Apache-2.0
"""Small orders to single devices and what came of them: `/api/v1/devices/{id}/errands`, `/api/v1/errands`.

Which right a small order takes goes by its kind (`errands.rights`): the routes declare that of logs, and each judges
the other one where it is about a restart or a reboot. A device that waits here hears of an order at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId, ErrandId, well_formed
from checkvalve.protocol import api
from checkvalve.protocol import errands as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import brought
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import Asked, Errand, Kind, State, Wanted
from checkvalve.server.errands.rights import RIGHT
from checkvalve.server.web import calls, contents
from checkvalve.server.web.api import devices
from checkvalve.server.web.api import errand_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, named

States = Annotated[
    list[State] | None, QueryParameter(name="state", description="In this state only; several: in one of them.")
]
Which = Annotated[str, QueryParameter(name="device", max_length=100, pattern=api.TEXT, description="To this device.")]


@post("/devices/{device_id:str}/errands", opt={"permission": Permission.DEVICE_LOGS}, summary="Order something small")
async def order(call: Called, device_id: FromPath[str], data: JSONBody[forms.NewErrand]) -> forms.Errand:
    """Order logs, a restart, a support bundle or a reboot. What waits already is answered as it stands."""
    asked = Asked(
        id=ErrandId(call.plane.new_id()),
        device=DeviceId(device_id),
        kind=Kind(data.kind),
        service=data.service,
        since=data.since,
        lines=data.lines,
        why=data.why,
        within=None if data.minutes is None else timedelta(minutes=data.minutes),
    )
    made = await replace(call, permission=RIGHT[asked.kind]).act(
        "errand.order",
        named("device", device_id),
        Place(devices.scope, device_id),
        lambda tx, act: errand_actions.order(tx, act, asked),
        reason=data.why,
    )
    await call.plane.presence.stir()
    return answers.errand(made)


@get("/errands", opt={"permission": Permission.DEVICE_READ}, summary="Small orders, newest first")
async def listed(
    call: Called,
    *,
    within: Within = ROOT,
    device: Which = "",
    states: States = None,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[forms.Errand]:
    """List small orders, of one device or of all, in some states or in all."""
    wanted = Wanted()
    if device:
        wanted["device"] = _device(device)
    if states:
        wanted["states"] = tuple(states)
    found = await call.ask(
        "errands",
        lambda tx, seen: errand_queries.errands(tx, seen, limit=limit + 1, before=last(before), **wanted),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.errand)


@get("/errands/{errand_id:str}", opt={"permission": Permission.DEVICE_READ}, summary="A small order")
async def one(call: Called, errand_id: FromPath[str]) -> forms.Errand:
    """Answer with a small order and what came of it."""
    wanted = _id(errand_id)
    return answers.errand(await call.ask("errand", lambda tx, seen: errand_queries.errand(tx, wanted, seen)))


@post(
    "/errands/{errand_id:str}/cancel",
    opt={"permission": Permission.DEVICE_LOGS},
    status_code=200,
    summary="Take a small order back",
)
async def cancel(call: Called, errand_id: FromPath[str], data: JSONBody[forms.Cancelling]) -> forms.Errand:
    """Take back what waits. A device that was given it may do it all the same, and then that counts."""
    kind = await call.read("errand.kind", lambda tx: _kind(tx, errand_id))
    cancelled = await replace(call, permission=RIGHT[kind]).act(
        "errand.cancel",
        named("errand", errand_id),
        Place(_scope, errand_id),
        lambda tx, act: errand_actions.cancel(tx, act, ErrandId(errand_id), data.why),
        reason=data.why,
    )
    await call.plane.presence.stir()
    return answers.errand(cancelled)


@get("/errands/{errand_id:str}/content", opt={"permission": Permission.DEVICE_LOGS}, summary="What one brought")
async def content(call: Called, errand_id: FromPath[str]) -> Stream:
    """Answer with the logs as text, or with the support bundle."""
    wanted = _id(errand_id)
    found = await call.ask("errand.content", lambda tx, seen: _readable(call, tx, wanted, seen))
    digest, blobs = brought.digest(found, call.plane.now()), call.plane.blobs
    logs = found.kind is Kind.LOGS
    size = await asyncio.to_thread(partial(contents.size, blobs, digest, unpacked=logs))
    return Stream(
        contents.read(blobs, digest, unpacked=logs),
        media_type="text/plain" if logs else "application/gzip",
        headers={
            "content-length": str(size),
            "content-disposition": f'attachment; filename="{answers.file(found)}"',
            "x-content-type-options": "nosniff",
        },
    )


def _readable(call: Call, tx: Tx, wanted: ErrandId, seen: Visibility) -> Errand:
    """Return an errand whose content may be read; who may see the errand only is told so."""
    try:
        return errand_queries.errand(tx, wanted, seen)
    except NotFoundError:
        elsewhere = call.reach(tx).get(Permission.DEVICE_READ, Visibility(()))
        errand_queries.errand(tx, wanted, elsewhere)
        raise calls.denied((f"No role here holds {Permission.DEVICE_LOGS}.",)) from None


def _kind(tx: Tx, errand_id: str) -> Kind:
    """Return the kind of an errand; of one that is not there, any: that is told where the right is judged."""
    try:
        return errand_queries.errand(tx, _id(errand_id)).kind
    except NotFoundError:
        return Kind.LOGS


def _scope(tx: Tx, errand_id: str) -> Sequence[str]:
    """Return where the right to an errand is judged: where its device stands now; `NotFoundError`."""
    return devices.scope(tx, errand_queries.errand(tx, ErrandId(errand_id)).device)


def _id(errand_id: str) -> ErrandId:
    return ErrandId(errand_id if well_formed(errand_id) else NO_ID)


def _device(device_id: str) -> DeviceId:
    return DeviceId(device_id if well_formed(device_id) else NO_ID)


router = Router("/", route_handlers=[order, listed, one, cancel, content], tags=["errands"])
