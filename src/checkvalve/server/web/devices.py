# SPDX-License-Identifier: Apache-2.0
"""The devices' application.

Whoever has no client certificate may read which plane this is and what time it has, join, and renew; nothing else.
"""

from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from checkvalve.crypto import certificates
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError
from checkvalve.protocol import api, enrol
from checkvalve.protocol.enrol import Joined, Renewed
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Actor
from checkvalve.server.exchange import fetching, filling, joining
from checkvalve.server.exchange.ground import STRANGER, Ground
from checkvalve.server.web import calls, device_content, device_files, exchange, peers, plane, problems
from checkvalve.server.web.device_content import DeviceContent
from checkvalve.server.web.device_door import Bare, DeviceDoor
from checkvalve.server.web.device_files import DeviceFiles
from checkvalve.server.web.door import Door
from checkvalve.server.web.exchange import Exchange
from checkvalve.server.web.joins import Joins
from checkvalve.server.web.peers import Peer, Peers
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.stamp import Stamp

LARGEST_BODY = 1 << 20  # bytes

Asked = Request[Any, Any, Any]


@get("/v1/plane")
async def about(request: Asked) -> api.DevicePlane:
    """Answer with the plane's name, clock, authority and pin."""
    here = plane.of(request)
    return api.DevicePlane(
        name=here.name,
        version=here.version,
        capability=CAPABILITY,
        ca_pin=here.ca_pin,
        time=rfc3339(here.now()),
        ca=here.ca_pem.decode(),
        orders=certificates.to_pem(here.orders.certificate).decode(),
    )


@get("/v1/time", status_code=204)
async def moment() -> None:
    """Answer with nothing but the header that every answer has: the signed time."""


@get("/v1/whoami")
async def who_am_i(request: Asked) -> api.WhoAmI:
    """Answer with what the plane sees of this connection's certificate; TLS has checked its issuer, not its time."""
    here = plane.of(request)
    peer = _known(request).of(request.scope)
    return api.WhoAmI(
        device=peer.device,
        not_before=rfc3339(peer.begins_at),
        not_after=rfc3339(peer.ends_at),
        valid=peer.begins_at <= here.now() <= peer.ends_at,
    )


@post("/v1/join", request_max_body_size=enrol.LARGEST)
async def join(request: Asked) -> Joined:
    """Let a device in whose token holds, and give it all that it keeps of this plane."""
    here, data = plane.of(request), await request.body()  # before a place is taken: a slow body holds up nobody
    with _joins(request).turn():
        asked = joining.asked(data)
        ground = _ground(request)
        try:
            await here.db.read("device.join", joining.ready, ground, asked)
            return await here.db.write("device.join", joining.join, ground, asked)
        except (ForbiddenError, ConflictError) as error:
            await _record(request, ground, "device.join", joining.stranger(asked), error)
            raise


@post("/v1/renew", request_max_body_size=enrol.LARGEST, status_code=HTTP_200_OK)
async def renew(request: Asked) -> Renewed:
    """Issue the next certificate to a device that proves its key, whatever became of the one it had."""
    here, data = plane.of(request), await request.body()
    with _joins(request).turn():
        ground = _ground(request)
        asked = joining.renewing(ground, data)
        try:
            done = await here.db.write("device.renew", joining.renew, ground, asked)
        except ForbiddenError as error:
            await _record(request, ground, "device.renew", STRANGER, error)
            raise
    if isinstance(done, ForbiddenError):  # it was found to be a copy: what held polls there are, end
        await here.presence.stir()
        raise done
    return done


@get("/v1/metadata/{name:str}")
async def metadata(request: Asked, name: FromPath[str]) -> Response[bytes]:
    """Answer with a file of metadata."""
    await _admitted(request)
    data = await plane.of(request).db.read("device.metadata", fetching.file, name)
    return Response(data, media_type="application/json")


@get("/v1/releases/{digest:str}")
async def release(request: Asked, digest: FromPath[str]) -> Response[bytes]:
    """Answer with the manifest of the release that the device is assigned."""
    peer = await _admitted(request)
    data = await plane.of(request).db.read("device.release", fetching.manifest, peer.device, digest)
    return Response(data, media_type="application/json")


@get("/v1/values/{digest:str}")
async def values(request: Asked, digest: FromPath[str]) -> Response[bytes]:
    """Answer with what fills a release on this device: `sha256:` and 64 hex digits, as its orders name it."""
    peer = await _admitted(request)
    data = await plane.of(request).db.read("device.values", filling.document, peer.device, digest)
    return Response(data, media_type="application/json")


HANDLERS = (about, moment, who_am_i, join, renew, metadata, release, values)


def app(here: Plane) -> DeviceDoor:
    """Return the ASGI application of the devices' listener. Devices come by any address, so no name is asked for."""
    known, stamp = Peers(), Stamp(here.orders.key, here.now)
    application = Litestar(
        HANDLERS,
        exception_handlers={Exception: problems.answer},
        request_max_body_size=LARGEST_BODY,
        state=State({"plane": here, "peers": known, "joins": Joins()}),
        openapi_config=None,
        logging_config=None,
    )
    bare: dict[str, Bare] = {
        exchange.PATH: Exchange(here, known, stamp),
        device_files.PATH: DeviceFiles(here, known, stamp),
        device_content.PATH: DeviceContent(here, known, stamp),
    }
    return DeviceDoor(here, stamp, bare, Door(application, here, frozenset()))


async def _admitted(request: Asked) -> Peer:
    peer = _known(request).of(request.scope)
    await peers.admitted(plane.of(request), peer)
    return peer


async def _record(request: Asked, ground: Ground, action: str, actor: Actor, error: CheckvalveError) -> None:
    if _joins(request).recordable():
        act = ground.act(actor)
        await plane.of(request).db.write("refuse", audit_actions.refuse, act, action, "device:?", ROOT, error)


def _ground(request: Asked) -> Ground:
    here = plane.of(request)
    return Ground(
        plane=here.name,
        authority=here.authority,
        orders=here.orders,
        now=here.now(),
        new_id=here.new_id,
        entropy=here.entropy,
        values=here.values,
        request=problems.request_id(request.scope),
        address=str(calls.address(request) or ""),
    )


def _known(request: Asked) -> Peers:
    known: Peers = request.app.state.peers
    return known


def _joins(request: Asked) -> Joins:
    joins: Joins = request.app.state.joins
    return joins
