# SPDX-License-Identifier: Apache-2.0
"""The listeners with real sockets and real TLS clients, on asyncio's loop and on uvloop."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import httpx
import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from checkvalve import clock
from checkvalve.crypto import certificates, keys
from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.server.web import tls
from checkvalve.server.web.listeners import Listener, serve
from checkvalve.server.web.protocols import Limits, peer_certificate

Run = Callable[[Coroutine[Any, Any, None]], None]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
DAY = timedelta(days=1)
DEVICE = clock.new_id()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def on_loop(story: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(story, 30))

    return on_loop


class Terms(TypedDict):
    not_before: datetime
    not_after: datetime
    serial: int


class Authority(NamedTuple):
    certificate: bytes
    key: keys.PrivateKey


def terms(start: timedelta = -DAY, end: timedelta = DAY) -> Terms:
    serial = certificates.serial(clock.entropy(16))
    return Terms(not_before=clock.now() + start, not_after=clock.now() + end, serial=serial)


def authority(name: str) -> Authority:
    key = keys.make()
    return Authority(certificates.issue_authority(key, name, **terms()), key)


@dataclass
class Pki:
    """An authority, what it issued, and contexts of clients that trust it."""

    folder: Path
    ca: Authority = field(default_factory=lambda: authority("Plant CA"))

    def server(self, name: str = "server") -> tuple[Path, Path]:
        key = keys.make()
        leaf = certificates.issue_server(*self.ca, key.public_key(), ["localhost", "127.0.0.1"], **terms())
        return self.write(name, leaf, key)

    def write(self, name: str, leaf: bytes, key: keys.PrivateKey) -> tuple[Path, Path]:
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(certificates.to_pem(leaf))
        secret.write_bytes(keys.dump(key))
        return certificate, secret

    def client(self, ca: Authority | None = None, validity: Terms | None = None) -> ssl.SSLContext:
        """Return the context of a device: its certificate is issued by `ca`, by default the right one."""
        key = keys.make()
        leaf = certificates.issue_device(*(ca or self.ca), key.public_key(), DEVICE, **(validity or terms()))
        context = self.stranger()
        context.load_cert_chain(*self.write("client", leaf, key))
        return context

    def stranger(self) -> ssl.SSLContext:
        """Return the context of a client without a certificate."""
        return ssl.create_default_context(cadata=certificates.to_pem(self.ca.certificate).decode())

    def devices(self) -> ssl.SSLContext:
        return tls.devices_context(*self.server(), certificates.to_pem(self.ca.certificate).decode())

    def operators(self) -> ssl.SSLContext:
        return tls.operators_context(*self.server())


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@dataclass
class App:
    """An application that says who the peer is, and holds `/hold` until it is let go."""

    lifespan: list[str] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self.live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": json.dumps(self.peer(scope))})
                while (await receive())["type"] != "websocket.disconnect":
                    pass
            case _:
                await self.answer(scope, receive, send)

    async def live(self, receive: Receive, send: Send) -> None:
        for _ in range(2):
            name = (await receive())["type"]
            self.lifespan.append(name)
            await send({"type": f"{name}.complete"})

    async def answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/hold":
            self.held.set()
            await self.let_go.wait()
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        body = json.dumps(self.peer(scope)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def peer(self, scope: dict[str, Any]) -> dict[str, Any]:
        certificate = peer_certificate(scope)
        if certificate is None:
            return {"device": None}
        expired = certificates.validity(certificate)[1] < clock.now()
        return {"device": certificates.device_id(certificate), "expired": expired}


def listener(app: App, context: ssl.SSLContext, **limits: float) -> Listener:
    return Listener("devices", app, "127.0.0.1", 0, context, Limits(**limits))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def serving(*listeners: Listener, grace: float = 10.0) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    for one in listeners:
        if not one.sockets:
            one.bind()
    task = asyncio.create_task(serve(listeners, stop, grace=grace))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def ask(one: Listener, context: ssl.SSLContext, path: str = "/") -> dict[str, Any]:
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        answer = (await client.get(f"https://127.0.0.1:{one.port}{path}")).raise_for_status().json()
        assert isinstance(answer, dict)
        return answer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is a counter
        await asyncio.sleep(0.005)


async def raw(one: Listener, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", one.port, ssl=context)


@contextlib.asynccontextmanager
async def opened(
    one: Listener, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await raw(one, context)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def drained(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the server closes or resets."""
    data = b""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(4096):
            data += chunk
    return data


