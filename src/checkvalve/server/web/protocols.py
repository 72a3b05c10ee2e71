# SPDX-License-Identifier: Apache-2.0
"""uvicorn's HTTP and WebSocket protocols with three things more.

1. The scope, of WebSockets too, carries the client certificate of the connection: `peer_certificate` reads it.
2. A request has a time for its head and a pace for its body, so that slow clients cannot pile up connections (uvicorn
   limits neither), and a head has a largest size.
3. The listener can wait until its last connection is gone.
"""

import asyncio
import ssl
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

PEER = "checkvalve.peer"

_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"  # RFC 6585, 5
)


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """Return the DER certificate the client proved it has the key of; its issuer is checked, its time is not."""
    peer = scope.get("extensions", {}).get(PEER, {})
    return cast("bytes | None", peer.get("certificate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one listener takes. Times are in seconds, sizes in bytes."""

    handshakes: int = 256
    """Handshakes at once; further connections wait in the kernel's queue."""
    connections: int = 12_000
    descriptor_share: float = 0.9
    """The part of RLIMIT_NOFILE after which new connections are refused."""
    backlog: int = 1024
    handshake_time: float = 5.0
    close_time: float = 5.0
    """How long a closing connection waits for the other end's goodbye (TLS close_notify)."""
    head_time: float = 15.0
    """From the first byte of a request (or the handshake) to the end of its headers."""
    head_size: int = 65_536
    """Of the headers, not counting the first read."""
    body_time: float = 30.0
    body_pace: int = 1024
    """Bytes of body that must come in every `body_time` in which the application is ready to take them."""
    idle_time: int = 75
    """Between two requests of one connection: longer than a poll is held, so that a device keeps its connection."""
    message_size: int = 1 << 20
    """Of one WebSocket message."""


@dataclass(slots=True)
class Counts:
    """What one listener has met since it started."""

    accepted: int = 0
    refused: int = 0
    """Closed unanswered: too many connections or descriptors."""
    failed_handshakes: int = 0
    late_handshakes: int = 0
    slow_requests: int = 0
    """Cut off for a head or a body that came too slowly."""


class State(ServerState):
    """What the connections of one listener share."""

    def __init__(self, limits: Limits, counts: Counts) -> None:
        super().__init__()
        self.limits = limits
        self.counts = counts
        self.shaking: set[Http] = set()
        """Those whose handshake is not done: they are not in `connections` yet."""
        self.empty = asyncio.Event()
        """Set while there is no connection."""
        self.empty.set()

    def lost(self) -> None:
        """Take note that a connection has left."""
        if not self.connections:
            self.empty.set()


class Http(HttpToolsProtocol):
    """One HTTP connection; it hands itself over to `Socket` when the client asks for a WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state
        self._peer: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._counting = False
        self._head_size = 0
        self._body_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the certificate, and give the client `head_time` for its first request."""
        self._state.empty.clear()
        super().connection_made(transport)
        self._state.shaking.discard(self)
        self._peer = _certificate(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of every timer: one that is left would hold the connection's memory until it fires."""
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._state.lost()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see that the head does not grow for ever and that no state is without a timer."""
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._in_head:
            # The read in which the head began may hold the end of a body before it: it is not counted.
            self._head_size += len(data) if self._counting else 0
            self._counting = True
            if self._head_size > self._state.limits.head_size:
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()
        elif self._idle():
            # Blank lines between requests (RFC 9112, 2.2) end the idle timer and begin no request.
            self._wait_for_head()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to `Socket`, which has its own keep-alive."""
        self._stop_timer()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Begin a request: the scope gets the peer."""
        super().on_message_begin()
        _add_peer(cast("MutableMapping[str, Any]", self.scope), self._peer)
        self._in_head, self._counting, self._head_size = True, False, 0
        if self._timer is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Turn from the time of the head to the pace of the body."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()
        self._watch_body()

    def on_body(self, body: bytes) -> None:
        """Count what came."""
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """From here the time is the application's."""
        self._stop_timer()
        super().on_message_complete()

    def _idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        busy = cycle is not None and not cycle.response_complete
        return not busy and self._timer is None and self.timeout_keep_alive_task is None

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(self._state.limits.head_time, self._cut)

    def _watch_body(self) -> None:
        self._body_size = 0
        self._timer = self.loop.call_later(self._state.limits.body_time, self._check_pace)

    def _check_pace(self) -> None:
        if self._body_size >= self._state.limits.body_pace or self.flow.read_paused:
            self._watch_body()
        else:
            self._cut()

    def _cut(self) -> None:
        self._timer = None
        self._state.counts.slow_requests += 1
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener."""
        super().connection_lost(exc)
        self._state.lost()

    async def run_asgi(self) -> None:
        """Run the application with the peer in its scope."""
        _add_peer(cast("MutableMapping[str, Any]", self.scope), _certificate(self.transport))
        await super().run_asgi()


def _certificate(transport: asyncio.BaseTransport) -> bytes | None:
    tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
    return tls.getpeercert(binary_form=True) if tls is not None else None


def _add_peer(scope: MutableMapping[str, Any], certificate: bytes | None) -> None:
    scope["extensions"] = {**scope.get("extensions", {}), PEER: {"certificate": certificate}}
