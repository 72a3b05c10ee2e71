# SPDX-License-Identifier: Apache-2.0
"""The plane as a process, asked over TLS by this one on the same two cores."""

import concurrent.futures
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from checkvalve.demo.caller import Caller
from checkvalve.demo.stage import Stage
from tests.bench.measure import Measure, median_of, seconds

HANDSHAKES = 400
REQUESTS = 400


def measures() -> Iterator[Measure]:
    """Measure start, handshakes, signed-in requests and memory."""
    with tempfile.TemporaryDirectory() as text:
        stage = Stage(Path(text), keep=False)
        stage.make_plane("admin")
        yield Measure(
            "start of the plane until both listeners answer", stage.start(), "s", "", "checkvalve serve, SQLite"
        )
        try:
            yield from _asked(stage)
        finally:
            stage.leave()


def _asked(stage: Stage) -> Iterator[Measure]:
    authority = stage.home / "keys" / "authority.crt"
    yield Measure(
        "TLS 1.3 handshakes, full",
        HANDSHAKES / seconds(lambda: _handshakes(stage.devices, authority)),
        "1/s",
        "",
        f"{HANDSHAKES} by 4 threads without resumption; both ends on the same two cores",
    )
    admin = stage.caller("admin")
    admin.get("/api/v1/me")
    yield Measure(
        "one signed-in request (/api/v1/me)",
        median_of(REQUESTS, lambda: seconds(lambda: admin.get("/api/v1/me"))) * 1000,
        "ms",
        "",
        f"median of {REQUESTS} one after the other on one kept-alive connection",
    )
    yield Measure(
        "signed-in requests (/api/v1/me)",
        REQUESTS / seconds(lambda: _requests(admin)),
        "1/s",
        "",
        f"{REQUESTS} by 8 threads; the caller (httpx) takes more of the two cores than the plane",
    )
    yield Measure(
        "one change with its entry (a scope renamed)", _change(admin), "ms", "", "median of 50, one after the other"
    )
    yield Measure("memory of the plane after that", _memory(stage), "MB", "", "VmRSS of checkvalve serve")


def _handshakes(url: str, authority: Path) -> None:
    where = urlsplit(url)
    context = ssl.create_default_context(cafile=str(authority))

    def one(_: int) -> None:
        with (
            socket.create_connection((where.hostname, where.port)) as plain,
            context.wrap_socket(plain, server_hostname=where.hostname),
        ):
            pass

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(HANDSHAKES)))


def _requests(admin: Caller) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: admin.get("/api/v1/me"), range(REQUESTS)))


def _change(admin: Caller) -> float:
    made = admin.post("/api/v1/scopes", parent="/", kind="organisation", name="Bench")
    names = iter(range(1000))
    path = f"/api/v1/scopes/{made['id']}"
    return median_of(50, lambda: seconds(lambda: admin.patch(path, name=f"Bench {next(names)}"))) * 1000


def _memory(stage: Stage) -> float:
    pid = (stage.directory / "plane.pid").read_text()
    line = subprocess.run(["grep", "VmRSS", f"/proc/{pid}/status"], check=True, capture_output=True, text=True).stdout
    return int(line.split()[1]) / 1000