def test_http_sees_the_certificate_of_the_device(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        async with serving(one):
            assert await ask(one, pki.client()) == {"device": DEVICE, "expired": False}
            assert await ask(one, pki.stranger()) == {"device": None}

    run(story())


def test_a_websocket_sees_the_certificate_of_the_device(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        async with serving(one):
            url = f"wss://127.0.0.1:{one.port}/"
            async with connect(url, ssl=pki.client(), proxy=None) as link:
                assert json.loads(await link.recv()) == {"device": DEVICE, "expired": False}
            async with connect(url, ssl=pki.stranger(), proxy=None) as link:
                assert json.loads(await link.recv()) == {"device": None}

    run(story())


def test_operators_are_asked_for_no_certificate(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.operators())
        async with serving(one):
            assert await ask(one, pki.client()) == {"device": None}

    run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("start", "end", "expired"),
    [(-3 * DAY, -2 * DAY, True), (2 * DAY, 3 * DAY, False)],
    ids=["expired", "not yet valid"],
)
def test_a_certificate_out_of_time_completes_the_handshake_and_the_application_judges(
    run: Run, pki: Pki, version: ssl.TLSVersion, start: timedelta, end: timedelta, *, expired: bool
) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        context = pki.client(validity=terms(start, end))
        context.maximum_version = version
        async with serving(one):
            assert await ask(one, context) == {"device": DEVICE, "expired": expired}

    run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_another_authority_is_refused_in_the_handshake(
    run: Run, pki: Pki, version: ssl.TLSVersion
) -> None:
    async def story() -> None:
        app = App()
        one = listener(app, pki.devices())
        # The same name and another key: only the signature tells.
        context = pki.client(authority("Plant CA"))
        context.maximum_version = version
        async with serving(one):
            with pytest.raises(httpx.TransportError):
                await ask(one, context)
            await until(lambda: one.counts.failed_handshakes == 1)
            assert one.counts.accepted == 0
            assert not app.held.is_set()

    run(story())


def test_the_certificate_of_a_listener_is_no_client_certificate(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        context = pki.stranger()
        context.load_cert_chain(*pki.server("thief"))
        async with serving(one):
            with pytest.raises(httpx.TransportError):
                await ask(one, context)
            await until(lambda: one.counts.failed_handshakes == 1)

    run(story())


# A ClientHello of TLS 1.1 (RFC 4346, 7.4.1.2) with one suite, TLS_RSA_WITH_AES_128_CBC_SHA.
HELLO_1_1 = bytes.fromhex("160302002d010000290302") + bytes(32) + bytes.fromhex("000002002f0100")


def test_tls_1_1_is_refused(run: Run, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "checkvalve.listeners")

    async def story() -> None:
        one = listener(App(), pki.devices())
        async with serving(one), opened(one, None) as (reader, writer):
            writer.write(HELLO_1_1)
            # An event loop closes without the alert that OpenSSL wrote; no ServerHello is what counts.
            assert await drained(reader) == b""
            await until(lambda: one.counts.failed_handshakes == 1)
        assert "UNSUPPORTED_PROTOCOL" in caplog.text

    run(story())


@pytest.mark.parametrize(
    ("suites", "good"),
    [("ECDHE-ECDSA-AES256-GCM-SHA384", True), ("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA", False)],
)
def test_tls_1_2_speaks_aes_gcm_only(run: Run, pki: Pki, suites: str, *, good: bool) -> None:
    async def story() -> None:
        one = listener(App(), pki.operators())
        context = pki.stranger()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suites)
        async with serving(one):
            with contextlib.nullcontext() if good else pytest.raises(httpx.TransportError):
                await ask(one, context)

    run(story())


def test_silent_clients_are_dropped_in_time_and_block_nobody(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), handshake_time=0.3, handshakes=8)
        async with serving(one), contextlib.AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(opened(one, None)) for _ in range(4)]
            assert await ask(one, pki.client()) == {"device": DEVICE, "expired": False}
            assert one.counts.late_handshakes == 0
            assert [await drained(reader) for reader, _ in silent] == [b""] * 4
            assert one.counts.late_handshakes == 4

    run(story())


def test_with_every_slot_held_by_silent_clients_the_next_one_waits_and_is_served(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), handshake_time=0.3, handshakes=2)
        async with serving(one), contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(opened(one, None))
            assert await ask(one, pki.client()) == {"device": DEVICE, "expired": False}
            assert one.counts.refused == 0

    run(story())


def test_a_connection_above_the_limit_is_refused_until_another_leaves(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), connections=2)
        async with serving(one):
            async with opened(one, pki.client()), opened(one, pki.client()):
                with pytest.raises(httpx.TransportError):
                    await ask(one, pki.client())
                assert one.counts.refused == 1
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert await ask(one, pki.client()) == {"device": DEVICE, "expired": False}
                    break

    run(story())


def test_connections_are_refused_when_descriptors_run_out(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), descriptor_share=0.0)
        async with serving(one):
            with pytest.raises(httpx.TransportError):
                await ask(one, pki.client())
            assert one.counts.refused == 1

    run(story())


