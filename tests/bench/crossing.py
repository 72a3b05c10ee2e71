# SPDX-License-Identifier: Apache-2.0
"""A device's visit: what the plane pays for one that has nothing to say, and what an idle agent costs its device."""

import asyncio
import itertools
import json
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from checkvalve import clock
from checkvalve.agent import enrol, identity
from checkvalve.agent.disk import files
from checkvalve.agent.identity import Identity
from checkvalve.agent.link import contexts
from checkvalve.agent.link.tls import Tls
from checkvalve.demo.fleet import Agent
from checkvalve.demo.stage import Stage
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import LONGEST_WAIT, Report, State, Status
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database
from tests.agent import living
from tests.agent.plane import Relay, listening
from tests.bench.measure import Measure
from tests.server.exchange import world
from tests.server.web.crossing import Crossing

DEVICES = 64
SECONDS = 3.0
ALONE = 30_000  # exchanges of the handler without a connection
RUNS = 3
WATCHED = 60.0  # seconds an idle agent is watched
STATUS = Status(state=State.IDLE, agent="bench", engine="none", link="remote")


def measures() -> Iterator[Measure]:
    """Measure the idle exchange from both sides."""
    with tempfile.TemporaryDirectory() as text:
        alone = _alone(Path(text))
    yield Measure(
        "idle exchanges, handler alone",
        alone,
        "1/s",
        ">= 15000",
        f"the devices' application without sockets and TLS, one core: certificate looked up, body decoded, answered "
        f"204 with the signed time of this second; {DEVICES} devices in turn, median of {RUNS} runs of {ALONE:,}",
    )
    with tempfile.TemporaryDirectory() as text:
        stage = Stage(Path(text), keep=False)
        stage.make_plane("admin")
        stage.start()
        try:
            token = _invited(stage, Path(text))
            yield from _measured(stage, token, Path(text))
        finally:
            stage.leave()


def _measured(stage: Stage, token: str, directory: Path) -> Iterator[Measure]:
    devices = asyncio.run(_joined(stage, token, directory))
    yield Measure(
        "idle exchanges over kept-alive mTLS",
        statistics.median(asyncio.run(_load(stage, devices)) for _ in range(RUNS)),
        "1/s",
        ">= 3000",
        f"{DEVICES} devices, a connection each, report after report, answered 204 from memory; the caller (asyncio, "
        f"reports made before) on the same two cores; median of {RUNS} runs of {SECONDS:.0f} s",
    )
    sent, came = asyncio.run(_bytes(stage, devices[0]))
    yield Measure(
        "TLS record bytes of an idle exchange",
        sent + came,
        "B",
        "< 600",
        f"report {sent} B, answer {came} B with all headers and record headers; the agent's own link, counted by a "
        f"relay on TCP; the {_long(devices[0])} B that a device with a history says more are in it",
    )
    yield from _idle(stage, token, directory)


def _alone(directory: Path) -> float:
    """Return idle exchanges a second of the handler: its application is called as a server would."""
    database = Database.open(f"sqlite:{directory}/checkvalve.sqlite", directory)
    migrate.upgrade(database)
    here = Crossing(world.started(database, clock.new_id, datetime(2026, 11, 3, 12, tzinfo=UTC)), directory)
    machines = [here.world.machine() for _ in range(DEVICES)]
    callers = [(here.shown(each), msgspec.json.encode(each.report())) for each in machines]
    rates: list[float] = []

    async def run() -> float:
        statuses = set[int]()

        async def send(message: dict[str, Any]) -> None:
            statuses.add(message.get("status", 204))

        begun = time.perf_counter()
        for shown, body in itertools.islice(itertools.cycle(callers), ALONE):

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            headers = [(b"host", b"192.0.2.1:8443"), (b"content-length", b"%d" % len(body))]
            scope = {"type": "http", "method": "POST", "path": "/v1/exchange", "headers": headers}
            await shown(scope, receive, send)
        took = time.perf_counter() - begun
        assert statuses == {204}
        return ALONE / took

    async def tell() -> None:
        rates.extend([await run() for _ in range(RUNS)])

    here.story(tell)
    database.close()
    return statistics.median(rates)


def _invited(stage: Stage, directory: Path) -> str:
    """Give the plane a root of trust and a site; return the token of an invite."""
    secret, keys = stage.secret("passphrase"), directory / "keys"
    stage.run("", "keys", "make", "rut", "--out", str(keys), "--passphrase-file", str(secret))
    named = [word for role in ("--root", "--targets") for word in (role, str(keys / "rut.pub"))]
    online = str(stage.home / "keys" / "online.pub")
    stage.run("", "keys", "init", "--plane-key", online, "--out", str(keys), *named)
    root = str(keys / "root.json")
    stage.run("", "keys", "sign", root, "--key", str(keys / "rut.key"), "--passphrase-file", str(secret))
    stage.run("admin", "trust", "install", root)
    admin = stage.caller("admin")
    top = admin.post("/api/v1/scopes", parent="/", kind="organisation", name="Bench")["path"]
    site = admin.post("/api/v1/scopes", parent=top, kind="site", name="Site")["path"]
    said = stage.run("admin", "device", "invite", "--scope", site, "--count", str(DEVICES + 1), "--json")
    return str(json.loads(said)["token"])


