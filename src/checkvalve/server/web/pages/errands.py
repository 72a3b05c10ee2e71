# SPDX-License-Identifier: Apache-2.0
"""Small orders: all of them, one of them, followed while it waits, and the forms that give and cancel one.

A device that waits hears of it at once: after each change the listeners' memory is told that it is old.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream
from litestar.status_codes import HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, NotFoundError, UnavailableError
from checkvalve.ids import DeviceId, ErrandId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import Errand, Kind, State, Wanted
from checkvalve.server.errands.rights import RIGHT
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place, named
from checkvalve.server.web.pages import devices, errand_asking, errand_text, errand_view, following, frame
from checkvalve.server.web.pages.errand_text import Tail
from checkvalve.server.web.pages.following import Followed
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly, size
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("errands.html", "fleet", "errands.title")
ONE = Page("errand.html", "fleet", "errands.title")
NEW = Page("errand_new.html", "fleet", "errands.title")
SHOWN = 50
_READ = {"permission": Permission.DEVICE_READ}
SHOW: dict[str, tuple[State, ...]] = {
    "all": (),
    "waiting": (State.WAITING,),
    "missed": (State.REFUSED, State.FAILED, State.LOST),
    "done": (State.DONE,),
    "cancelled": (State.CANCELLED,),
}


@get(["/errands", "/errands.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with small orders, the newest first. `?show=` narrows them, `?device=` too; `?before=` pages them."""
    return await frame.show(request, call, LIST, look)


@get("/errands/{errand_id:str}", opt=_READ)
async def one(request: Asked, call: Called, errand_id: FromPath[str]) -> Answer:
    """Answer with one small order, and with what it brought if that is text."""
    return await _one(request, call, errand_id)


@get("/errands/{errand_id:str}/events", opt={**_READ, "watches": True})
async def events(request: Asked, call: Called, errand_id: FromPath[str]) -> Stream:
    """Answer with what changes of the page, as it changes; `?known=` says which parts the page has."""
    return await following.stream(request, call, FOLLOWED, errand_id)


@post("/errands/{errand_id:str}/cancel", opt=_READ)
async def cancel(request: Asked, call: Called, errand_id: FromPath[str]) -> Answer | Redirect:
    """Take back one that waits; it takes the right to order one of its kind."""
    wanted = ErrandId(known(errand_id))

    async def do(form: Mapping[str, str]) -> None:
        kind = await call.read("errand.kind", lambda tx: _kind(tx, wanted))
        why = form.get("why", "")
        await replace(call, permission=RIGHT[kind]).act(
            "errand.cancel",
            named("errand", wanted),
            Place(_scope, wanted),
            lambda tx, act: errand_actions.cancel(tx, act, wanted, why),
            reason=why,
        )

    answer = await frame.change(
        request, do, lambda retry: _one(request, call, errand_id, retry, "cancel"), f"/errands/{wanted}"
    )
    await call.plane.presence.stir()
    return answer


def _ask(kind: Kind) -> HTTPRouteHandler:
    path = f"/devices/{{device_id:str}}/{kind}"

    @get([path, f"{path}.json"], opt=_READ)
    async def ask(request: Asked, call: Called, device_id: FromPath[str]) -> Answer:
        """Answer with the form that orders one."""
        return await _form(request, call, device_id, kind)

    return ask


