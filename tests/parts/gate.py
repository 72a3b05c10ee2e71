# SPDX-License-Identifier: Apache-2.0
"""The proxy of a plant: HTTP CONNECT for whoever says name and password, and nobody else. It may open TLS."""

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from checkvalve import clock
from checkvalve.agent.link import contexts
from checkvalve.crypto import certificates, keys
from tests.parts.plant import Place

USER, PASSWORD = "pump station", "hush:Regn@ö/7"
PIECE = 64 * 1024
OPENER = "Werk 3 Inspection CA"


class Asked(NamedTuple):
    """What somebody asked for: by which address, where to, and what the proxy answered."""

    peer: str
    to: str
    status: int


@dataclass
class Gate:
    """The proxy. `names` are the addresses of the names that it knows; with `opens` it opens TLS and reads along."""

    host: str
    port: int
    names: Mapping[str, str]
    pem: Path
    opens: bool = False
    asked: list[Asked] = field(default_factory=list)
    read: bytearray = field(default_factory=bytearray)
    """What it saw of requests while it opened TLS."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        """Cut every connection that goes through."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._cut)

    def last(self) -> Asked:
        """Return what was asked for last."""
        return self.asked[-1]

    async def serve(self, ready: threading.Event) -> None:
        """Serve until `end`."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._take, self.host, self.port)
        ready.set()
        await self._over.wait()
        server.close()
        self._cut()

    def end(self) -> None:
        """Have it end."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)

    def _cut(self) -> None:
        for each in self._open:
            each.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            to = head[0].split()[1]
            there, status = await self._dial(to) if _named(head) else (None, 407)
            self.asked.append(Asked(writer.get_extra_info("peername")[0], to, status))
            if there is None:
                more = 'Proxy-Authenticate: Basic realm="plant"\r\n' if status == 407 else ""
                writer.write(f"HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\n\r\n".encode())
                await writer.drain()
            else:
                await self._through(reader, writer, *there)
        writer.close()

    async def _dial(self, to: str) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None, int]:
        host, _, port = to.rpartition(":")
        host = host.strip("[]")
        try:
            opened = contexts.unverified() if self.opens else None
            return await asyncio.open_connection(self.names.get(host, host), int(port), ssl=opened), 200
        except OSError:
            return None, 502

    async def _through(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        both = {writer, back}
        self._open |= both
        opens = self.opens
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if opens:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.pem)
                await writer.start_tls(context)
            await asyncio.gather(self._pass(reader, back, read=opens), self._pass(there, writer, read=False))
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, read: bool) -> None:
        while data := await reader.read(PIECE):
            if read:
                self.read += data
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.contextmanager
def standing(place: Place, gate: Gate) -> Iterator[Gate]:
    """Have a proxy stand at a place, in a thread of its own."""
    gate.pem.write_text(_opening())
    ready = threading.Event()

    def work() -> None:
        with place.entered():
            asyncio.run(gate.serve(ready))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        yield gate
    finally:
        gate.end()
        thread.join()


def _named(head: list[str]) -> bool:
    said = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    fields = (line.partition(":") for line in head)
    return any(name.lower() == "proxy-authorization" and value.strip() == said for name, _, value in fields)


def _opening() -> str:
    """Return certificate and key of what opens TLS (PEM)."""
    authority, own = keys.make(), keys.make()
    begin, end = clock.now() - timedelta(days=1), clock.now() + timedelta(days=9)
    root = certificates.issue_authority(authority, OPENER, not_before=begin, not_after=end, serial=5)
    leaf = certificates.issue_server(
        root, authority, own.public_key(), ("plane",), not_before=begin, not_after=end, serial=6
    )
    return certificates.to_pem(leaf).decode() + keys.dump(own).decode()
