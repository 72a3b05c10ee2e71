# SPDX-License-Identifier: Apache-2.0
"""Bad ways between a device and its plane: a TCP proxy with weather, and a plane's own address that answers anything.

A TCP proxy cannot lose packets, for TCP sends them again; what reaches a device of a bad line is delay, and connections
that break. So it lets bytes come late, cuts connections after a time or at random, keeps them open and is silent, or
answers as a portal does.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from checkvalve.agent.link.plane import Plane
from tests.agent.plane import listening

PIECE = 4_096  # bytes that pass at a time
_HEAD = b"\r\n\r\n"


@dataclass(frozen=True)
class Weather:
    """What a way is like. Seconds and bytes; a chance is in [0, 1]."""

    latency: float = 0.0  # each way
    rate: int = 0  # bytes a second down, 0 for as many as come
    breaks: float = 0.0  # chance of each piece to be cut short, with its connection
    lives: float | None = None  # a connection is cut after so long, whatever goes over it
    swallows: int | None = None  # after so many bytes down nothing comes any more, and all stays open
    silent: bool = False  # connections are taken, and that is all
    says: bytes | None = None  # somebody in between answers this to whatever comes first, and lets go


FAIR = Weather()


class Proxy:
    """A way to a port of this machine. `weather` may change at any time; what happened is counted.

    With `connect` it is an HTTP proxy, which is asked for the way first.
    """

    def __init__(self, port: int, seed: int, *, connect: bool = False) -> None:
        self.port = port
        self.address = ""
        self.weather = FAIR
        self.connections = self.broken = 0
        self.down = 0  # bytes that came through
        self._chance = random.Random(seed)
        self._connect = connect
        self._open: set[asyncio.StreamWriter] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, as the weather is."""
        self.connections += 1
        weather = self.weather
        if weather.silent:
            while await reader.read(PIECE):
                pass
            return
        if weather.says is not None:
            await reader.read(PIECE)
            writer.write(weather.says)
            await writer.drain()
            return
        if self._connect:
            await reader.readuntil(_HEAD)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        both = {writer, back}
        self._open |= both
        try:
            async with asyncio.timeout(weather.lives):
                await asyncio.gather(self._pass(reader, back, down=False), self._pass(there, writer, down=True))
        except (TimeoutError, OSError):
            self.broken += 1
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    def let_go(self) -> None:
        """Cut every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        later = asyncio.get_running_loop().call_later
        passed = 0
        while data := await reader.read(PIECE):
            weather = self.weather
            if self._chance.random() < weather.breaks:
                writer.write(data[: self._chance.randrange(len(data))])
                message = "the line is bad"
                raise ConnectionResetError(message)
            if down:
                if weather.swallows is not None:
                    data = data[: max(0, weather.swallows - passed)]
                passed += len(data)
                self.down += len(data)
                if weather.rate:
                    await asyncio.sleep(len(data) / weather.rate)
            if weather.latency:
                later(weather.latency, writer.write, data)
            else:
                writer.write(data)
                await writer.drain()
        later(self.weather.latency, writer.close)


@contextlib.asynccontextmanager
async def between(port: int, seed: int = 0, *, connect: bool = False) -> AsyncIterator[Proxy]:
    """Lend a way to a port; its address is of the kind that a device dials, or has for its proxy."""
    proxy = Proxy(port, seed, connect=connect)
    async with listening(proxy.take) as number:
        proxy.address = f"{'http' if connect else 'https'}://127.0.0.1:{number}"
        yield proxy


class Rogue:
    """What answers with the plane's own certificate, and says the bytes `says` to each request."""

    def __init__(self) -> None:
        self.address = ""
        self.says = b""
        self.asked = 0
        self.hangs = False  # it lets a connection stay open after what it said

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(_HEAD)
            self.asked += 1
            if b"100-continue" not in head.lower():  # else it answers before the body is sent
                await reader.readexactly(_length(head))
            writer.write(self.says)
            await writer.drain()
            while self.hangs and await reader.read(PIECE):
                pass
        writer.close()


@contextlib.asynccontextmanager
async def rogue(plane: Plane, directory: Path) -> AsyncIterator[Rogue]:
    """Lend one that has the key and the certificate of this plane."""
    file = directory / "rogue.pem"
    file.write_text("\n".join(plane.listener("plane")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    made = Rogue()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0, ssl=context)
    made.address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