async def _joined(stage: Stage, token: str, directory: Path) -> list[Identity]:
    invited = enrol.invitation([stage.devices], token, stage.pin)
    found = []
    for number in range(DEVICES):
        disk = files.take(directory / f"device-{number}")
        await enrol.join(disk, invited, name=f"bench-{number}", machine="", agent="bench")
        known = identity.load(disk)
        assert known is not None
        found.append(known)
        disk.close()
    return found


async def _load(stage: Stage, devices: list[Identity]) -> float:
    """Return idle exchanges a second."""
    connections = [await _connected(stage, device) for device in devices]
    ends = time.perf_counter() + SECONDS
    counts = await asyncio.gather(*(_report(reader, writer, idle, ends) for reader, writer, idle in connections))
    for _, writer, _ in connections:
        writer.close()
    return sum(counts) / SECONDS


async def _connected(stage: Stage, device: Identity) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    where = urlsplit(stage.devices)
    context: ssl.SSLContext = contexts.pinned(device.ca, device.pair())
    reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
    for first in (True, False):  # the second finds everything known
        await _once(reader, writer, _request(device, where.netloc, whole=first))
    return reader, writer, _request(device, where.netloc)


async def _report(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: bytes, ends: float) -> int:
    count = 0
    while time.perf_counter() < ends:
        assert (await _once(reader, writer, idle)).startswith(b"HTTP/1.1 204 ")
        count += 1
    return count


async def _once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    _, found, length = head.lower().partition(b"content-length: ")
    if found:
        await reader.readexactly(int(length.split(b"\r\n")[0]))
    return head


def _request(device: Identity, host: str, *, whole: bool = False) -> bytes:
    body = msgspec.json.encode(report(device, whole=whole))
    return b"POST /v1/exchange HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b" % (host.encode(), len(body), body)


def report(device: Identity, *, whole: bool = False) -> Report:
    """Return what an idle device says; `whole` with its status, as it does once."""
    return Report(
        capability=CAPABILITY,
        journal=device.device,  # any id will do
        seq=0,
        generation=device.generation,
        state=exchange.digest(STATUS),
        clock=time.time_ns() // 1_000_000,
        status=STATUS if whole else None,
    )


async def _bytes(stage: Stage, device: Identity) -> tuple[int, int]:
    """Return what went out and what came back over TCP for one idle exchange of the agent's own link."""
    relay = Relay(urlsplit(stage.devices).port or 0)
    async with listening(relay.take) as port:
        link = Tls([f"https://127.0.0.1:{port}"], device.ca, device.pair())
        for whole in (True, False):
            await link.exchange(msgspec.json.encode(report(device, whole=whole)), 0)
        relay.up = relay.down = 0
        replied = await link.exchange(msgspec.json.encode(report(device)), 0)
        assert replied.answer is None
        taken = relay.up + _long(device), relay.down
        await link.close()
    return taken


def _long(device: Identity) -> int:
    """Return how many bytes more the report has of a device that has taken orders, and lets its answer be held."""
    short = report(device)
    long = msgspec.structs.replace(short, seq=12_345, epoch=1, counter=1_234, wait=LONGEST_WAIT)
    return len(msgspec.json.encode(long)) - len(msgspec.json.encode(short))


def _idle(stage: Stage, token: str, directory: Path) -> Iterator[Measure]:
    agent = Agent("idle", directory / "idle")
    assert agent.join(stage.devices, token, stage.pin) == ""
    agent.start(directory / "idle.log", ("--engine", "simulated"))
    try:
        assert agent.process is not None
        threading.Event().wait(5)  # until it has told all it has to tell
        before = _seconds_of(agent.process.pid)
        threading.Event().wait(WATCHED)
        spent = _seconds_of(agent.process.pid) - before
        memory = living.memory(agent.process.pid) / 1e6
    finally:
        agent.stop()
    yield Measure("memory of an idle agent", memory, "MB", "< 60", f"VmRSS {WATCHED:.0f} s after it had reported")
    yield Measure(
        "processor of an idle agent, a day",
        spent / WATCHED * 86_400,
        "s",
        "",
        f"user and system time of {WATCHED:.0f} s in `remote`, nothing to do, simulated engine, times 1,440",
    )


def _seconds_of(pid: int) -> float:
    """Return the processor time of all threads of a process: by the scheduler's own clock, in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
