# SPDX-License-Identifier: Apache-2.0
"""A machine whose power goes for real: agent and engine on one ext4, in an image that is copied while all stands still.

What a file system has not written to its device when the power goes is in the memory of the kernel, and nowhere else.
So everything of the machine is stopped (SIGSTOP), the image is copied as its device has it, and the machine goes on
from the copy: `e2fsck`, mount, another dockerd, the agent. A copy during which the device was written to would be no
moment at all: it is thrown away, and made again.

Rules: 1. mounts, networks and processes are those of namespaces that nobody else is in, and end with them; 2. the plane
lives on, and is found at the same address in each of them; 3. memory (`/run`) does not survive.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from checkvalve import clock
from checkvalve.agent import steps, summary
from checkvalve.agent.engine import reading
from checkvalve.agent.summary import Summary
from checkvalve.crypto import seal
from checkvalve.protocol import values, workload
from checkvalve.protocol.declared import File, Placed, Secret, Variable
from checkvalve.protocol.exchange import State
from checkvalve.protocol.values import Sealed, Values
from checkvalve.protocol.workload import Gate
from tests.agent.engine import images
from tests.agent.engine.images import Made
from tests.agent.living import Living
from tests.agent.plane import Estate, Relay, port, served
from tests.crypto import world
from tests.parts import archives, docker
from tests.parts.docker import Engine
from tests.parts.missing import missing

SIZE = 768 << 20  # bytes of the image; what is not used of it takes no room
PORT = 18443  # of the plane, in a network namespace that is the machine's own
SECRET = "7-plc-wachtwoord-7"
RECIPE, PIN = "/etc/recipe", "/run/secrets/pin"
SOON = 120.0
MOST_COPIES = 50
_RECORDS = 11  # about as many as an attempt has
_POOL = "10.216.0.0/16"
_BAD = frozenset({"exits", "bad values"})
_KINDS = ("pair", "values", "data", *sorted(_BAD))


class Machine:
    """One device, its plane, and its disk in an image in `directory`; `running` lends it with the power on."""

    def __init__(self, directory: Path) -> None:
        for program, package in (("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")):
            if not docker._program(program):
                missing(program, f"apt-get install {package}")
        if subprocess.run([docker._program("losetup"), "--find"], check=False, capture_output=True).returncode:
            missing("A loop device", "run the tests as root, where /dev/loop-control is")
        self.directory = directory
        self.image = directory / "image"
        self.data = directory / "disk" / "agent"
        (directory / "plane").mkdir(parents=True)
        (directory / "disk").mkdir()
        with self.image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        begun = clock.monotonic()
        self.estate = Estate(lambda: world.NOON + timedelta(seconds=clock.monotonic() - begun))
        self.estate.plane.interval = 1
        self.made: dict[str, Made] = {}  # by attempt
        self.active = ""  # the attempt that is to run
        self.copies = 0

    @contextlib.contextmanager
    def on(self) -> Iterator[Engine]:
        """Lend the engine of the machine, with its disk mounted."""
        sockets = self.directory / f"sockets-{self.copies}"
        sockets.mkdir(exist_ok=True)
        with _dockerd(self.image, self.directory / "disk", sockets) as engine:
            yield engine

    def told(self, engine: Engine, story: Callable[["Site"], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Run a story beside the machine, with its plane in reach."""

        async def whole() -> Any:  # noqa: ANN401
            async with self._site(engine) as site:
                return await story(site)

        with engine.entered():
            return asyncio.run(whole())

    @contextlib.asynccontextmanager
    async def _site(self, engine: Engine) -> AsyncIterator["Site"]:
        async with served(self.estate.plane, self.directory / "plane") as listener:
            relay = Relay(port(listener.address))
            server = await asyncio.start_server(relay.take, "127.0.0.1", PORT)
            site = Site(self, engine)
            try:
                yield site
            finally:
                await site.gone()
                relay.let_go()
                server.close()

    def cut(self, engine: Engine) -> int:
        """Have the power go: the image is what the disk held at this moment. Return how many copies were no moment."""
        inside = _everybody(engine)
        copy, loop = self.directory / "copy", _loop(self.image)
        try:
            while more := inside() - _stopped(inside()):
                for process in more:
                    _signal(process, signal.SIGSTOP)
            spoiled = 0
            while not _copied(self.image, copy, loop):
                spoiled += 1
                assert spoiled < MOST_COPIES, "the disk is written to without an end"
        finally:
            _end(engine)  # nothing of it goes on: the copy is what is left
        copy.replace(self.image)
        self.copies += 1
        checked = subprocess.run([docker._program("e2fsck"), "-p", str(self.image)], check=False, capture_output=True)
        assert checked.returncode in (0, 1), checked.stdout.decode()
        assert b"recovering journal" in checked.stdout, "it was not as a power cut leaves it"
        return spoiled


