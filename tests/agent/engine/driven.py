# SPDX-License-Identifier: Apache-2.0
"""A device on a real engine whose agent is driven turn by turn within this process; its files are real, too.

So a test can look between any two moves of the agent, and end it there as SIGKILL would.
"""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec

from checkvalve import clock, ids
from checkvalve.agent import identity, parts, steps
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.disk import files
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.link.simulated import Simulated as Link
from checkvalve.agent.parts import Parts
from checkvalve.agent.ports import OpenBlob
from checkvalve.agent.steps import Position
from checkvalve.agent.visit import Visit
from checkvalve.agent.work import Work
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import receipt
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import Receipt
from tests.agent.device import DONE
from tests.agent.engine.images import Made
from tests.agent.plane import Estate
from tests.crypto import world
from tests.parts import docker

P = ParamSpec("P")
POOL = "10.213.0.0/16"
SOON = 60.0
LOOK = 0.1  # seconds between two looks of the agent at rest: nothing else wakes it here
RESTS = 5.0  # seconds: who waits longer than so for what may happen has nothing to do
_LINE = f'{{{{.Label "{steps.SERVICE}"}}}} {{{{.Label "{steps.RELEASE}"}}}}'


def beside(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Return a test that runs where the containers of its fixture `daemon` can be reached."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        daemon = kwargs["daemon"]
        assert isinstance(daemon, docker.Engine)
        with daemon.entered():
            asyncio.run(test(*args, **kwargs))

    return run


class Driven:
    """A device that has joined a plane within this process. `begin` starts its agent, `end` ends it."""

    def __init__(self, daemon: docker.Engine, directory: Path) -> None:
        begun = clock.monotonic()
        self.daemon, self.directory = daemon, directory
        self.estate = Estate(lambda: world.NOON + timedelta(seconds=clock.monotonic() - begun))
        self.plane = self.estate.plane
        self.plane.link, self.plane.interval = LinkClass.ASYNC, 1
        disk = files.take(directory)
        self.id = self.estate.device(disk, ("https://127.0.0.1:1",)).device
        disk.close()
        self._numbers = itertools.count(1)
        self.begin()

    def begin(self) -> None:
        """Start the agent on what there is."""
        disk = files.take(self.directory)
        try:
            known = identity.load(disk)
        except CheckvalveError:
            disk.close()
            raise
        assert known is not None
        self.parts: Parts = parts.assemble(
            disk,
            RealClock(),
            known,
            self.engine,
            lambda who: Link(self.plane, who.device),
            "1",
            tuple,
        )
        self.work, self.visit = Work(self.parts), Visit(self.parts)
        self._due, self.rests = 0.0, False

    def engine(self, blobs: OpenBlob) -> Docker:
        """Return the engine that its agent is to have."""
        return Docker(self.id, blobs, socket=self.daemon.socket, pool=POOL)

    async def end(self) -> None:
        """End the agent between two moves, without a word to anybody."""
        await self.parts.engine.close()
        self.parts.disk.close()  # type: ignore[attr-defined]

    def order(self, made: Made) -> str:
        """Have a release ordered, and return the attempt."""
        number = next(self._numbers)
        self.plane.blobs = {**self.plane.blobs, **made.blobs}
        target = self.estate.lists(made.manifest, number)
        attempt = ids.encode(1_793_707_200_000 + number, clock.entropy(10))
        self.plane.deploy(self.id, attempt, target)
        return attempt

    async def drive(
        self, until: Callable[[], bool], seconds: float = SOON, each: Callable[[], None] | None = None
    ) -> None:
        """Let it work and visit its plane until the condition holds; `each` looks after every move."""
        deadline = clock.monotonic() + seconds
        while not until():
            assert clock.monotonic() < deadline, f"it did not come about: {self.position}, {self.parts.shared.trouble}"
            wait = await self.work.turn()
            self.rests = wait >= RESTS
            if each is not None:
                each()
            if clock.monotonic() >= self._due or self.parts.shared.news.is_set():
                self._due = clock.monotonic() + await self.visit.turn()
                continue
            if wait > 0:
                await parts.rest(self.parts.clock, min(wait, LOOK), self.parts.shared.work)

    async def deploy(self, made: Made, each: Callable[[], None] | None = None) -> State:
        """Have a release ordered, and return how that ended."""
        attempt = self.order(made)
        await self.drive(lambda: self.ended(attempt), each=each)
        return self.position.state

    async def settled(self, made: Made) -> None:
        """Wait until all of this release runs, and nothing else of this device is there."""
        await self.drive(lambda: self.there() == self.running() | self.jobs(made) and self.running() == wanted(made))

    @property
    def position(self) -> Position:
        """Return where it stands."""
        return self.parts.journal.position

    @property
    def receipts(self) -> list[Receipt]:
        """Return the receipts that the plane has, in the order of their coming."""
        key = self.parts.identity.key.public_key()
        return [receipt.verified(each, key) for each in self.plane.kept.receipts.values()]

    @property
    def events(self) -> list[Event]:
        """Return the events that the plane has, oldest journal first."""
        return list(self.plane.kept.events.values())

    def ended(self, attempt: str) -> bool:
        """Tell whether an attempt has come to its end, and the plane has its receipt."""
        at = self.position
        return at.attempt == attempt and at.state in DONE and any(each.attempt == attempt for each in self.receipts)

    def running(self) -> dict[str, tuple[str, ...]]:
        """Return the releases of which something runs, by service."""
        return self._seen("ps")

    def there(self) -> dict[str, tuple[str, ...]]:
        """Return the releases of which there is a container, by service."""
        return self._seen("ps", "-a")

    def jobs(self, made: Made) -> dict[str, tuple[str, ...]]:
        """Return what is there of a release's jobs, which have ended."""
        oneshots = {name for name, each in made.read.services.items() if each.kind == "oneshot"}
        return {name: each for name, each in self.there().items() if name in oneshots}

    def names(self, made: Made) -> dict[str, str]:
        """Return the containers of a release, by service."""
        line = f'{{{{.Label "{steps.SERVICE}"}}}} {{{{.Names}}}}'
        mine = ("--filter", f"label={steps.DEVICE}={self.id}", "--filter", f"label={steps.RELEASE}={made.digest}")
        said = self.daemon.run("ps", "-a", *mine, "--format", line)
        return dict(each.split() for each in said.splitlines())

    def lives(self, made: Made) -> str:
        """Return which containers a release has and since when they run: the same as long as nobody touched them."""
        return self.daemon.run("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", *sorted(self.names(made).values()))

    def _seen(self, *words: str) -> dict[str, tuple[str, ...]]:
        mine = ("--filter", f"label={steps.DEVICE}={self.id}", "--format", _LINE)
        found: dict[str, tuple[str, ...]] = {}
        for line in self.daemon.run(*words, "--no-trunc", *mine).splitlines():
            service, release = line.split()
            found[service] = (*found.get(service, ()), release)
        return found


def wanted(made: Made) -> dict[str, tuple[str, ...]]:
    """Return what runs where all of a release does, and nothing else."""
    return {name: (made.digest,) for name, each in made.read.services.items() if each.kind == "service"}


@contextlib.asynccontextmanager
async def driven(daemon: docker.Engine, directory: Path) -> AsyncIterator[Driven]:
    """Lend a device; what it made in the engine goes with it."""
    device = Driven(daemon, directory / "device")
    try:
        yield device
    finally:
        with contextlib.suppress(OSError):
            await device.end()
        clear(daemon, device.id)


def clear(daemon: docker.Engine, device: str) -> None:
    """Remove what a device has made in an engine."""
    mine = ("--filter", f"label={steps.DEVICE}={device}")
    for kind in (("ps", "-aq"), ("network", "ls", "-q")):
        if found := daemon.run(*kind, *mine).split():
            daemon.run(*(("rm", "-f") if kind[0] == "ps" else ("network", "rm")), *found)
