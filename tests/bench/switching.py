# SPDX-License-Identifier: Apache-2.0
"""A device changes its release on a real engine: how long nobody answers, what it takes, and what the agent needs.

Beside it Docker Compose makes the same change on the same engine, in turns, so that both meet the same machine.

A question that comes while the engine puts the new container on its network makes the kernel look for an address that
nobody has yet, and look again a second later. That second is the same for everybody, and hides what differs: so the
kernel looks again each 10 ms here, and once more it is measured as a kernel does by itself.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from checkvalve import clock
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Gate, Port
from tests.agent import living as lives
from tests.agent.engine import images
from tests.agent.engine.images import Made
from tests.agent.living import Living, living
from tests.bench import composed
from tests.bench.composed import Compose
from tests.bench.measure import Measure
from tests.parts import docker

RUNS = 5
POOL = "10.213.0.0/16"
HOST, OURS, THEIRS = "127.0.0.1", 8081, 8082
SOAK_MS = 1_000
LAYER = 64 << 20  # bytes
SOONER, USUAL = 10, 1_000  # milliseconds between two looks of the kernel for who has an address (ARP)
QUIET = 1.5  # seconds without a new record in the journal
_GATE = Gate(start_grace_ms=10_000, soak_ms=SOAK_MS)
_WAYS = "two services (busybox httpd with a published port, and one after it), killed at once by their stop signal"


@dataclass
class Taken:
    """What was measured, in seconds and bytes."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    idle: int = 0
    peak: int = 0
    before: int = 0
    compose: str = ""