class Site(Living):
    """The machine's agent, in its namespaces, as often as it is started."""

    def __init__(self, machine: Machine, engine: Engine) -> None:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", _POOL, "--runtime", "/run/secrets")
        log = machine.directory / "log"
        super().__init__(machine.estate, f"https://127.0.0.1:{PORT}", machine.data, words, log)
        self.engine, self.machine = engine, machine
        self.init = _init(engine)

    def status(self) -> Summary:
        """Return where it stands, by its files, as its own processes see them."""
        return summary.of(Path(f"/proc/{self.init}/root{self.data}"))

    def running(self) -> dict[str, list[str]]:
        """Return the attempts of what runs, by service."""
        shown = f'{{{{.Label "{steps.SERVICE}"}}}} {{{{.Label "{steps.ATTEMPT}"}}}}'
        said = self.engine.run("ps", "--no-trunc", "--filter", f"label={steps.DEVICE}={self.device}", "--format", shown)
        found: dict[str, list[str]] = {}
        for line in said.splitlines():
            service, attempt = line.split()
            found.setdefault(service, []).append(attempt)
        return found

    def whole(self) -> bool:
        """Tell True; fail if a container's image has not its content: a file that was lost is there, and is empty."""
        for service, attempts in self.running().items():
            number = self.machine.made[attempts[0]].read.images
            (name,) = (each.name.rpartition(":")[2] for each in number.values())
            ran = self.engine.run("ps", "-q", "--filter", f"label={steps.SERVICE}={service}")
            assert self.engine.run("exec", ran, "cat", "/www/number") == name, (
                f"{service} has lost what is in its image"
            )
        return True

    def one_at_most(self) -> bool:
        """Tell True; fail if containers of two attempts run."""
        attempts = {each for all_ in self.running().values() for each in all_}
        assert len(attempts) <= 1, f"{attempts} run at once"
        return True

    def has(self, made: Made) -> bool:
        """Tell whether the engine has the images of a release."""
        there = set(self.engine.run("images", "-aq", "--no-trunc").split())
        return set(made.read.images) <= there

    async def gone(self) -> None:
        """Wait until the agent has ended, if it was started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await asyncio.wait_for(self.process.wait(), SOON)

    async def _start(self, *words: str, piped: bool = False, kill_at: int = 0) -> asyncio.subprocess.Process:
        assert not kill_at
        ways = (docker._program("nsenter"), "--target", self.init, "--net", "--mount", "--pid", f"--wd={Path.cwd()}")
        program = (*ways, sys.executable, "-m", "tests.agent.process", *words)
        if piped:
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(*program, stdout=pipe, stderr=pipe)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(*program, stdout=log, stderr=log)


@dataclass(frozen=True)
class Came:
    """What came of one cut: when it was, and how it ended."""

    kind: str
    at: str
    again: int  # how often it went again on the way back
    ended: State
    seconds: float  # from the start of the agent until last known good, or the new release, runs whole
    spoiled: int  # copies that were no moment


def founded(machine: Machine) -> None:
    """Have the device join, and a first release run."""

    async def story(site: Site) -> None:
        await site.join()
        await site.begin()
        attempt = site.order(images.pair(1))
        machine.made[attempt] = images.pair(1)
        await site.until(lambda: site.told(attempt) is State.COMMITTED)
        await site.until(lambda: site.running() == _all(machine, attempt))
        machine.active = attempt

    with machine.on() as engine:
        machine.told(engine, story)
        machine.cut(engine)


def cut_once(machine: Machine, chance: random.Random, number: int) -> Came:
    """Have a release ordered, the power go at some moment, and see what becomes of it."""
    kind = chance.choice(_KINDS)
    records, pause = chance.randrange(_RECORDS), chance.uniform(0, 1) * chance.choice((0, 0.2, 1))
    again, loaded = chance.choice((0, 0, 1, 2)), chance.random() < 0.3  # right after an image came to the engine

    async def before(site: Site) -> tuple[str, str]:
        await site.begin()
        await site.until(lambda: site.running() == _all(machine, machine.active))
        made = _made(kind, 10 + number)
        first = len(site.plane.kept.events)
        attempt = site.order(made, _given(site, made, kind))
        machine.made[attempt] = made
        if loaded:
            await site.until(lambda: site.has(made) or site.told(attempt) is not None)
        else:
            await site.until(lambda: len(site.plane.kept.events) - first >= records or site.told(attempt) is not None)
            await asyncio.sleep(pause)  # a moment that no record marks
        spoiled = await asyncio.to_thread(machine.cut, site.engine)
        return attempt, str(spoiled)

    with machine.on() as engine:
        attempt, spoiled = machine.told(engine, before)

    async def between(site: Site) -> None:
        site.one_at_most()
        await site.begin()
        await asyncio.sleep(chance.uniform(0, 3))
        site.one_at_most()
        await asyncio.to_thread(machine.cut, site.engine)

    for _ in range(again):
        with machine.on() as engine:
            machine.told(engine, between)
    found = SECRET.encode() in machine.image.read_bytes()
    assert not found, "the secret is on the disk"

    async def after(site: Site) -> tuple[State, float]:
        begun = clock.monotonic()
        site.one_at_most()
        await site.begin()
        await site.until(lambda: site.one_at_most() and site.told(attempt) is not None, SOON)
        ended = site.told(attempt)
        assert ended is not None
        machine.active = attempt if ended is State.COMMITTED else machine.active
        await site.until(lambda: site.one_at_most() and site.running() == _all(machine, machine.active), SOON)
        assert [each.attempt for each in site.receipts].count(attempt) == 1
        assert site.whole()
        assert kind not in _BAD or ended is not State.COMMITTED
        return ended, clock.monotonic() - begun

    with machine.on() as engine:
        ended, seconds = machine.told(engine, after)
        machine.cut(engine)
    return Came(kind, "loaded" if loaded else f"record {records} + {pause:.2f} s", again, ended, seconds, int(spoiled))


def cut_in_a_load(machine: Machine, number: int) -> bytes:
    """Have the power go when an image is in the engine and not all of it on the platter; return a file of it then.

    The image is sent as the agent sends it, and the agent does not come to its `sync`.
    """
    (device,) = machine.estate.plane.kept.members
    plain = images.hand(number)
    name = reading.image_name(device, plain.id) + reading.NEW
    archive = machine.directory / "archive"
    archive.write_bytes(archives.docker([images.hand(number, names=(name,))]))
    with machine.on() as engine:
        before = set(_layers(machine, engine))
        with archive.open("rb") as file:
            engine.run("load", stdin=file)
        (new,) = set(_layers(machine, engine)) - before
        machine.cut(engine)
    with machine.on() as engine:
        assert plain.id in engine.run("images", "-aq", "--no-trunc").split(), "the engine shows it"
        found = (_seen(machine, engine) / new).read_bytes()
        machine.cut(engine)
    return found


def deployed(machine: Machine, number: int) -> None:
    """Have a release of two services ordered, and run whole."""
    made = images.pair(number)

    async def story(site: Site) -> None:
        await site.begin()
        attempt = site.order(made)
        machine.made[attempt] = made
        await site.until(lambda: site.told(attempt) is not None)
        assert site.told(attempt) is State.COMMITTED
        machine.active = attempt
        assert site.whole()

    with machine.on() as engine:
        machine.told(engine, story)
        machine.cut(engine)


def _layers(machine: Machine, engine: Engine) -> list[str]:
    """Return the files of that name in the engine's layers, below the place of the disk."""
    seen = _seen(machine, engine)
    return [str(each.relative_to(seen)) for each in seen.glob("docker/overlay2/*/diff/www/number")]


