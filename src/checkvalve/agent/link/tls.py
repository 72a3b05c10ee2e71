# SPDX-License-Identifier: Apache-2.0
"""The way to the plane over HTTPS. It dials out, and holds nothing open that anybody could dial.

1. Who answers is the plane if `contexts.pinned` says so.
2. Addresses are tried in their order. One that answers is kept until it fails. But the first is the one that is
   meant: whoever had to leave it tries it again after a quarter of an hour, and stays where it answers.
3. Exchanges go over one connection that is kept, everything else over others, so that a large blob holds up nothing.
4. No redirect is followed, nothing is unpacked, and every answer has a most of bytes; blobs have a digest instead.
5. Few headers: an idle device should cost its line a few hundred bytes.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import aiohttp
import msgspec
from aiohttp import hdrs

from checkvalve.agent.link import contexts, dialling, layers
from checkvalve.agent.link.layers import Way
from checkvalve.agent.link.uploading import Upload
from checkvalve.agent.ports import Replied
from checkvalve.crypto.metadata import LARGEST as LARGEST_METADATA
from checkvalve.errors import NotFoundError
from checkvalve.protocol import errand as errands
from checkvalve.protocol import exchange, time, values, workload
from checkvalve.protocol.exchange import Answer

LARGEST_ANSWER = 1 << 20
_SILENT = (hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE)
_KEPT = 120.0  # seconds a connection is kept without a word: more, and a firewall has forgotten it
_PIECE = 64 * 1024
_MOST_SECONDS = 604_800
RETURN = 900.0  # seconds until the first address is tried again (rule 2)
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection with its handshake; for an answer beyond the wait; between two pieces of an answer.

    `pace` is in bytes a second: what is sent may take so long before the line counts as dead.
    """

    connect: float = 10.0
    answer: float = 10.0
    stall: float = 30.0
    pace: int = 1_000


