# SPDX-License-Identifier: Apache-2.0
"""A simulated plane with a repository of releases behind it, and a listener that serves it over real TLS.

`Estate` lists releases as people do; `served` is what `link.tls` and joining are tried with: the same plane, dialled.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from aiohttp import web

from checkvalve.agent import identity
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.identity import Certified, Identity
from checkvalve.agent.link.contexts import NO_CHECK_TIME
from checkvalve.agent.link.plane import Plane
from checkvalve.agent.link.simulated import Simulated
from checkvalve.agent.ports import Disk
from checkvalve.crypto import certificates, digests, keys
from checkvalve.crypto.metadata import ROOT, Target
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import errand, exchange, time, workload
from checkvalve.protocol.api import DevicePlane
from checkvalve.protocol.problem import Problem
from tests.crypto import world

SCOPE = f"/{world.ORG}/01jd0000000000000000000001/"
STATUS = {"forbidden": 403, "not_found": 404, "conflict": 409, "throttled": 429, "unauthenticated": 401, "invalid": 422}


class Estate:
    """A plane, and the people who sign what may run."""

    def __init__(self, now: Callable[[], datetime] = lambda: world.NOON, name: str = "plane") -> None:
        self.plane = Plane(now, name)
        self.plane.scope = SCOPE
        self.origin = world.repository()
        self.plane.root = self.origin.roots[0]
        self.publish()

    def publish(self, *roles: str) -> None:
        """Sign these roles anew, if any, and give out what there is; roots come under their number."""
        self.origin.publish(*roles)
        files = self.plane.metadata
        files.update({f"{number}.root.json": root for number, root in enumerate(self.origin.roots, 1)})
        files["timestamp.json"] = self.origin.files["timestamp"]
        for role in ("snapshot", "targets"):
            files[f"{self.origin.versions[role]}.{role}.json"] = self.origin.files[role]

    def lists(self, manifest: bytes, number: int, scope: str = SCOPE) -> str:
        """Put a manifest among what may run, and return its target."""
        read = workload.read(manifest)
        digest = workload.digest(manifest)
        target = workload.target(scope, read.name, digest)
        sha256 = digests.sha256_hex(manifest)
        self.origin.targets[target] = Target(len(manifest), sha256, read.name, read.version, number)
        self.plane.manifests[digest] = manifest
        self.publish("targets", "snapshot", "timestamp")
        return target

    def new_root(self) -> None:
        """Sign the next root, with the same people."""
        self.publish(ROOT)

    def device(self, disk: Disk | None = None, addresses: tuple[str, ...] = ("https://127.0.0.1:8443",)) -> Identity:
        """Return a device that has joined, by no network."""
        disk = disk or SimulatedDisk()
        key = keys.make()
        came = self.plane.admit(key.public_key())
        made = Identity(
            device=came.device,
            plane=came.plane,
            addresses=addresses,
            ca=came.authority,
            root=came.root,
            scope=came.scope,
            place=tuple(came.place),
            current=Certified(
                certificate=came.certificate,
                orders=came.orders,
                generation=came.generation,
                link=came.link,
                interval=came.interval,
            ),
            key_name=identity.key_name(key),
            key=key,
        )
        disk.replace(made.key_name, keys.dump(key))
        identity.save(disk, made)
        return made


@dataclass
class Listener:
    """A plane that is dialled at `address`. `instead` answers in its place; `asked` are paths, `peers` who came."""

    address: str
    asked: list[str] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    instead: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None


@contextlib.asynccontextmanager
async def served(plane: Plane, directory: Path, *, pair: tuple[str, str] | None = None) -> AsyncIterator[Listener]:
    """Serve the plane on a port of its own; `pair` is another certificate and key than its listener's."""
    listener = Listener("")
    handle = _handler(plane, listener)
    app = web.Application(client_max_size=errand.LARGEST_CONTENT + 1)
    app.router.add_route("*", "/{path:.*}", handle)
    app.on_response_prepare.append(_few_headers)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_context(plane, directory, pair or plane.listener("plane")))
    await site.start()
    listener.address = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield listener
    finally:
        await runner.cleanup()


