# SPDX-License-Identifier: Apache-2.0
"""The two doors of the plane: TLS listeners that run ASGI applications on uvicorn's protocols, not on its server.

uvicorn's `Server` takes the process's signals and has one application; here `server.main` has the signals. Connections
are accepted one by one (`sock_accept`, then `connect_accepted_socket`) and not by `create_server`, which can neither
leave a connection in the kernel's queue nor refuse it before it has cost a handshake.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any

from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn

from checkvalve import clock
from checkvalve.errors import UnavailableError
from checkvalve.server.web.protocols import Counts, Http, Limits, Socket, State

App = Callable[..., Awaitable[None]]
"""An ASGI 3 application: called with scope, receive and send."""

_log = logging.getLogger("checkvalve.listeners")

_PAUSE = 0.1  # seconds until the next try, when the machine has no descriptor or memory for one more connection
_PASSING = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a family this host does not have


@dataclass(slots=True, eq=False)
class Listener:
    """One address, what it speaks, and what answers there.

    `host` is an IP address or a name; "" is every address of the host. `port` 0 is any free one: `bind` puts the real
    one in its place. `context` may be replaced while serving: the next connection gets the new one.
    """

    name: str
    app: App
    host: str
    port: int
    context: ssl.SSLContext
    limits: Limits = field(default_factory=Limits)
    counts: Counts = field(default_factory=Counts, init=False)
    sockets: list[socket.socket] = field(default_factory=list, init=False)

    def bind(self) -> None:
        """Take the address; clients that come before `serve` runs wait. Blocks while a name is looked up.

        Raises `UnavailableError` (`listener.address`).
        """
        try:
            self._bind()
        except OSError as error:
            self.close()
            place = f"port {self.port} of {self.host or 'this host'}"
            raise UnavailableError(
                "listener.address",
                f"The {self.name} listener cannot take {place}: {error.strerror}.",
                "Stop what holds the port, or choose another address or port.",
            ) from error

    def close(self) -> None:
        """Give the address back; connections that were accepted live on."""
        while self.sockets:
            self.sockets.pop().close()

    def _bind(self) -> None:
        found = socket.getaddrinfo(self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        failure: OSError | None = None
        for family, _, _, _, address in found:
            try:
                taken = socket.create_server(
                    (address[0], self.port, *address[2:]), family=family, backlog=self.limits.backlog
                )
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                failure = error
                continue
            taken.settimeout(0)
            # Accepted connections inherit it: a peer whose power went is noticed, also in a silent WebSocket.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.sockets.append(taken)
            self.port = taken.getsockname()[1]
        if failure is not None and not self.sockets:
            raise failure


async def serve(listeners: Sequence[Listener], stop: asyncio.Event, *, grace: float = 30.0) -> None:
    """Serve until `stop` is set, then let running requests end for up to `grace` seconds. Touches no signal.

    Each distinct application sees one ASGI lifespan, in the order of `listeners`, and its end in reverse. A held long
    poll is a running request: an application that holds them watches `stop` itself. Listeners not bound yet are bound
    here.
    Raises `UnavailableError`: `listener.address`, `listener.startup`.
    """
    async with contextlib.AsyncExitStack() as exits:
        for listener in listeners:
            exits.callback(listener.close)
            if not listener.sockets:
                listener.bind()
        halls = [_Hall(listener, _descriptors(listener.limits)) for listener in listeners]
        states: dict[int, dict[str, Any]] = {}
        for hall in halls:
            key = id(hall.listener.app)
            if key not in states:
                states[key] = await exits.enter_async_context(_lifespan(hall.config, hall.listener.name, grace))
            hall.app_state = states[key]
        try:
            await _run(halls, stop)
        finally:
            await asyncio.gather(*(hall.leave(grace) for hall in halls))


async def _run(halls: Sequence["_Hall"], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hall.accept(taken)) for hall in halls for taken in hall.listener.sockets]
        tasks.append(group.create_task(_tell_date(halls)))
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _tell_date(halls: Sequence["_Hall"]) -> None:
    while True:
        date = format_datetime(clock.now(), usegmt=True).encode()
        for hall in halls:
            hall.state.default_headers = [(b"date", date)]
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def _lifespan(config: Config, name: str, grace: float) -> AsyncIterator[dict[str, Any]]:
    lifespan = LifespanOn(config)
    await lifespan.startup()
    if lifespan.should_exit:
        raise UnavailableError(
            "listener.startup", f"The application of the {name} listener did not start.", "The log says why."
        )
    try:
        yield lifespan.state
    finally:
        try:
            async with asyncio.timeout(grace):
                await lifespan.shutdown()
        except TimeoutError:
            _log.error("%s: the application did not end in %s s", name, grace)


def _descriptors(limits: Limits) -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else soft * limits.descriptor_share


def _config(listener: Listener) -> Config:
    return Config(
        listener.app,
        http=Http,
        ws=Socket,
        ws_max_size=listener.limits.message_size,
        ws_per_message_deflate=False,  # compression beside secrets tells them (CRIME), and costs 40 KB a connection
        lifespan="auto",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the address of the peer is the one it has, not the one it says
        server_header=False,
        workers=1,
        timeout_keep_alive=listener.limits.idle_time,
    )


class _Hall:
    """What stands behind one listener: its limits in use, its connections and their tasks."""

    def __init__(self, listener: Listener, descriptors: float) -> None:
        self.listener = listener
        self.config = _config(listener)
        self.config.load()
        self.state = State(listener.limits, listener.counts)
        self.app_state: dict[str, Any] = {}
        self._descriptors = descriptors
        # Each socket's loop holds a slot while it waits, so that a connection is taken only when it can be served.
        self._slots = asyncio.Semaphore(listener.limits.handshakes + len(listener.sockets) - 1)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._warned = False

    async def accept(self, taken: socket.socket) -> None:
        """Take connections for ever: as many at once as there are slots for handshakes."""
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            try:
                connection, _ = await loop.sock_accept(taken)
            except OSError as error:
                self._slots.release()
                _log.warning("%s: cannot accept a connection: %s", self.listener.name, error)
                await asyncio.sleep(_PAUSE)
                continue
            if self._full(connection):
                self._refuse(connection)
                self._slots.release()
            else:
                task = loop.create_task(self._handshake(connection))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            # `sock_accept` returns at once while connections wait: others get their turn here.
            await asyncio.sleep(0)

    async def leave(self, grace: float) -> None:
        """Close the address and idle connections, wait for the rest, then cut them off."""
        self.listener.close()
        for task in self._handshakes:
            task.cancel()
        for connection in list(self.state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(grace):
                await self._quiet()
        except TimeoutError:
            _log.warning("%s: %d requests cut off after %s s", self.listener.name, len(self.state.tasks), grace)
            await self._cut()

    async def _handshake(self, connection: socket.socket) -> None:
        limits, counts = self.listener.limits, self.listener.counts
        protocol = Http(self.config, self.state, self.app_state)
        self.state.shaking.add(protocol)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self.listener.context,
                ssl_handshake_timeout=limits.handshake_time,
                ssl_shutdown_timeout=limits.close_time,
            )
            counts.accepted += 1
        except ConnectionAbortedError:
            counts.late_handshakes += 1
        except (OSError, ValueError) as error:
            # ValueError: a certificate that OpenSSL accepts and `ssl` cannot put into words.
            counts.failed_handshakes += 1
            _log.info("%s: a handshake failed: %s", self.listener.name, error)
        finally:
            self.state.shaking.discard(protocol)
            self._slots.release()

    def _full(self, connection: socket.socket) -> bool:
        # POSIX gives the lowest free descriptor, so a high one says that all below are in use.
        in_use = len(self.state.connections) + len(self.state.shaking)
        return connection.fileno() >= self._descriptors or in_use >= self.listener.limits.connections

    def _refuse(self, connection: socket.socket) -> None:
        connection.close()
        self.listener.counts.refused += 1
        if not self._warned:
            self._warned = True
            _log.warning("%s: full, new connections are refused; further ones are counted only", self.listener.name)

    async def _quiet(self) -> None:
        await self.state.empty.wait()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)

    async def _cut(self) -> None:
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            # Each gets the moment in which its client can still be told; one that ignores it is left behind.
            await asyncio.wait(tasks, timeout=self.listener.limits.close_time)
        for connection in list(self.state.connections):
            connection.transport.abort()