class _Came(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    way: Way


class Tls:
    """The plane at one of `addresses` (`https://host:port`). `ca` is the pinned authority's certificate as PEM.

    `pair` is the device's certificate and key (PEM), None for one that has not joined. `proxy` is an HTTP proxy that
    lets CONNECT through, `source` a local IP address or an interface to dial from, both as `dialling` has them. Raises
    `InvalidError` (`link.authority`, `link.certificate`, `link.proxy`, `link.source`).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        ca: str,
        pair: tuple[str, str] | None = None,
        *,
        proxy: str | None = None,
        source: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._addresses = tuple(address.rstrip("/") for address in addresses)
        self._context = self._trusting(ca, pair)
        self._proxy = dialling.proxy(proxy)
        self._source = dialling.source(source)
        self._patience = patience or Patience()
        self._at = 0
        self._first = 0.0  # when the first address was tried last, by the loop's clock
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def exchange(self, report: bytes, wait: float) -> Replied:
        """Send a report, and wait for the answer (port `Link`)."""
        came = await self._ask("exchange", "POST", "/v1/exchange", report, wait=wait, most=LARGEST_ANSWER)
        said = came.headers.get(exchange.NEXT, "")
        due = min(int(said), _MOST_SECONDS) if said.isascii() and said.isdigit() and len(said) < 10 else None
        signed = came.headers.get(time.HEADER, "")
        if came.status == 204:
            return Replied(None, signed, due)
        _must_be(came, 200)
        try:
            answer = msgspec.json.decode(came.body, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise layers.strange("it cannot be read", came.way) from error
        return Replied(answer, signed, due, len(came.body))

    async def metadata(self, role: str, version: int) -> bytes | None:
        """Return a file of TUF metadata, or None (port `Link`)."""
        name = f"{version}.{role}.json" if version else f"{role}.json"
        came = await self._ask("bulk", "GET", f"/v1/metadata/{name}", most=LARGEST_METADATA)
        try:
            return _must_be(came, 200)
        except NotFoundError:
            return None

    async def manifest(self, digest: str) -> bytes:
        """Return the manifest of a release (port `Link`)."""
        path = f"/v1/releases/{digest.removeprefix('sha256:')}"
        return _must_be(await self._ask("bulk", "GET", path, most=workload.LARGEST), 200)

    async def values(self, digest: str) -> bytes:
        """Return what fills a release on this device (port `Link`)."""
        return _must_be(await self._ask("bulk", "GET", f"/v1/values/{digest}", most=values.LARGEST), 200)

    async def blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on (port `Link`)."""
        headers: dict[str, str] = {hdrs.RANGE: f"bytes={offset}-"} if offset else {}
        response, way = await self._open("bulk", "GET", f"/v1/blobs/{digest}", headers=headers)
        async with response:
            if response.status == 416:
                return  # There is nothing beyond what is here: whether it is right its digest will say.
            if response.status not in (200, 206):
                _must_be(await self._whole(response, way, LARGEST_ANSWER), 200)
            past = offset if response.status == 200 else 0  # a plane that knows no ranges begins at the beginning
            if response.status == 206 and not _begins_at(response, offset):
                raise layers.strange("the part of the blob is another than was asked for", way)
            try:
                async for piece in response.content.iter_chunked(_PIECE):
                    if len(piece) > past:
                        yield piece[past:]
                    past = max(past - len(piece), 0)
            except _FAILURES as error:
                raise layers.unreachable(error, way) from error

    async def put(self, errand: str, digest: str, file: BinaryIO, size: int) -> None:
        """Send what an errand brought (port `Link`)."""
        headers = {errands.CONTENT: digest, hdrs.CONTENT_LENGTH: str(size)}
        body = Upload(file, size)
        response, way = await self._open("bulk", "PUT", f"/v1/errands/{errand}", body, headers=headers)
        async with response:  # its end is the end of sending, too
            _must_be(await self._whole(response, way, LARGEST_ANSWER), 204)

    async def renew(self, envelope: bytes) -> bytes:
        """Send a renewal, and return the answer's body (port `Link`)."""
        return _must_be(await self._ask("bulk", "POST", "/v1/renew", envelope, most=LARGEST_ANSWER), 200)

    async def join(self, envelope: bytes) -> bytes:
        """Send a join, and return the answer's body (`protocol.enrol.Joined`); the plane's refusals keep their code."""
        return _must_be(await self._ask("bulk", "POST", "/v1/join", envelope, most=2 * LARGEST_METADATA), 201)

    async def about(self) -> bytes:
        """Return what the plane says of itself (`protocol.api.DevicePlane`)."""
        return _must_be(await self._ask("bulk", "GET", "/v1/plane", most=LARGEST_ANSWER), 200)

    async def time(self) -> str:
        """Return the plane's signed time now (port `Link`)."""
        came = await self._ask("bulk", "GET", "/v1/time", most=LARGEST_ANSWER)
        if came.status not in (200, 204):
            _must_be(came, 204)
        found = came.headers.get(time.HEADER, "")
        if not found:
            raise layers.strange("it holds no time", came.way)
        return found

    async def close(self) -> None:
        """Let go of connections; the next question opens new ones."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _trusting(self, ca: str, pair: tuple[str, str] | None) -> ssl.SSLContext:
        return contexts.pinned(ca, pair)

    async def _ask(
        self, channel: str, method: str, path: str, body: bytes | None = None, *, wait: float = 0, most: int
    ) -> _Came:
        response, way = await self._open(channel, method, path, body, wait=wait)
        async with response:
            return await self._whole(response, way, most)

    async def _open(
        self,
        channel: str,
        method: str,
        path: str,
        body: bytes | Upload | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        wait: float = 0,
    ) -> tuple[aiohttp.ClientResponse, Way]:
        """Return the first answer that any of the addresses gives, from the one that answered last (rule 2)."""
        failures = []
        for address in self._in_turn():
            way = Way(address, *((self._proxy.readable, bool(self._proxy.authorization)) if self._proxy else ()))
            try:
                response = await self._dial(channel, method, address + path, body, headers or {}, wait)
            except _FAILURES as error:
                if isinstance(body, Upload) and body.failure:
                    raise body.failure from error
                if isinstance(error, aiohttp.ClientResponseError) and not layers.proxys(error):
                    raise layers.strange("it is not HTTP", way) from error
                failures.append(layers.unreachable(error, way))
                continue
            if failures or response.status >= 500:  # tell what it says; the next try goes elsewhere
                self._at = (self._addresses.index(address) + (response.status >= 500)) % len(self._addresses)
            return response, way
        raise layers.together(failures)

    def _in_turn(self) -> Sequence[str]:
        """Return the addresses in the order to try them in now. Other requests may be under way: it is this one's."""
        now = asyncio.get_running_loop().time()
        if now - self._first >= RETURN:
            self._at = 0
        if self._at == 0:
            self._first = now
        return self._addresses[self._at :] + self._addresses[: self._at]

    async def _dial(
        self, channel: str, method: str, url: str, body: bytes | Upload | None, headers: Mapping[str, str], wait: float
    ) -> aiohttp.ClientResponse:
        for again in (True, False):
            try:
                if isinstance(body, Upload):
                    return await self._send(url, body, headers)
                return await self._session(channel).request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=self._timeout(channel, wait, len(body or b"")),
                    **self._through(),
                    allow_redirects=False,
                )
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the other end let go of meanwhile: everything we send may be sent twice.
                if not again:
                    raise
        raise AssertionError

    async def _send(self, url: str, body: Upload, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a file, once the plane says that it wants it; return its answer, which may come before the end."""
        patience = self._patience
        stall = body.patience(patience.stall, patience.pace)
        async with asyncio.timeout(2 * patience.connect + stall) as watch:
            response = await self._session("bulk").put(
                url,
                data=body.pieces(watch, stall),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=stall),
                **self._through(),
                allow_redirects=False,
                expect100=True,
            )
            body.answered = True
            return response

    def _through(self) -> dict[str, Any]:
        return {"proxy": self._proxy.url, "proxy_headers": self._proxy.headers} if self._proxy else {}

    def _timeout(self, channel: str, wait: float, size: int) -> aiohttp.ClientTimeout:
        patience = self._patience
        sending = size / patience.pace
        return aiohttp.ClientTimeout(
            total=None if channel == "bulk" else 2 * patience.connect + wait + patience.answer + sending,
            sock_connect=patience.connect,
            connect=2 * patience.connect if channel == "exchange" else None,
            sock_read=patience.stall if channel == "bulk" else wait + patience.answer,
        )

    def _session(self, channel: str) -> aiohttp.ClientSession:
        if channel not in self._sessions:
            connector = aiohttp.TCPConnector(
                ssl=self._context,
                limit=1 if channel == "exchange" else 8,
                keepalive_timeout=_KEPT,
                local_addr=(self._source, 0) if dialling.is_address(self._source) else None,
                socket_factory=dialling.factory(self._source),
                resolver=aiohttp.ThreadedResolver(),
            )
            self._sessions[channel] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_SILENT,
            )
        return self._sessions[channel]

    async def _whole(self, response: aiohttp.ClientResponse, way: Way, most: int) -> _Came:
        body = bytearray()
        try:
            async for piece in response.content.iter_chunked(_PIECE):
                body += piece
                if len(body) > most:
                    raise layers.strange(f"it is over {most} bytes", way)
        except _FAILURES as error:
            raise layers.unreachable(error, way) from error
        return _Came(response.status, response.headers, bytes(body), way)


class _Unverified(Tls):
    """The same way, to whoever answers: what comes over it must be held against a pin, and nothing secret goes in."""

    def _trusting(self, ca: str, pair: tuple[str, str] | None) -> ssl.SSLContext:  # noqa: ARG002 - believes nobody
        return contexts.unverified()


async def introduced(
    addresses: Sequence[str], *, proxy: str | None = None, source: str | None = None, patience: Patience | None = None
) -> bytes:
    """Return what answers at `addresses` says of itself. Nobody has verified who that is."""
    link = _Unverified(addresses, "", proxy=proxy, source=source, patience=patience)
    try:
        return await link.about()
    finally:
        await link.close()


def _must_be(came: _Came, status: int) -> bytes:
    """Return the body of an answer of this status; raise what another one says."""
    if came.status == status:
        return came.body
    if came.status < 400:
        raise layers.strange(f"it is an answer {came.status}", came.way)
    raise layers.refused(came.status, came.headers, came.body, came.way)


def _begins_at(response: aiohttp.ClientResponse, offset: int) -> bool:
    return response.headers.get(hdrs.CONTENT_RANGE, "").startswith(f"bytes {offset}-")
