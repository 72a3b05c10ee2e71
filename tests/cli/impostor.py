# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that speaks the plane's contract badly, and remembers what it was told."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from checkvalve.cli import config
from checkvalve.cli.config import Config
from checkvalve.crypto import certificates, keys, tokens

TOKEN = tokens.api_token(bytes(range(32)))
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Authority:
    """A certificate authority (PEM, pin) and what a server shows under it (files)."""

    pem: bytes
    pin: str
    chain: Path
    key: Path

    @classmethod
    def made(cls, directory: Path) -> "Authority":
        """Make one, for `localhost`."""
        now = datetime.now(UTC)
        begins, ends = now - timedelta(days=1), now + timedelta(days=30)
        root, leaf = keys.make(), keys.make()
        ca = certificates.issue_authority(root, "impostor", not_before=begins, not_after=ends, serial=1)
        der = certificates.issue_server(
            ca, root, leaf.public_key(), ["localhost"], not_before=begins, not_after=ends, serial=2
        )
        chain, key = directory / "chain.pem", directory / "key.pem"
        chain.write_bytes(certificates.to_pem(der))
        key.write_bytes(keys.dump(leaf))
        return cls(certificates.to_pem(ca), keys.fingerprint(root.public_key()), chain, key)


@dataclass(frozen=True)
class Told:
    """One request as it came."""

    method: str
    path: str
    authorization: str
    body: bytes


Handler = Callable[["Exchange"], None]


@dataclass
class Impostor:
    """Answers by `handler`; `heard` is what came."""

    url: str
    authority: Authority
    heard: list[Told] = field(default_factory=list)
    handler: Handler = lambda exchange: exchange.answer(404, "text/plain", b"nothing")
    ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def serving(cls, authority: Authority) -> Iterator["Impostor"]:
        """Serve over TLS until the block ends."""
        server = _Server(("127.0.0.1", 0), Exchange)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.chain, authority.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.impostor = cls(f"https://localhost:{server.server_address[1]}", authority)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.impostor
        finally:
            server.impostor.ended.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def answers(self, status: int, kind: str, body: bytes) -> None:
        """Answer everything so; `/ca.pem` is as a plane has it."""
        self.handler = lambda exchange: exchange.answer(status, kind, body)

    def signed_in_at(self, path: Path) -> None:
        """Write a sign-in to this server."""
        config.write(
            path,
            Config(url=self.url, login="anna", token=TOKEN, token_id="0" * 26, ca=self.authority.pem.decode()),
        )


class _Server(ThreadingHTTPServer):
    impostor: Impostor

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up: many tests are about that."""


class Exchange(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    timeout = 10

    def answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """Answer the request."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _any(self) -> None:
        impostor = self.server.impostor
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        impostor.heard.append(Told(self.command, self.path, self.headers.get("Authorization", ""), body))
        if self.path == "/ca.pem":
            self.answer(200, "application/x-pem-file", impostor.authority.pem)
        else:
            impostor.handler(self)

    do_GET = do_POST = do_DELETE = do_PATCH = _any  # noqa: N815 - so the library calls them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