REQUEST = b"GET / HTTP/1.1\r\nhost: plane\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", False),
        (b"GET / HTTP/1.1\r\nhost: pl", False),
        (b"POST / HTTP/1.1\r\nhost: plane\r\ncontent-length: 5000\r\n\r\nslow", False),
        (b"POST / HTTP/1.1\r\nhost: plane\r\ntransfer-encoding: chunked\r\n\r\n4\r\nslow\r\n", False),
        (REQUEST + b"GET /", True),
    ],
    ids=["nothing", "half a head", "half a body", "half a chunked body", "half a second head"],
)
def test_a_request_that_stands_still_is_cut_off(run: Run, pki: Pki, sent: bytes, *, answered: bool) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), head_time=0.2, body_time=0.2)
        async with serving(one), opened(one, pki.client()) as (reader, writer):
            writer.write(sent)
            answer = await drained(reader)
            assert answer.startswith(b"HTTP/1.1 200 OK") is answered
            assert one.counts.slow_requests == 1

    run(story())


def test_a_blank_line_does_not_keep_an_idle_connection(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), head_time=0.2)
        async with serving(one), opened(one, pki.client()) as (reader, writer):
            writer.write(REQUEST)
            await reader.readuntil(b"}")
            writer.write(b"\r\n")
            assert await drained(reader) == b""
            assert one.counts.slow_requests == 1

    run(story())


@pytest.mark.slow
def test_a_body_that_keeps_its_pace_may_take_longer_than_one_time(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), body_time=0.5, body_pace=10)
        async with serving(one), opened(one, pki.client()) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: plane\r\ncontent-length: 120\r\nconnection: close\r\n\r\n")
            for _ in range(12):
                writer.write(b"x" * 10)
                await asyncio.sleep(0.06)  # 0.7 s in all: longer than one time, each part well within it
            assert (await drained(reader)).startswith(b"HTTP/1.1 200 OK")
            assert one.counts.slow_requests == 0

    run(story())


def test_a_held_request_is_not_slow(run: Run, pki: Pki) -> None:
    async def story() -> None:
        app = App()
        one = listener(app, pki.devices(), head_time=0.1, body_time=0.1)
        async with serving(one):
            question = asyncio.create_task(ask(one, pki.client(), "/hold"))
            await app.held.wait()
            await asyncio.sleep(0.3)
            app.let_go.set()
            assert (await question)["device"] == DEVICE

    run(story())


def test_an_idle_connection_is_closed_after_its_time(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), idle_time=0.2)
        async with serving(one), opened(one, pki.client()) as (reader, writer):
            writer.write(REQUEST)
            assert (await drained(reader)).startswith(b"HTTP/1.1 200 OK")
            assert one.counts.slow_requests == 0

    run(story())


def test_a_head_without_end_is_refused(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices(), head_size=20_000)
        async with serving(one), opened(one, pki.client()) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nx: ")
            with contextlib.suppress(OSError):
                while not writer.is_closing() and not reader.at_eof():
                    writer.write(b"x" * 1000)
                    await writer.drain()
                    await asyncio.sleep(0)
            assert (await drained(reader)).startswith(b"HTTP/1.1 431 ")

    run(story())


