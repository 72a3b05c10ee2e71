# SPDX-License-Identifier: Apache-2.0
"""What anybody may ask: is the plane alive, is it ready, which one is it, which CA does it show."""

from typing import Any

from litestar import Request, Response, Router, get

from checkvalve.protocol import api
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.db.database import Tx
from checkvalve.server.web import plane
from checkvalve.server.web.auth import PUBLIC


@get("/api/v1/plane", opt={"permission": PUBLIC}, summary="Which plane is this")
async def about(request: Request[Any, Any, Any]) -> api.Plane:
    """Answer with name, version and the pin of the CA; compare the pin with one had by another way."""
    here = plane.of(request)
    return api.Plane(name=here.name, version=here.version, capability=CAPABILITY, ca_pin=here.ca_pin)


@get("/healthz", opt={"permission": PUBLIC}, summary="Alive")
async def alive() -> api.Health:
    """Answer if the process does."""
    return api.Health(status="alive")


@get("/readyz", opt={"permission": PUBLIC}, summary="Ready")
async def ready(request: Request[Any, Any, Any]) -> api.Health:
    """Answer if the database does; 503 if not."""
    await plane.of(request).db.read("ready", _nothing)
    return api.Health(status="ready")


@get("/ca.pem", opt={"permission": PUBLIC}, summary="The CA of this plane")
async def authority(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer with the CA's certificate; trust it only if its pin is the one you know."""
    return Response(plane.of(request).ca_pem, media_type="application/x-pem-file")


def _nothing(_: Tx) -> None:
    """Begin and end a transaction: that is what `ready` asks."""


router = Router("/", route_handlers=[about, alive, ready, authority], tags=["plane"])
