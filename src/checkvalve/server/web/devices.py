# SPDX-License-Identifier: Apache-2.0
"""The devices' application. Whoever has no client certificate may read which plane this is, and nothing else."""

from typing import Any

from litestar import Litestar, Request, get
from litestar.datastructures import State

from checkvalve.crypto import certificates
from checkvalve.errors import InvalidError, UnauthenticatedError
from checkvalve.protocol import api
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.web import plane, problems
from checkvalve.server.web.door import Door
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.protocols import peer_certificate

LARGEST_BODY = 1 << 20  # bytes


@get("/v1/plane")
async def about(request: Request[Any, Any, Any]) -> api.DevicePlane:
    """Answer with the plane's name, pin and clock."""
    here = plane.of(request)
    return api.DevicePlane(
        name=here.name, version=here.version, capability=CAPABILITY, ca_pin=here.ca_pin, time=rfc3339(here.now())
    )


@get("/v1/whoami")
async def who_am_i(request: Request[Any, Any, Any]) -> api.WhoAmI:
    """Answer with what the plane sees of this connection's certificate; TLS has checked its issuer, not its time."""
    here = plane.of(request)
    certificate = peer_certificate(request.scope)
    if certificate is None:
        raise UnauthenticatedError(
            "device.no_certificate", "This connection shows no client certificate.", "Connect with the device's own."
        )
    try:
        device = certificates.device_id(certificate)
        not_before, not_after = certificates.validity(certificate)
    except InvalidError as error:
        raise UnauthenticatedError(error.code, error.sentence, error.remedy) from error
    return api.WhoAmI(
        device=device,
        not_before=rfc3339(not_before),
        not_after=rfc3339(not_after),
        valid=not_before <= here.now() <= not_after,
    )


def app(here: Plane) -> Door:
    """Return the ASGI application of the devices' listener. Devices come by any address, so no name is asked for."""
    handlers = [about, who_am_i]
    application = Litestar(
        handlers,
        exception_handlers={Exception: problems.answer},
        request_max_body_size=LARGEST_BODY,
        state=State({"plane": here}),
        openapi_config=None,
        logging_config=None,
    )
    return Door(application, here, frozenset())