def measures() -> Iterator[Measure]:
    """Measure the switch, the commit, the way back and the agent's memory."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-bench-") as text:
        directory = Path(text)
        for name in ("engine", "agent", "compose"):
            (directory / name).mkdir()
        with docker.running(directory / "engine") as engine, engine.entered():
            program = composed.program()
            compose = Compose(program, engine, directory / "compose", THEIRS) if program else None
            taken = asyncio.run(_taken(engine, directory / "agent", compose))
    yield from _said(taken)


def _said(taken: Taken) -> Iterator[Measure]:
    ours = statistics.median(taken.ours)
    about = f"{_WAYS}; from the last good answer of the old to the first of the new, asked each 2 ms at the published "
    about += f"port; median of {RUNS} on dockerd (vfs in memory); ARP repeated each {SOONER} ms"
    if not taken.theirs:
        about += "; NOT beside Docker Compose, which is missing (`tests/bench/composed.py` says what brings it)"
    yield Measure("a switch: nobody answers", ours * 1000, "ms", "", about)
    if taken.theirs:
        theirs = statistics.median(taken.theirs)
        how = f"Compose {taken.compose}, `up -d` of the same services, the image loaded before; in turns with ours"
        yield Measure("the same by Docker Compose", theirs * 1000, "ms", "", how)
        yield Measure("a switch beside Docker Compose", ours / theirs, "x", "<= 1", "the medians of the two above")
    how = f"ARP repeated each second, as kernels do by themselves; median of {len(taken.usual)}"
    yield Measure("a switch, to clients that never stop asking", statistics.median(taken.usual) * 1000, "ms", "", how)
    yield Measure(
        "from the order taken to the commit, less the soak",
        statistics.median(taken.commits),
        "s",
        "",
        f"manifest and image fetched and verified, image loaded, containers switched, gate passed, committed; a "
        f"soak of {SOAK_MS / 1000:g} s taken off; by the journal's records, median of {len(taken.commits)}",
    )
    yield Measure(
        "the way back after a failed gate",
        statistics.median(taken.returns),
        "s",
        "",
        f"from the record that the gate failed to the one that last known good runs and is well; median of {RUNS}",
    )
    yield Measure(
        "memory of an idle agent with a Docker engine", taken.idle / 1e6, "MB", "< 60", "VmRSS, a release committed"
    )
    yield Measure(
        "more memory for a layer of 64 MiB",
        (taken.peak - taken.before) / 1e6,
        "MB",
        "< 32",
        f"VmHWM of the agent after it fetched, verified and loaded a layer of {LAYER >> 20} MiB, less VmRSS before",
    )


async def _taken(engine: docker.Engine, directory: Path, compose: Compose | None) -> Taken:
    taken = Taken(compose=compose.version() if compose else "")
    words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL)
    async with living(directory, *words) as device:
        await device.join()
        agent = await device.begin()
        assert await device.deploy(_release(1)) is State.COMMITTED
        await _settled(device)
        taken.idle = lives.memory(agent.pid)
        if compose:
            for number in range(101, 102 + RUNS):
                compose.load(images.image(number), number)
            compose.up(101)
        _look_for_addresses(engine, SOONER)
        for number in range(2, 2 + RUNS):
            attempt = await _switched(engine, device, number, taken.ours)
            taken.commits.append(_between(device, attempt, "order", State.COMMITTED) - SOAK_MS / 1000)
            if compose:
                await _composed(engine, compose, number + 100, taken)
        _look_for_addresses(engine, USUAL)
        for number in range(2 + RUNS, 5 + RUNS):
            await _switched(engine, device, number, taken.usual)
        for number in range(20, 20 + RUNS):
            attempt = device.order(_bad(number))
            await device.until(lambda: device.told(attempt) is not None)  # noqa: B023
            assert device.told(attempt) is State.ROLLED_BACK
            taken.returns.append(_between(device, attempt, State.ROLLING_BACK, State.ROLLED_BACK))
        await _settled(device)
        taken.before = lives.memory(agent.pid)
        _forget_peak(agent.pid)
        assert await device.deploy(_release(50, (("big", os.urandom(LAYER)),))) is State.COMMITTED
        taken.peak = lives.memory(agent.pid, "VmHWM")
        await device.end()
    return taken


async def _switched(engine: docker.Engine, device: Living, number: int, gaps: list[float]) -> str:
    """Have a release ordered, add for how long nobody answered to `gaps`, and return the attempt."""
    made = _release(number)
    poller = await _poller(engine, OURS, number - 1, number)
    attempt = device.order(made)
    gaps.append(await _ended(poller))
    await device.until(lambda: device.told(attempt) is State.COMMITTED)
    await _settled(device)
    return attempt


async def _composed(engine: docker.Engine, compose: Compose, number: int, taken: Taken) -> None:
    poller = await _poller(engine, THEIRS, number - 1, number)
    await asyncio.to_thread(compose.up, number)
    taken.theirs.append(await _ended(poller))


async def _poller(engine: docker.Engine, port: int, old: int, new: int) -> subprocess.Popen[bytes]:
    """Start asking; return when the old one has answered."""
    words = (sys.executable, "-m", "tests.bench.poller", HOST, str(port), str(old), str(new))
    poller = engine.inside(*words, output=subprocess.PIPE)
    assert poller.stdout is not None
    said = await asyncio.to_thread(poller.stdout.readline)
    assert said == b"ready\n", poller.communicate()
    return poller


async def _ended(poller: subprocess.Popen[bytes]) -> float:
    out, err = await asyncio.to_thread(poller.communicate)
    assert poller.returncode == 0, err
    return float(out.split()[0])


async def _settled(device: Living) -> None:
    """Wait until the agent has nothing to do: what it made for the old release is gone, and its plane knows all."""
    seen, since = -1, clock.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if seen != (seen := device.status().events):
            since = clock.monotonic()
        return clock.monotonic() - since > QUIET

    await device.until(quiet)


def _look_for_addresses(engine: docker.Engine, every_ms: int) -> None:
    """Have the engine's kernel look again so often for who has an address."""
    line = f"for file in /proc/sys/net/ipv4/neigh/*/retrans_time_ms; do echo {every_ms} >$file; done"
    assert engine.inside("sh", "-c", line).wait() == 0


def _forget_peak(process: int) -> None:
    """Have the peak of a process's memory begin anew."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def _between(device: Living, attempt: str, first: str, last: str) -> float:
    """Return the seconds between two records of an attempt, each a state or a kind, by the device's own clock."""
    events = [each for each in device.plane.kept.events.values() if each.attempt == attempt]
    at = {each.kind if each.kind == "order" else each.state: each.at for each in events if each.kind != "note"}
    return (at[last] - at[first]) / 1000  # type: ignore[index]  # a State is its word


def _release(number: int, files: tuple[tuple[str, bytes], ...] = ()) -> Made:
    """Return a release of `web`, published, and `worker`, which starts after it."""
    built = images.image(number, "" if files else "gzip", files=files)
    web = images.web(built, ports=(Port(target=images.PORT, published=OURS),))
    return images.release(
        built, {"web": web, "worker": images.worker(built, after=("web",))}, number=number, gate=_GATE
    )


def _bad(number: int) -> Made:
    """Return the same with a `worker` that exits at once."""
    built = images.image(number)
    web = images.web(built, ports=(Port(target=images.PORT, published=OURS),))
    worker = images.service(built, command=("false",), after=("web",))
    return images.release(built, {"web": web, "worker": worker}, number=number, gate=_GATE)