def _seen(machine: Machine, engine: Engine) -> Path:
    """Return where the machine's disk is to be seen from outside."""
    return Path(f"/proc/{_init(engine)}/root{machine.directory}/disk")


def _made(kind: str, number: int) -> Made:
    if "values" in kind:
        return _filled()
    return {"pair": images.pair, "exits": images.exits, "data": images.data}[kind](number)


def _filled() -> Made:
    """Return one service that runs unless its variable says `bad`; it reads a file and a secret, and prints neither."""
    built = images.image(1)
    runs = images.service(
        built,
        command=("sh", "-c", f"test $$WORD != bad && cat {RECIPE} {PIN} >/dev/null && exec sleep 100000"),
        environment={"WORD": "${WORD}"},
        files=(Placed(name="recipe", target=RECIPE, mode=0o640),),
        secrets=(Placed(name="pin", target=PIN, mode=0o400),),
        restart="always",
    )
    plain = images.release(built, {"worker": images.worker(built)})
    manifest = structs.replace(
        plain.read,
        services={"worker": runs},
        variables=(Variable(name="WORD"),),
        files=(File(name="recipe", default="plain\n"),),
        secrets=(Secret(name="pin"),),
        gate=Gate(start_grace_ms=5_000, soak_ms=1_000),
        v=2,
    )
    return Made(workload.write(manifest), plain.blobs)


