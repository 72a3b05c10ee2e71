# SPDX-License-Identifier: Apache-2.0
"""The API's own description (OpenAPI), made from its types: `/api/openapi.json`. There is no page for it."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme

from checkvalve.server.web import auth, calls, plane
from checkvalve.server.web.auth import SIGNED_IN


@get("/api/openapi.json", opt={"permission": SIGNED_IN}, include_in_schema=False)
async def description(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer with the description of every route of the API."""
    return Response(cast("Callable[[], bytes]", request.app.state.description)(), media_type="application/json")


def describe(routers: Sequence[Router], here: plane.Plane) -> bytes:
    """Return the description of `routers`, which must be of no application yet."""
    schemes: dict[str, SecurityScheme | Reference] = {
        "session": SecurityScheme(type="apiKey", name=auth.COOKIE, security_scheme_in="cookie"),
        "token": SecurityScheme(type="http", scheme="bearer"),
    }
    config = OpenAPIConfig(
        title="Checkvalve",
        version=here.version,
        components=Components(security_schemes=schemes),
        security=[{"session": []}, {"token": []}],
    )
    app = Litestar(list(routers), dependencies=calls.DEPENDENCIES, openapi_config=config, logging_config=None)
    return msgspec.json.encode(app.openapi_schema.to_schema())
