# SPDX-License-Identifier: Apache-2.0
"""What a device costs and takes over months: its line, its flash, its disk, a small machine, and a power cut."""

import asyncio
import contextlib
import ctypes
import os
import random
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from checkvalve.agent import holds
from checkvalve.agent.disk import files
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.identity import Identity
from checkvalve.agent.link.tls import Tls
from checkvalve.demo.stage import Stage
from checkvalve.protocol.exchange import State, Tag
from tests.agent import small
from tests.agent.device import Device
from tests.agent.engine import images
from tests.agent.engine.images import Made
from tests.agent.plane import Relay, listening
from tests.bench import crossing
from tests.bench.measure import Measure
from tests.parts import blackout
from tests.parts.docker import Engine

T = TypeVar("T")
FRESH = 20  # exchanges, each on a connection of its own
MONTH = 96 * 30  # exchanges of a device that comes each 15 minutes
DAY = 86_400.0
LAYER = 32 << 20  # bytes
CUTS = 5
LITTLE = 512 << 20  # bytes of the small machine
LOOK = 0.1  # seconds
MEMORY = Path("/sys/fs/cgroup/memory")
_NEWNET = 0x40000000


def measures() -> Iterator[Measure]:
    """Measure what adds up."""
    spoken, carried = _apart(_exchange)
    yield Measure(
        "a month of an idle device on `async`, 15 min",
        spoken * MONTH / 1e6,
        "MB",
        "< 10",
        f"all that TLS sends of one visit on a connection of its own: mutual handshake, report, answer, both ways; "
        f"mean of {FRESH}: {spoken:,.0f} B; times {MONTH:,}",
    )
    yield Measure(
        "the same with the headers of TCP and IP",
        carried * MONTH / 1e6,
        "MB",
        "",
        f"by the counters of a loopback in a network namespace, without its own headers: {carried:,.0f} B a visit",
    )
    yield Measure(
        "written to flash on an idle day",
        asyncio.run(_idle_day()) / 1e6,
        "MB",
        "< 2",
        "sectors that a loop device with ext4 was given in a day of the device's clock: 96 visits on `async`, release "
        "committed, simulated engine; all that the agent writes is synced, so that the day may pass quickly",
    )
    with tempfile.TemporaryDirectory(prefix="checkvalve-bench-") as text:
        yield from _machine(Path(text))


# ---- Line and flash. ----


def _apart(story: Callable[[], T]) -> T:
    """Run a story on a thread that has a network of its own: nothing but it is counted there."""

    def run() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(_NEWNET) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return story()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _exchange() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as text:
        stage = Stage(Path(text), keep=False)
        stage.make_plane("admin")
        stage.start()
        try:
            return asyncio.run(_fresh(stage, crossing._invited(stage, Path(text)), Path(text)))
        finally:
            stage.leave()


async def _fresh(stage: Stage, token: str, directory: Path) -> tuple[float, float]:
    """Return the bytes of a visit: what TLS sends, and what crosses the line."""
    device = (await crossing._joined(stage, token, directory))[0]
    relay = Relay(urlsplit(stage.devices).port or 0)
    async with listening(relay.take) as port:
        link = Tls([f"https://127.0.0.1:{port}"], device.ca, device.pair())
        await _visits(link, device, 1, whole=True)
        relay.up = relay.down = 0
        await _visits(link, device, FRESH)
        spoken = relay.up + relay.down
    link = Tls([stage.devices], device.ca, device.pair())
    before = _carried()
    await _visits(link, device, FRESH)
    return spoken / FRESH, (_carried() - before) / FRESH


async def _visits(link: Tls, device: Identity, times: int, *, whole: bool = False) -> None:
    for _ in range(times):
        replied = await link.exchange(msgspec.json.encode(crossing.report(device, whole=whole)), 0)
        assert whole or replied.answer is None
        await link.close()
    await asyncio.sleep(0.5)  # the goodbyes of the last one


