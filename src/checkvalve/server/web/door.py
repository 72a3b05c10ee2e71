# SPDX-License-Identifier: Apache-2.0
"""The outermost layer of each face: an id for every request, the headers every answer has, no answer without a form.

The names the plane goes by are checked here (DNS rebinding: a page of another site that resolves to this address would
otherwise talk to the plane in its visitor's browser).
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from checkvalve.protocol.problem import MEDIA_TYPE
from checkvalve.server.web import problems
from checkvalve.server.web.plane import Plane

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": CONTENT_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"strict-transport-security": b"max-age=63072000",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-embedder-policy": b"require-corp",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), usb=()",
    # What may be kept says so itself: static files do.
    b"cache-control": b"no-store",
}

# A balancer asks these by address, and they tell nothing.
_WITHOUT_HOST = frozenset({"/healthz", "/readyz"})


class Door:
    """Wraps an application. `hosts` empty: whatever name the client used, its certificate is what counts."""

    def __init__(self, app: ASGIApp, plane: Plane, hosts: Collection[str]) -> None:
        self._app = app
        self._plane = plane
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        kind = str(scope["type"])
        if kind == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no WebSockets here."})
            return
        if kind != "http":
            await self._app(scope, receive, send)
            return
        bodiless = scope.get("method") == "HEAD"
        if bodiless:  # the answer is that to GET without its body (RFC 9110, 9.3.2); the server's own scope stays
            scope = cast("Scope", {**scope, "method": "GET"})
        request = self._plane.new_id()
        cast("dict[str, Any]", scope)[problems.REQUEST] = request
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = list(message["headers"])
                names = {name.lower() for name, _ in given}
                given += [(name, value) for name, value in HEADERS.items() if name not in names]
                message["headers"] = [*given, (b"x-request-id", request.encode())]
            elif bodiless and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the last handler there is: nothing leaves without a form
            problem = problems.of(error, request)
            problems.note(error, problem, scope)
            if not started:
                body = msgspec.json.encode(problem)
                head = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
                head += [(name.lower().encode(), value.encode()) for name, value in problems.headers(error).items()]
                await answer({"type": "http.response.start", "status": problem.status, "headers": head})
                await answer({"type": "http.response.body", "body": body, "more_body": False})

    def _admit(self, scope: Scope) -> None:
        if not self._hosts or scope["path"] in _WITHOUT_HOST:
            return
        said = [value.decode("latin-1").lower() for name, value in scope["headers"] if name.lower() == b"host"]
        if len(said) != 1 or said[0] not in self._hosts:
            raise HTTPException(status_code=421)
