# SPDX-License-Identifier: Apache-2.0
"""One device: is something wrong with it, what runs here, what did it tell, and what can I do?

Who is let in counts from the device's next request: after each change the listeners' memory is told that it is old.
"""

from collections.abc import Callable, Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.ids import DeviceId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.web.calls import Call, Called, Place
from checkvalve.server.web.pages import device_view, frame, holds, invites
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

ONE = Page("device.html", "fleet", "device.title")
_MANAGE = {"permission": Permission.DEVICE_MANAGE}
_HOLD = {"permission": Permission.DEVICE_HOLD}


@get("/devices/{device_id:str}", opt={"permission": Permission.DEVICE_READ})
async def one(request: Asked, call: Called, device_id: FromPath[str]) -> Answer:
    """Answer with one device. `?before=` pages its journal, `?older=` its receipts, `?receipt=` opens one."""
    return await _one(request, call, device_id)


@post("/devices/{device_id:str}/describe", opt=_MANAGE)
async def describe(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """Change what people say of it: name, tags, place. Moving it takes the right at both places."""

    async def do(form: Mapping[str, str]) -> None:
        scope, wanted = form.get("place", ""), DeviceId(known(device_id))

        def places(tx: Tx, ident: str) -> Sequence[str]:
            return tuple(dict.fromkeys((*stands(tx, ident), *([scope] if scope else []))))

        def change(tx: Tx, act: Act) -> Device:
            tags = invites.tags(form.get("tags", ""))
            return fleet_actions.describe(tx, act, wanted, form.get("name", ""), tags, scope or None)

        await call.act("device.describe", f"device:{wanted}", Place(places, wanted), change)

    return await _change(request, call, device_id, "describe", do)


@post("/devices/{device_id:str}/quarantine", opt=_MANAGE)
async def quarantine(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """Shut it out from its next request on, until it is accepted again."""
    return await _move(request, call, device_id, "quarantine", fleet_actions.quarantine)


@post("/devices/{device_id:str}/accept", opt=_MANAGE)
async def accept(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """End its quarantine."""
    return await _move(request, call, device_id, "accept", fleet_actions.accept)


@post("/devices/{device_id:str}/retire", opt=_MANAGE)
async def retire(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """Take it out of service for ever; whoever does so types its name."""
    return await _move(request, call, device_id, "retire", fleet_actions.retire, typed=True)


@post("/devices/{device_id:str}/hold", opt=_HOLD)
async def hold(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """Hang a tag on it."""
    wanted = known(device_id)

    async def do(form: Mapping[str, str]) -> None:
        await holds.hang_one(call, form, "", wanted, Place(stands, wanted))

    return await _change(request, call, device_id, "hold", do)


@post("/devices/{device_id:str}/lift", opt=_HOLD)
async def lift(request: Asked, call: Called, device_id: FromPath[str]) -> Answer | Redirect:
    """Lift a tag that hangs for it, there or above it."""
    wanted = known((await frame.fields(request)).get("hold", ""))

    async def do(form: Mapping[str, str]) -> None:
        await holds.lift_one(call, wanted, form.get("reason", ""))

    return await _change(request, call, device_id, f"lift-{wanted}", do)


async def _one(request: Asked, call: Call, device_id: str, retry: Retry | None = None, tried: str = "") -> Answer:
    def look(view: View) -> Data:
        view.seen(Permission.DEVICE_READ)
        wanted = DeviceId(known(device_id))
        return device_view.whole(view, fleet_queries.device(view.tx, wanted, view.reach[Permission.DEVICE_READ]))

    return await frame.show(request, call, ONE, look, retry=retry, tried=tried)


async def _move(
    request: Asked,
    call: Call,
    device_id: str,
    name: str,
    move: Callable[[Tx, Act, DeviceId, str], Device],
    *,
    typed: bool = False,
) -> Answer | Redirect:
    wanted = DeviceId(known(device_id))

    async def do(form: Mapping[str, str]) -> None:
        def work(tx: Tx, act: Act) -> Device:
            if typed:
                named(fleet_queries.device(tx, wanted), form.get("typed", ""))
            return move(tx, act, wanted, form.get("reason", ""))

        await call.act(f"device.{name}", f"device:{wanted}", Place(stands, wanted), work)

    return await _change(request, call, device_id, name, do)


async def _change(
    request: Asked, call: Call, device_id: str, name: str, do: Callable[[Mapping[str, str]], object]
) -> Answer | Redirect:
    answer = await frame.change(
        request, do, lambda retry: _one(request, call, device_id, retry, name), f"/devices/{known(device_id)}"
    )
    await call.plane.presence.stir()  # after this answer the device is judged by what it says
    return answer


def named(device: Device, typed: str) -> None:
    """Refuse what was not meant for this device, so that nobody retires or reboots the one beside it.

    Raises `InvalidError` (`device.not_named`).
    """
    if lines.folded(lines.tidy(typed, len(device.name))) != lines.folded(device.name):
        raise InvalidError(
            "device.not_named",
            "The name that was typed is not that of this device.",
            "Type the device's name as the page shows it.",
        )


def stands(tx: Tx, device_id: str) -> Sequence[str]:
    """Return where the right to a device is judged; `NotFoundError`."""
    return (fleet_queries.device(tx, DeviceId(device_id)).scope,)


handlers = [one, describe, quarantine, accept, retire, hold, lift]