def _order(kind: Kind) -> HTTPRouteHandler:
    @post(f"/devices/{{device_id:str}}/{kind}", opt={"permission": RIGHT[kind]})
    async def order(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
        """Order one, and go on to its page; of one that waits already, to that."""
        form, wanted, made_id = await frame.fields(request), DeviceId(known(device_id)), call.plane.new_id()

        def work(tx: Tx, act: Act) -> Errand:
            device = fleet_queries.device(tx, wanted)
            if kind is Kind.REBOOT:
                devices.named(device, form.get("typed", ""))
            return errand_actions.order(tx, act, errand_asking.asked(form, made_id, device, kind))

        try:
            where, why = Place(devices.stands, wanted), form.get("why", "")
            made = await call.act("errand.order", f"device:{wanted}", where, work, reason=why)
        except UnavailableError:
            raise
        except CheckvalveError as error:
            return await _form(request, call, device_id, kind, Retry(error, form))
        await call.plane.presence.stir()
        return Redirect(f"/errands/{made.id}", status_code=HTTP_303_SEE_OTHER)

    return order


def look(view: View) -> Data:
    """Return the list's data."""
    seen, query = view.seen(Permission.DEVICE_READ), view.query
    show = query.get("show", "") if query.get("show", "") in SHOW else "all"
    wanted, device = Wanted(states=SHOW[show]), _of_device(view)
    if device is not None:
        wanted["device"] = device.id
    before = known(query["before"]) if query.get("before") else ""
    found = errand_queries.errands(view.tx, seen, limit=SHOWN + 1, before=before, **wanted)
    page, more = found[:SHOWN], len(found) > SHOWN
    theirs, name = errand_view.devices(view, page), plainly(device.name) if device else ""
    asked = {"device": device.id if device else "", "show": "" if show == "all" else show}
    return {
        "sentence": _sentence(show, page, more=more),
        "detail": texts.say("errands.detail_device", name=name) if device else texts.say("errands.detail"),
        "device": {"name": name, "href": view.link(f"/devices/{device.id}")} if device else None,
        "show": [_chip(view, each, show, asked["device"]) for each in SHOW],
        "narrowed": show != "all",
        "command": texts.say("errands.command", name=name or "DEVICE"),
        "items": [errand_view.row(view, one, theirs.get(one.device)) for one in page],
        "older_href": view.link("/errands", **asked, before=page[-1].id) if more else "",
        "newest_href": view.link("/errands", **asked) if before else "",
    }


def _of_device(view: View) -> Device | None:
    asked = view.query.get("device", "")
    return fleet_queries.device(view.tx, DeviceId(known(asked)), view.reach[Permission.DEVICE_READ]) if asked else None


def _sentence(show: str, page: Sequence[Errand], *, more: bool) -> str:
    if not page:
        return texts.say("errands.sentence_none" if show == "all" else "errands.sentence_none_so")
    if show != "all":
        number = len(page)
        return texts.say("errands.sentence_so_more", n=number) if more else texts.count("errands.sentence_so", number)
    waiting = sum(one.state is State.WAITING for one in page)
    return texts.count("errands.sentence_waiting", waiting) if waiting else texts.say("errands.sentence_over")


def _chip(view: View, each: str, show: str, device: str) -> Data:
    href = view.link("/errands", device=device, show="" if each == "all" else each)
    return {"label": texts.say(f"errands.show_{each}"), "href": href, "current": each == show}


async def _one(request: Asked, call: Call, errand_id: str, retry: Retry | None = None, tried: str = "") -> Answer:
    def look_at(view: View) -> Data:
        data, _ = _followed(view, errand_id)
        return {**data, "events": following.address(view, FOLLOWED, data)}

    return await frame.show(request, call, ONE, look_at, retry=retry, beside=_beside, tried=tried)


async def _form(request: Asked, call: Call, device_id: str, kind: Kind, retry: Retry | None = None) -> Answer:
    def look_at(view: View) -> Data:
        view.seen(Permission.DEVICE_READ)
        wanted = DeviceId(known(device_id))
        device = fleet_queries.device(view.tx, wanted, view.reach[Permission.DEVICE_READ])
        return errand_asking.form(view, device, kind)

    return await frame.show(request, call, NEW, look_at, retry=retry)


def _followed(view: View, errand_id: str) -> tuple[Data, bool]:
    found = errand_queries.errand(view.tx, ErrandId(known(errand_id)), view.seen(Permission.DEVICE_READ))
    data = errand_view.whole(view, found)
    return data, found.state is State.WAITING


async def _beside(call: Call, data: Data) -> Data:
    """Return the logs that one brought, as far as they are shown; `said` is what there is to say of them."""
    digest = str(data["text"])
    if not digest:
        return {"logs": "", "said": ""}
    try:
        found = await asyncio.to_thread(errand_text.tail, call.plane.blobs, digest)
    except CheckvalveError as error:
        return {"logs": "", "said": f"{error.sentence} {error.remedy}".strip()}
    return {"logs": found.text, "said": _told(found)}


def _told(found: Tail) -> str:
    if not found.text:
        return texts.say("errand.content_empty")
    if not found.cut:
        return ""
    return texts.say("errand.content_cut", size=size(errand_text.SHOWN))


def _kind(tx: Tx, wanted: ErrandId) -> Kind:
    """Return the kind of an errand; of one that is not there, any: that is told where the right is judged."""
    try:
        return errand_queries.errand(tx, wanted).kind
    except NotFoundError:
        return Kind.LOGS


def _scope(tx: Tx, errand_id: str) -> Sequence[str]:
    """Return where the right to an errand is judged: where its device stands now; `NotFoundError`."""
    return (fleet_queries.device(tx, errand_queries.errand(tx, ErrandId(errand_id)).device).scope,)


FOLLOWED = Followed("errand", errand_view.PARTS, _followed, beside=_beside)
handlers = [listed, one, events, cancel, *(make(kind) for kind in Kind for make in (_ask, _order))]