class Relay:
    """Passes bytes on to a port, counts them, and lets go of connections when told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.up = self.down = 0
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers += [writer, back]
        await asyncio.gather(self._pass(reader, back, "up"), self._pass(there, writer, "down"))

    def let_go(self) -> None:
        """Close every connection there is."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                setattr(self, way, getattr(self, way) + len(data))
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Take connections on a port of its own, which is returned."""
    tasks = set[asyncio.Task[None]]()

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await take(reader, writer)
        writer.close()

    server = await asyncio.start_server(taking, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def port(address: str) -> int:
    """Return the port of `https://host:port`."""
    return int(address.rpartition(":")[2])


def _handler(plane: Plane, listener: Listener) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        listener.asked.append(request.path)
        transport = request.transport
        assert transport is not None
        listener.peers.append(transport.get_extra_info("peername"))
        if listener.instead is not None:
            return await listener.instead(request)
        try:
            return await _answer(plane, request, transport.get_extra_info("ssl_object"))
        except CheckvalveError as error:
            status = STATUS.get(error.kind, 503)
            headers = {"Retry-After": str(error.facts["retry_after"])} if "retry_after" in error.facts else {}
            problem = Problem(title="no", status=status, detail=error.sentence, code=error.code, remedy=error.remedy)
            return web.Response(status=status, body=msgspec.json.encode(problem), headers=headers)

    return handle


async def _answer(plane: Plane, request: web.Request, tls: ssl.SSLObject) -> web.StreamResponse:
    headers = {time.HEADER: plane.time()}
    match request.method, request.path.split("/")[2:]:
        case "GET", ["plane"]:
            return web.Response(body=msgspec.json.encode(about(plane)), headers=headers)
        case "GET", ["time"]:
            return web.Response(status=204, headers=headers)
        case "GET", ["metadata", name]:
            return _file(plane.metadata.get(name))
        case "GET", ["releases", name]:
            return _file(plane.manifests.get(f"sha256:{name}"))
        case "GET", ["values", name]:
            return _file(plane.values.get(name))
        case "GET", ["blobs", name]:
            return _part(request, plane.blobs.get(name))
        case _:
            return await _taken(plane, request, tls, headers)


async def _taken(plane: Plane, request: web.Request, tls: ssl.SSLObject, headers: dict[str, str]) -> web.StreamResponse:
    match request.method, request.path.split("/")[2:]:
        case "POST", ["join"]:
            return web.Response(status=201, body=msgspec.json.encode(plane.join(await request.read())))
        case "POST", ["renew"]:
            return web.Response(body=msgspec.json.encode(plane.renew(await request.read())))
        case "POST", ["exchange"]:
            return await _exchange(plane, request, tls, headers)
        case "PUT", ["errands", name]:
            who = certificates.device_id(_shown(tls))
            plane.take(who, name, request.headers[errand.CONTENT], await request.read())
            return web.Response(status=204, headers=headers)
        case _:
            return web.Response(status=404)


async def _exchange(
    plane: Plane, request: web.Request, tls: ssl.SSLObject, headers: dict[str, str]
) -> web.StreamResponse:
    replied = await Simulated(plane, certificates.device_id(_shown(tls))).exchange(await request.read(), 0)
    if replied.next is not None:
        headers[exchange.NEXT] = str(replied.next)
    if replied.answer is None:
        return web.Response(status=204, headers=headers)
    return web.Response(body=msgspec.json.encode(replied.answer), headers=headers)


def _shown(tls: ssl.SSLObject) -> bytes:
    shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def about(plane: Plane) -> DevicePlane:
    """Return what the plane says of itself."""
    return DevicePlane(
        name=plane.name,
        version="1",
        capability=1,
        ca_pin=plane.pin,
        time="",
        ca=certificates.to_pem(plane.authority).decode(),
        orders=certificates.to_pem(plane.orders_certificate).decode(),
    )


def _missing() -> web.Response:
    problem = Problem(title="no", status=404, detail="There is none.", code="blob.not_found")
    return web.Response(status=404, body=msgspec.json.encode(problem))


def _file(data: bytes | None) -> web.Response:
    return _missing() if data is None else web.Response(body=data)


def _part(request: web.Request, data: bytes | None) -> web.Response:
    if data is None:
        return _missing()
    begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    if begin == 0:
        return web.Response(body=data)
    if begin >= len(data):
        return web.Response(status=416)
    headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
    return web.Response(status=206, body=data[begin:], headers=headers)


async def _few_headers(request: web.Request, response: web.StreamResponse) -> None:
    assert request is not None
    for name in ("Server", "Date"):
        response.headers.popall(name, None)


def _context(plane: Plane, directory: Path, pair: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = directory / f"listener-{len(list(directory.iterdir()))}.pem"
    file.write_text("\n".join(pair))
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    context.num_tickets = 0
    context.load_verify_locations(cadata=certificates.to_pem(plane.authority).decode())
    return context
