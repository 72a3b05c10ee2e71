# SPDX-License-Identifier: Apache-2.0
"""The outermost layer of the devices' application: the signed time on every answer, and the short ways past the rest.

What a device asks each minute, and what it fetches by the gigabyte, are bare ASGI applications: no framework between,
and no header that only a browser reads. A refusal of theirs is a problem document all the same (RFC 9457).
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from checkvalve.protocol.problem import MEDIA_TYPE
from checkvalve.server.web import problems
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.stamp import Stamp

Bare = Callable[[HTTPScope, Receive, Send], Awaitable[None]]

# After these the connection has no more to say: its certificate is not taken, or its request will not be read whole.
# After others the rest of a request is read and forgotten: who is hung up on while it sends may not see the answer.
_CLOSING = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.LENGTH_REQUIRED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    }
)


class DeviceDoor:
    """Sends a request to the bare application whose path it begins with, and every other one to `rest`."""

    def __init__(self, plane: Plane, stamp: Stamp, bare: Mapping[str, Bare], rest: ASGIApp) -> None:
        self._plane = plane
        self._stamp = stamp
        self._bare = tuple(bare.items())
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if str(scope["type"]) == "http":
            path = scope["path"]
            for beginning, bare in self._bare:
                if path.startswith(beginning):
                    await self._through(bare, cast("HTTPScope", scope), receive, send)
                    return
        await self._rest(scope, receive, self._stamped(send))

    async def _through(self, bare: Bare, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await bare(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the last handler there is: nothing leaves without a form
            await self._refuse(error, scope, None if started else send)

    async def _refuse(self, error: Exception, scope: HTTPScope, send: Send | None) -> None:
        request = self._plane.new_id()
        cast("dict[str, Any]", scope)[problems.REQUEST] = request
        problem = problems.of(error, request)
        problems.note(error, problem, scope)
        if send is None:
            return  # the server closes a connection whose answer was broken off
        body = msgspec.json.encode(problem)
        head = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        head += [(name.lower().encode(), value.encode()) for name, value in problems.headers(error).items()]
        if isinstance(error, HTTPException):
            head += [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
        if problem.status in _CLOSING:
            head.append((b"connection", b"close"))
        head += [(b"x-request-id", request.encode()), self._stamp.header()]
        await send(cast("Message", {"type": "http.response.start", "status": problem.status, "headers": head}))
        await send(cast("Message", {"type": "http.response.body", "body": body, "more_body": False}))

    def _stamped(self, send: Send) -> Send:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._stamp.header()]
            await send(message)

        return stamped