def _given(site: Site, made: Made, kind: str) -> str:
    """Have the plane keep what fills a release, and return its digest; "" if nothing does."""
    if "values" not in kind:
        return ""
    version = f"{len(site.plane.values):026}"
    sealed = seal.seal(
        site.plane.kept.members[site.device].public, SECRET.encode(), values.context(site.device, "pin", version)
    )
    return site.plane.fill(
        Values(
            device=site.device,
            release=made.digest,
            variables={"WORD": "bad" if "bad" in kind else "good"},
            files={"recipe": f"for {version}\n"},
            secrets={"pin": Sealed(version=version, data=sealed)},
        )
    )


def _all(machine: Machine, attempt: str) -> dict[str, list[str]]:
    return {name: [attempt] for name in machine.made[attempt].read.services}


# ---- The machine. ----


@contextlib.contextmanager
def _dockerd(image: Path, disk: Path, sockets: Path) -> Iterator[Engine]:
    """Lend an engine whose data root is on the image, which is mounted in its namespaces alone."""
    apart = "setpriv --pdeathsig KILL unshare -n -m --propagation private -p --fork --kill-child --mount-proc".split()
    setup = f"mount -t tmpfs none /run && ip link set lo up && mount -o loop {image} {disk}"
    flags = f"--data-root={disk}/docker --exec-root=/run/exec --pidfile=/run/pid --storage-driver=overlay2".split()
    with (sockets / "log").open("wb") as log:
        leader = subprocess.Popen(
            [*apart, "sh", "-c", f'{setup} && "$0" "$@"; exit', docker._program("dockerd"), *flags,
             f"--host=unix://{sockets}/docker.sock"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
        )  # fmt: skip
    engine = Engine(sockets, leader)
    try:
        answers = docker._wait(lambda: leader.poll() is not None or engine.answers(), SOON)
        if not answers or leader.poll() is not None:
            pytest.fail("the engine did not start on what was left:\n" + (sockets / "log").read_text()[-4000:])
        yield engine
    finally:
        _end(engine)


def _end(engine: Engine) -> None:
    """Have all of it end at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine.leader.pid, signal.SIGKILL)
    engine.leader.wait(SOON)


def _init(engine: Engine) -> str:
    """Return the first process of its namespaces."""
    return Path(f"/proc/{engine.leader.pid}/task/{engine.leader.pid}/children").read_text().split()[0]


def _everybody(engine: Engine) -> Callable[[], set[str]]:
    apart = str(Path(f"/proc/{_init(engine)}/ns/pid").readlink())
    return lambda: docker._within("pid", apart)


def _stopped(processes: set[str]) -> set[str]:
    """Return those of them that stand still: stopped, or dead."""
    found = set()
    for each in processes:
        try:
            state = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            state = "X"
        found |= {each} if state in "TtZX" else set()
    return found


def _signal(process: str, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(process), number)


def _loop(image: Path) -> str:
    """Return the name of the device that the image is: loop3."""
    return _run("losetup", "--associated", str(image), "--noheadings", "--output", "NAME").strip().rpartition("/")[2]


def _writes(loop: str) -> tuple[str, str]:
    """Return how much has been written to a device, and what is under way; never equal while anything is."""
    words = Path(f"/sys/block/{loop}/stat").read_text().split()
    return words[4], words[8] if words[8] == "0" else str(clock.monotonic())


def _copied(image: Path, copy: Path, loop: str) -> bool:
    """Copy the image; tell whether its device was left alone meanwhile."""
    before = _writes(loop)
    _run("cp", "--sparse=always", str(image), str(copy))
    return _writes(loop) == before


def _run(name: str, *words: str) -> str:
    done = subprocess.run([docker._program(name), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