def _carried() -> int:
    """Return the bytes of all packets that the loopback of this thread has carried, from their IP headers on."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    (numbers,) = (line.partition(":")[2].split() for line in lines if line.strip().startswith("lo:"))
    return int(numbers[8]) - 14 * int(numbers[9])


async def _idle_day() -> int:
    with tempfile.TemporaryDirectory(prefix="checkvalve-bench-") as text, _ext4(Path(text)) as (folder, written):
        device = Device()
        (folder / "agent").mkdir()
        device.disk = files.take(folder / "agent")  # type: ignore[assignment]
        device.identity = device.estate.device(device.disk)
        device.id = device.identity.device
        device.begin()
        assert await device.deploy(small.quick(1)) is State.COMMITTED
        await device.settle()
        before, ends = written(), device.clock.monotonic() + DAY
        await device.drive(lambda: device.clock.monotonic() >= ends, turns=1_000_000, stride=60.0)
        return written() - before


@contextlib.contextmanager
def _ext4(directory: Path) -> Iterator[tuple[Path, Callable[[], int]]]:
    """Lend a folder on an ext4 of its own, and a count of the bytes that its device was given."""
    image, folder = directory / "image", directory / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    loop = blackout._loop(image)

    def written() -> int:
        os.sync()
        return int(Path(f"/sys/block/{loop}/stat").read_text().split()[6]) * 512

    try:
        yield folder, written
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# ---- A small machine: disk, memory, power. ----


@dataclass
class Taken:
    """What was measured on it, in bytes and seconds."""

    own: float = 0.0  # of the device, as many times as an image
    engine: float = 0.0
    peak: int = 0
    killed: int = 0
    ended: State | None = None
    back: list[float] = field(default_factory=list)


def _machine(directory: Path) -> Iterator[Measure]:
    machine, taken = blackout.Machine(directory), Taken()
    with _little(machine, taken) as engine:
        machine.told(engine, lambda site: _three(site, taken))
        machine.cut(engine)
    blackout.deployed(machine, 60)
    cuts = [blackout.cut_once(machine, random.Random(number), number) for number in range(CUTS)]
    taken.back = [each.seconds for each in cuts]
    layer = f"layers of {LAYER >> 20} MiB"
    yield Measure(
        "active, previous and staged on the device's own disk",
        taken.own,
        "x",
        "<= 3.1",
        f"all files of the agent, as many times as the image of one release; three releases with {layer} of random "
        "bytes, the third held back by a tag",
    )
    yield Measure(
        "the same in the engine's", taken.engine, "x", "", "dockerd's data root (overlay2): images as it unpacks them"
    )
    yield Measure(
        "memory of agent and dockerd in a rollout, peak",
        taken.peak / 1e6,
        "MB",
        "< 512",
        f"their own pages (`total_rss`, looked at each {LOOK * 1000:.0f} ms) in a memory cgroup of 512 MiB that holds "
        f"agent, dockerd, containerd and all they read and write; three whole rollouts of {layer}, the last one "
        f"{taken.ended}; processes killed for want of memory: {taken.killed}",
    )
    yield Measure(
        "from the start after a power cut to last known good, worst",
        max(taken.back),
        "s",
        "< 10",
        f"agent and dockerd stopped within an attempt, their ext4 copied, checked and started on: until old or new "
        f"runs whole; {CUTS} cuts, median {statistics.median(taken.back):.2g} s; gates of 1 s and the services' own "
        "start are in it",
    )


@contextlib.contextmanager
def _little(machine: blackout.Machine, taken: Taken) -> Iterator[Engine]:
    """Lend the machine's engine; it, and what is started meanwhile, has so much memory and no more."""
    group = MEMORY / f"checkvalve-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(LITTLE))
    (group / "tasks").write_text(str(os.getpid()))  # the first thread of this process: what it starts is in there
    try:
        with machine.on() as engine:
            with _watched(group, taken):
                yield engine
            words = (group / "memory.oom_control").read_text().split()
            taken.killed = int(words[words.index("oom_kill") + 1])
    finally:
        (MEMORY / "tasks").write_text(str(os.getpid()))
        for process in (group / "tasks").read_text().split():
            with contextlib.suppress(OSError):
                (MEMORY / "tasks").write_text(process)
        with contextlib.suppress(OSError):
            group.rmdir()


@contextlib.contextmanager
def _watched(group: Path, taken: Taken) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            words = (group / "memory.stat").read_text().split()
            taken.peak = max(taken.peak, int(words[words.index("total_rss") + 1]))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
            watching.result()


async def _three(site: blackout.Site, taken: Taken) -> None:
    """Have two releases run, one after the other, and a third one lie ready behind a tag; measure, and let it go on."""
    await site.join()
    await site.begin()
    seen = Path(f"/proc/{site.init}/root{site.machine.directory}/disk")
    chance = random.Random(7)
    for number in (1, 2, 3):
        if number == 3:
            await site.until(lambda: site.status().state == State.COMMITTED.value)
            _tags(seen / "agent", Tag(id="0" * 26, name="bench", reason="measured", at=0, by="device"))
        made = _heavy(number, chance.randbytes(LAYER))
        attempt = site.order(made)
        site.machine.made[attempt] = made
        if number == 3:
            await site.until(lambda: site.status().state == State.HELD.value)
            image = sum(map(len, made.blobs.values()))
            taken.own, taken.engine = _size(seen / "agent") / image, _size(seen / "docker") / image
            _tags(seen / "agent", None)
        await site.until(lambda: site.told(attempt) is not None)  # noqa: B023
        taken.ended = site.told(attempt)
        site.machine.active = attempt


def _tags(folder: Path, tag: Tag | None) -> None:
    """Have the file of tags hung at the device be as the agent writes it."""
    disk = SimulatedDisk(0)
    if tag is None:
        holds.clear(disk)
    else:
        holds.hang(disk, tag)
    new = folder / "holds.new"
    new.write_bytes(disk.read(holds.HERE))
    new.rename(folder / holds.HERE)


def _heavy(number: int, layer: bytes) -> Made:
    built = images.image(number, "", files=(("big", layer),))
    return images.release(
        built, {"web": images.web(built), "worker": images.worker(built, after=("web",))}, number=number
    )


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder; mounts of running containers are left out."""
    done = subprocess.run(["du", "-sxB1", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])
