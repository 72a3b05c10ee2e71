# SPDX-License-Identifier: Apache-2.0
"""Exchanges over real TLS connections: what they weigh, and that a live connection ends with its device's trust."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from checkvalve import clock
from checkvalve.crypto import certificates, keys
from checkvalve.protocol.exchange import Report
from checkvalve.server.db.database import Database
from checkvalve.server.web import tls
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.web.crossing import Crossing, served, until

T = TypeVar("T")
LIGHT = 600  # bytes of TLS records, both ways, of an exchange in which nothing is said

pytestmark = pytest.mark.slow


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


@dataclass
class Wire:
    """A device's connection whose every byte is counted: TLS in memory over a plain stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    weight: int = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, here: Crossing, port: int, machine: Machine) -> AsyncIterator["Wire"]:
        """Be connected as `machine`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= tls.NO_CHECK_TIME
        context.load_verify_locations(cadata=here.plane.ca_pem.decode())
        file = here.directory / f"{machine.id}.pem"
        file.write_bytes(certificates.to_pem(machine.der) + keys.dump(machine.key))
        context.load_cert_chain(file)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        streams = await asyncio.open_connection("127.0.0.1", port)
        wire = cls(*streams, context.wrap_bio(incoming, outgoing), incoming, outgoing)
        try:
            await wire._done(wire.tls.do_handshake)
            yield wire
        finally:
            wire.writer.close()
            await wire.writer.wait_closed()

    async def say(self, report: Report) -> None:
        """Send a report as an agent does."""
        body = msgspec.json.encode(report)
        head = (
            "POST /v1/exchange HTTP/1.1\r\nHost: 192.0.2.200:8443\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.tls.write(head.encode() + body)
        await self._flush()

    async def hear(self) -> bytes:
        """Return the next answer, or nothing if the plane hung up."""
        return await self._done(lambda: self.tls.read(65_536))

    async def _done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.reader.read(65_536)
                self.weight += len(data)
                self.incoming.write(data) if data else self.incoming.write_eof()
            finally:
                await self._flush()

    async def _flush(self) -> None:
        data = self.outgoing.read()
        self.weight += len(data)
        self.writer.write(data)
        await self.writer.drain()


def test_an_exchange_in_which_nothing_is_said_weighs_less_than_600_bytes(here: Crossing) -> None:
    machine = here.world.machine()
    report = machine.report(clock=1_795_418_479_050, epoch=3, counter=123_456, wait=55, seq=0)

    async def tell() -> None:
        async with served(here) as port, Wire.connected(here, port, machine) as wire:
            await wire.say(msgspec.structs.replace(report, wait=0))
            assert (await wire.hear()).startswith(b"HTTP/1.1 204 ")
            for _ in range(3):
                wire.weight = 0
                await wire.say(msgspec.structs.replace(report, wait=0))
                said = await wire.hear()
                assert said.startswith(b"HTTP/1.1 204 ")
                assert said.endswith(b"\r\n\r\n")
                assert wire.weight < LIGHT, said

    asyncio.run(asyncio.wait_for(tell(), 60))


@pytest.mark.parametrize(("how", "code"), [("quarantine", b"device.quarantined"), ("retire", b"device.retired")])
def test_live_connections_end_with_the_devices_trust(here: Crossing, how: str, code: bytes) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        async with (
            served(here) as port,
            Wire.connected(here, port, machine) as held,
            Wire.connected(here, port, machine) as idle,
        ):
            await idle.say(machine.report())
            assert (await idle.hear()).startswith(b"HTTP/1.1 204 ")
            await held.say(machine.report(wait=55))
            await until(lambda: _waits(here, machine))
            here.shut_out(machine, how)
            await here.plane.presence.stir()
            await idle.say(machine.report())
            for wire in (held, idle):
                said = await wire.hear()
                assert said.startswith(b"HTTP/1.1 403 ")
                assert b"connection: close" in said
                body = said if code in said else await wire.hear()
                assert code in body
                assert await wire.hear() == b""

    asyncio.run(asyncio.wait_for(tell(), 60))


def test_a_plane_that_stops_answers_those_who_wait_before_it_hangs_up(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        async with AsyncExitStack() as connections:
            async with served(here) as port:
                wire = await connections.enter_async_context(Wire.connected(here, port, machine))
                await wire.say(machine.report(wait=55))
                await until(lambda: _waits(here, machine))
                heard = asyncio.create_task(when_heard(wire))
                stopped = clock.monotonic()
            said, at = await heard
            assert said.startswith(b"HTTP/1.1 204 ")
            assert at - stopped < 2

    async def when_heard(wire: Wire) -> tuple[bytes, float]:
        said, at = await wire.hear(), clock.monotonic()
        wire.writer.close()  # else the plane is polite to it for as long as it may
        return said, at

    asyncio.run(asyncio.wait_for(tell(), 60))


def test_orders_are_not_given_to_a_connection_whose_device_hung_up(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        async with served(here) as port:
            async with Wire.connected(here, port, machine) as left:
                await left.say(machine.report(wait=55))
                await until(lambda: _waits(here, machine))
            await until(lambda: not _waits(here, machine))
            here.world.assign(machine)
            await here.plane.presence.stir()
            async with Wire.connected(here, port, machine) as wire:
                await wire.say(machine.report())
                assert (await wire.hear()).startswith(b"HTTP/1.1 200 ")

    asyncio.run(asyncio.wait_for(tell(), 60))


def _waits(here: Crossing, machine: Machine) -> bool:
    slot = here.plane.presence.of(machine.id)
    return slot is not None and slot.poll is not None
