# SPDX-License-Identifier: Apache-2.0
"""Tags: what is held back, by whom and why? Hanging one at a place, lifting one, and those that were lifted.

A device that waits hears of it at once: after each change the listeners' memory is told that it is old.
"""

from collections.abc import Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import DeviceId, HoldId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device, Hold
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place, in_scope
from checkvalve.server.web.pages import fleet_view, frame, hold_view, render
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known, when

PAGE = Page("holds.html", "fleet", "holds.title")
SHOWN, TOLD, LOCAL = 100, 20, 20
_HOLD = {"permission": Permission.DEVICE_HOLD}


@get(["/holds", "/holds.json"], opt={"permission": Permission.DEVICE_READ})
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with the tags that hang for what one may see. `?before=` pages those that were lifted."""
    return await _show(request, call)


@post("/holds", opt=_HOLD)
async def hang(request: Asked, call: Called) -> Answer | Redirect:
    """Hang a tag at a place."""

    async def do(form: Mapping[str, str]) -> None:
        await hang_one(call, form, form.get("place", ""), None, in_scope(form.get("place", "")))

    return await _change(request, call, "hang", do)


@post("/holds/{hold_id:str}/lift", opt=_HOLD)
async def lift(request: Asked, call: Called, hold_id: FromPath[str]) -> Answer | Redirect:
    """Lift a tag."""
    wanted = known(hold_id)

    async def do(form: Mapping[str, str]) -> None:
        await lift_one(call, wanted, form.get("reason", ""))

    return await _change(request, call, f"lift-{wanted}", do)


async def hang_one(call: Call, form: Mapping[str, str], scope: str, device: str | None, place: Place) -> None:
    """Hang the tag that a form asks for. Raises what `fleet.actions.hang` does."""
    made = HoldId(call.plane.new_id())
    asked = Hold(
        id=made,
        scope=scope,
        device=None if device is None else DeviceId(device),
        name=form.get("name", "") or call.caller.person.name,
        reason=form.get("reason", ""),
        number=form.get("number", ""),
        made_by=call.caller.person.id,
        made_at=call.plane.now(),
    )

    def do(tx: Tx, act: Act) -> Hold:
        return fleet_actions.hang(tx, act, asked)

    await call.act("hold.hang", f"hold:{made}", place, do)


async def lift_one(call: Call, hold: str, why: str) -> None:
    """Lift a tag. Raises what `fleet.actions.lift` does."""

    def do(tx: Tx, act: Act) -> Hold:
        return fleet_actions.lift(tx, act, HoldId(hold), why)

    await call.act("hold.lift", f"hold:{hold}", Place(_scope, hold), do)


def look(view: View) -> Data:
    """Return the page's data."""
    seen = view.seen(Permission.DEVICE_READ)
    hanging = fleet_queries.holds(view.tx, seen, limit=SHOWN)
    before = known(view.query["before"]) if view.query.get("before") else ""
    lifted = fleet_queries.holds(view.tx, seen, lifted=True, limit=TOLD + 1, before=before)
    locked = fleet_queries.devices(view.tx, seen, locked=True, retired=False, limit=LOCAL)
    number, waiting = len(hanging), hold_view.unaware(view, hanging)
    return {
        "sentence": texts.count("holds.sentence", number) if number else texts.say("holds.sentence_none"),
        "detail": texts.say("holds.detail"),
        "items": [hold_view.row(view, one, waiting) for one in hanging],
        "locked": [_locked(view, one) for one in locked],
        "history": [hold_view.row(view, one, {}) for one in lifted[:TOLD]],
        "older_href": view.link("/holds", before=lifted[TOLD - 1].id) + "#history" if len(lifted) > TOLD else "",
        "newest_href": view.link("/holds") + "#history" if before else "",
        "places": _places(view),
        "name": view.call.caller.person.name,
    }


async def _show(request: Asked, call: Call, retry: Retry | None = None, tried: str = "") -> Answer:
    return await frame.show(request, call, PAGE, look, retry=retry, tried=tried)


async def _change(request: Asked, call: Call, name: str, do: object) -> Answer | Redirect:
    scope = request.query_params.get("scope", "")
    answer = await frame.change(
        request,
        do,  # type: ignore[arg-type]
        lambda retry: _show(request, call, retry, name),
        render.link("/holds", scope=scope),
    )
    await call.plane.presence.stir()
    return answer


def _locked(view: View, device: Device) -> Data:
    tags = hold_view.own(device)
    said = "; ".join(texts.say("hold.by", name=tag["name"], reason=tag["reason"]) for tag in tags)
    return {
        "id": device.id,
        "name": plainly(device.name),
        "where": view.where(device.scope),
        "says": said[: fleet_view.REASON],
        "seen_at": when(device.seen_at),
        "href": view.link(f"/devices/{device.id}") + "#tags",
    }


def _places(view: View) -> list[Data]:
    return [{"value": one.path, "label": view.where(one.path)} for one in view.places(Permission.DEVICE_HOLD)]


def _scope(tx: Tx, hold_id: str) -> Sequence[str]:
    return (fleet_queries.hold(tx, HoldId(hold_id)).scope,)


handlers = [listed, hang, lift]