def test_answers_carry_the_date_and_no_name_of_the_server(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        async with serving(one), httpx.AsyncClient(verify=pki.client(), trust_env=False) as client:
            headers = (await client.get(f"https://127.0.0.1:{one.port}/")).headers
            assert headers["date"].endswith("GMT")
            assert "server" not in headers

    run(story())


def test_stopping_lets_a_running_request_end(run: Run, pki: Pki) -> None:
    async def story() -> None:
        app = App()
        one = listener(app, pki.devices())
        async with serving(one) as stop, opened(one, pki.client()), opened(one, None):
            question = asyncio.create_task(ask(one, pki.client(), "/hold"))
            await app.held.wait()
            stop.set()
            await until(lambda: not one.sockets)
            with pytest.raises(ConnectionRefusedError):
                await raw(one, None)
            assert app.lifespan == ["lifespan.startup"]
            app.let_go.set()
            assert (await question)["device"] == DEVICE
        assert app.lifespan == ["lifespan.startup", "lifespan.shutdown"]

    run(story())


def test_stopping_cuts_off_what_outlasts_the_grace(run: Run, pki: Pki) -> None:
    async def story() -> None:
        app = App()
        one = listener(app, pki.devices())
        async with serving(one, grace=0.2) as stop:
            question = asyncio.create_task(ask(one, pki.client(), "/hold"))
            await app.held.wait()
            stop.set()
            with pytest.raises(httpx.HTTPError):
                await question
        assert app.lifespan[-1] == "lifespan.shutdown"

    run(story())


def test_stopping_tells_a_websocket_that_the_service_restarts(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = listener(App(), pki.devices())
        one.bind()
        url = f"wss://127.0.0.1:{one.port}/"
        async with serving(one) as stop, connect(url, ssl=pki.client(), proxy=None) as link:
            await link.recv()
            stop.set()
            with pytest.raises(ConnectionClosed) as caught:
                await link.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012

    run(story())


def test_two_listeners_of_one_application_live_one_life(run: Run, pki: Pki) -> None:
    async def story() -> None:
        app, other = App(), App()
        doors = (listener(app, pki.devices()), listener(app, pki.operators()), listener(other, pki.operators()))
        async with serving(*doors):
            assert [(await ask(door, pki.client()))["device"] for door in doors] == [DEVICE, None, None]
        assert app.lifespan == other.lifespan == ["lifespan.startup", "lifespan.shutdown"]

    run(story())


def test_sigterm_is_left_to_the_caller(run: Run, pki: Pki) -> None:
    async def story() -> None:
        app = App()
        one = listener(app, pki.devices())
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        async with serving(one) as stop:
            await ask(one, pki.client())
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        assert app.lifespan[-1] == "lifespan.shutdown"

    run(story())


def test_an_application_that_does_not_start_stops_the_plane_with_a_sentence(run: Run, pki: Pki) -> None:
    async def broken(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def story() -> None:
        one = Listener("operators", broken, "127.0.0.1", 0, pki.operators())
        with pytest.raises(UnavailableError) as caught:
            await serve([one], asyncio.Event())
        assert caught.value.code == "listener.startup"
        assert not one.sockets

    run(story())


def test_a_taken_port_is_told_in_a_sentence(pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = Listener("operators", App(), "127.0.0.1", taken.getsockname()[1], pki.operators())
        with pytest.raises(UnavailableError, match="operators listener cannot take port") as caught:
            one.bind()
    assert caught.value.code == "listener.address"


def test_every_address_of_the_host_shares_one_port(run: Run, pki: Pki) -> None:
    async def story() -> None:
        one = Listener("operators", App(), "", 0, pki.operators())
        async with serving(one):
            assert {taken.getsockname()[1] for taken in one.sockets} == {one.port}
            assert await ask(one, pki.stranger()) == {"device": None}

    run(story())


def test_a_replaced_certificate_is_shown_to_the_next_connection(run: Run, pki: Pki) -> None:
    async def shown(one: Listener) -> bytes:
        async with opened(one, pki.stranger()) as (_, writer):
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert isinstance(found, bytes)
            return found

    async def story() -> None:
        one = listener(App(), tls.operators_context(*pki.server("first")))
        second, key = pki.server("second")
        async with serving(one), opened(one, pki.stranger()) as (reader, writer):
            before = await shown(one)
            one.context = tls.operators_context(second, key)
            assert await shown(one) == certificates.from_pem(second.read_bytes()) != before
            writer.write(REQUEST)
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"

    run(story())


def encrypted(pki: Pki) -> tuple[Path, Path]:
    certificate, key = pki.server("locked")
    lines = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", *ENCRYPTED_KEY, "-----END ENCRYPTED PRIVATE KEY-----", ""]
    key.write_text("\n".join(lines))
    return certificate, key


# A PKCS #8 key under PBES2 with the password "secret"; it opens nothing.
ENCRYPTED_KEY = (
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh+n4Lg9pSO7QICCAAw",
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGgIu+IO0mva1u2zDl78mb0EgZAw",
    "XdZnLJ4m8sM/mlp4ugNCsMern+fFXkp00Vo8Ood7p4Zt8ZnR/rdZf6ueNelxi05w",
    "3nPRsdY/lrx6IN9pRXbE2/IZZgm0ijSMmYMal6j3FY7pgRXpcbBqb4qABhTz7E+2",
    "T5nH+9f8e5A2f0qeqzRLd93lurmqriYG6pmavm07TYB7TFCEoCszYpACiqHFCaU=",
)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (lambda pki: (pki.server("one")[0], pki.server("two")[1]), "tls.certificate"),
        (lambda pki: (pki.server("one")[1], pki.server("one")[1]), "tls.certificate"),
        (lambda pki: (pki.folder / "absent.pem", pki.server("one")[1]), "tls.file"),
        (encrypted, "tls.certificate"),
    ],
    ids=["of two pairs", "a key for a certificate", "absent", "encrypted"],
)
def test_a_pair_that_cannot_serve_is_refused(pki: Pki, files: Callable[[Pki], tuple[Path, Path]], code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        tls.operators_context(*files(pki))
    assert caught.value.code == code


def test_a_device_authority_that_is_none_is_refused(pki: Pki) -> None:
    for text in ("", "nothing"):
        with pytest.raises(InvalidError) as caught:
            tls.devices_context(*pki.server(), text)
        assert caught.value.code == "tls.authority"
