# SPDX-License-Identifier: Apache-2.0
"""The devices' application over a world of releases and devices, without TLS: who asks is put where TLS puts it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec

from checkvalve import clock
from checkvalve.crypto import certificates, keys
from checkvalve.ids import DeviceId
from checkvalve.protocol import time
from checkvalve.protocol.exchange import Answer, Report
from checkvalve.server import keys as server_keys
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.web import devices, listeners, tls
from checkvalve.server.web.device_door import DeviceDoor
from checkvalve.server.web.listeners import Listener
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.protocols import PEER
from tests.parts.machine import Machine
from tests.server.exchange.world import PLANE, World

ONLINE = keys.make()


@dataclass
class Crossing:
    """The plane of `world`, whose clock is the world's."""

    world: World
    directory: Path
    plane: Plane = field(init=False)
    door: DeviceDoor = field(init=False)

    def __post_init__(self) -> None:
        """Put the plane together."""
        authority, orders = self.world.keys
        self.plane = Plane(
            db=self.world.database,
            name=PLANE,
            version="0",
            ca_pem=certificates.to_pem(authority.certificate),
            ca_pin=authority.pin,
            origins=(),
            blobs=Blobs(self.directory / "blobs"),
            online=ONLINE,
            authority=authority,
            orders=orders,
            values=bytes(range(32)),
            now=lambda: self.world.now,
            new_id=self.world.new_id,
            entropy=lambda size: self.world.new_id().encode()[-size:],
        )
        self.door = devices.app(self.plane)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[asyncio.Event]:
        """Let memory be compared with the database, as a plane does, until the block ends or the event is set."""
        stop = asyncio.Event()
        watch = asyncio.create_task(self.plane.presence.watch(self.plane.db, stop))
        await asyncio.sleep(0)
        await self.plane.presence.stir()
        try:
            yield stop
        finally:
            stop.set()
            await watch

    def story(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Run a story while the plane watches; it ends within half a minute."""

        async def whole() -> None:
            async with self.watching():
                await tell()

        asyncio.run(asyncio.wait_for(whole(), 30))

    async def ask(
        self,
        method: str,
        path: str,
        machine: Machine | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
        **headers: str,
    ) -> httpx.Response:
        """Send a request, with the certificate of `machine` if one is named; the time that came is the plane's."""
        transport = httpx.ASGITransport(self.shown(machine), client=("192.0.2.9", 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="https://192.0.2.1:8443", verify=False) as client:
            answer = await client.request(method, path, content=body, headers=headers)
        time.read(answer.headers[time.HEADER], self.plane.orders.key.public_key())
        return answer

    async def exchange(self, machine: Machine, report: Report) -> httpx.Response:
        """Report."""
        return await self.ask("POST", "/v1/exchange", machine, msgspec.json.encode(report))

    def shown(self, machine: Machine | None) -> Callable[..., Awaitable[None]]:
        """Return the application as a connection with this certificate meets it."""
        der = machine.der if machine else None

        async def shown(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
            scope["extensions"] = {PEER: {"certificate": der}}
            await self.door(cast("Any", scope), receive, send)

        return shown

    def shut_out(self, machine: Machine, how: str = "quarantine") -> None:
        """Let a person quarantine or retire a device, or accept it again."""
        action = getattr(fleet_actions, how)
        act = self.world.act(self.world.maker)
        self.world.database.write_now(how, action, act, DeviceId(machine.id), "It was seen elsewhere.")


@asynccontextmanager
async def served(here: Crossing) -> AsyncIterator[int]:
    """Serve the devices' door on loopback; yield its port."""
    authority = here.plane.authority
    pair = server_keys.plane_pair(here.directory, authority, ("127.0.0.1",), clock.now(), clock.entropy(16))
    context = tls.devices_context(pair.certificate, pair.key, here.plane.ca_pem.decode())
    door = Listener("devices", here.door, "127.0.0.1", 0, context)
    door.bind()
    async with here.watching() as stop:
        serving = asyncio.create_task(listeners.serve([door], stop, grace=5))
        try:
            yield door.port
        finally:
            stop.set()
            await serving


def answer(response: httpx.Response) -> Answer:
    """Return what the plane had to say."""
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=Answer)


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal, which is a problem document."""
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert said["status"] == response.status_code
    assert said["detail"]
    return response.status_code, said["code"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, while others work."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)
