# SPDX-License-Identifier: Apache-2.0
"""Fault matrices of a device on a real engine: dockerd is killed and comes back, or has lost what it stored.

The agent is driven in this process (`driven`); its files, the daemon, its containers and their restart policies are
real. All services are `restart: always`, unless the story says otherwise.

- `daemon`: SIGKILL meets dockerd while a step of the agent is under way, or when it has been taken and before anybody
  heard; the agent lives through it, or dies at that moment and finds what the daemon has made of it by itself.
- `store`: as a record of the journal has been written, the daemon is killed and has lost its images and their layers,
  or all that it stored; the agent lives, or has died.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import structs

from checkvalve.agent import steps
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.ports import OpenBlob
from checkvalve.agent.steps import Step
from checkvalve.errors import UnavailableError
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.workload import Gate
from tests.agent.engine import driven, images
from tests.agent.engine.driven import POOL, Driven
from tests.agent.engine.images import Made
from tests.parts import docker, settled
from tests.parts.settled import End, Shown

LATE = 240.0  # seconds until a device has found its way on a machine that is busy
HOWS = {
    "daemon": tuple(f"{when}, agent {agent}" for when in ("in it", "after it") for agent in ("alive", "dead")),
    "store": tuple(f"{what}, agent {agent}" for what in ("images", "everything") for agent in ("alive", "dead")),
}
_SHORT = Gate(start_grace_ms=20_000, soak_ms=500)


def _always(number: int) -> Made:
    built = images.image(number)
    services = {
        "web": images.web(built, restart="always"),
        "worker": images.worker(built, after=("web",), restart="always"),
    }
    return images.release(built, services, number=number, gate=_SHORT)


def _ends(number: int) -> Made:
    """Return the same, one service of which ends at once."""
    made, wrong = _always(number), images.exits(number).read.services["worker"]
    services = {**made.read.services, "worker": structs.replace(wrong, restart="always")}
    return Made(workload.write(structs.replace(made.read, services=services)), made.blobs)


def _data(number: int) -> Made:
    made = images.data(number)
    return Made(workload.write(structs.replace(made.read, gate=_SHORT)), made.blobs)


def _spoils(number: int) -> Made:
    """Return what copies the volume, writes into it, and then ends."""
    made = _data(number)
    web = made.read.services["web"]
    web = structs.replace(web, command=("sh", "-c", f"echo {number} >/data/number; exit 1"), restart="always")
    return Made(workload.write(structs.replace(made.read, services={"web": web})), made.blobs)


STORIES: dict[str, Callable[[int], Made]] = {"good": _always, "bad": _ends, "data": _data, "spoils": _spoils}
BEFORE = {"good": _always, "bad": _always, "data": _data, "spoils": _data}
BAD = frozenset({"bad", "spoils"})


@dataclass(frozen=True)
class Point:
    """One fault at one step, or record, of one story."""

    fault: str
    story: str
    place: int
    how: str


class Died(BaseException):
    """The agent is gone."""


class _Engine(Docker):
    device: "Struck"

    async def do(self, step: Step) -> None:
        """Take a step, if nothing happens."""
        fault = self.device.met("daemon")
        if fault is None:
            return await super().do(step)
        taken = asyncio.ensure_future(super().do(step))
        if fault.how.startswith("after"):
            await taken
        else:
            await asyncio.wait([taken], timeout=self.device.chance.choice((0, 0.002, 0.01, 0.05)))
        died = "dead" in fault.how
        await self.device.daemon_dies(wait=died)
        if died:
            taken.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await taken
        if died:
            raise Died
        raise UnavailableError("engine.unreachable", "The engine does not answer.", "Start it.")


class Struck(Driven):
    """A device that meets one fault after the other; `places` counts where it could."""

    def __init__(self, daemon: docker.Engine, directory: Path) -> None:
        self.point: Point | None = None
        self.places = dict.fromkeys(HOWS, 0)
        self.chance = random.Random(1)
        self.back: asyncio.Future[None] | None = None  # until the daemon answers again
        self.numbers = itertools.count(1)
        self.runs: dict[str, str] = {}  # attempt -> story that it was good for
        self.others = frozenset(each.name for each in settled.of_docker(daemon))
        super().__init__(daemon, directory)

    def begin(self) -> None:
        """Start the agent; its journal is watched, and it does not wait long for a daemon that is away."""
        super().begin()
        self.parts.clock.chance = _soon  # type: ignore[method-assign]
        write = self.parts.journal.write
        self.parts.journal.write = functools.partial(self._recorded, write)  # type: ignore[method-assign]

    def engine(self, blobs: OpenBlob) -> Docker:
        """Return an engine that may be struck."""
        made = _Engine(self.id, blobs, socket=self.daemon.socket, pool=POOL)
        made.device = self
        return made

    def met(self, fault: str) -> Point | None:
        """Count a place; return the point if it is this one."""
        number = self.places[fault]
        self.places[fault] += 1
        here = self.point is not None and (self.point.fault, self.point.place) == (fault, number)
        return self.point if here else None

    async def daemon_dies(self, lost: str = "", *, wait: bool) -> None:
        """Have the daemon killed, and start again; return when it does not answer any more, or does again."""
        dies = functools.partial(_die, self.daemon, lost)
        self.back = asyncio.ensure_future(asyncio.to_thread(dies))
        if wait:
            await self.back
        while not wait and not self.back.done() and self.daemon.answers():  # noqa: ASYNC110 - it is the daemon that ends
            await asyncio.sleep(0.01)

    def shown(self, attempt: str, before: str) -> Shown:
        """Return what is to be seen of it."""
        filters = json.dumps({"label": [f"{steps.DEVICE}={self.id}"]})
        networks = self.daemon.ask(f"/networks?filters={quote(filters)}")
        told = tuple(each.outcome for each in self.receipts if each.attempt == attempt)
        return Shown(
            device=self.id,
            attempt=attempt,
            before=before,
            state=self.position.state,
            active=self.parts.slots.active,
            boxes=settled.of_docker(self.daemon),
            networks=frozenset(each["Name"] for each in networks),
            told=told,
            others=self.others,
        )

    def _recorded(self, write: Any, *args: Any, **fields: Any) -> Event:  # noqa: ANN401 - as the journal has it
        event: Event = write(*args, **fields)
        fault = self.met("store")
        if fault is not None:  # what follows is another turn: nothing waits here
            _die(self.daemon, fault.how.partition(",")[0])
            if "dead" in fault.how:
                raise Died
        return event


def _soon() -> float:
    """Return the same for a chance: of a back-off its beginning."""
    return 0.05


def _die(daemon: docker.Engine, lost: str = "") -> None:
    """Have the daemon killed and start again, having lost what is said."""
    if not lost:
        return daemon.restart(how=signal.SIGKILL)
    with daemon.halted() as root:
        folders = ("image", "vfs") if lost == "images" else ("image", "vfs", "containers", "network")
        for name in folders:
            shutil.rmtree(root / name)
    return None


async def counted(device: Struck, story: str) -> dict[str, int]:
    """Have an attempt go through unharmed, and return how many places there are for each fault."""
    await _ready(device, story)
    device.point, device.places = None, dict.fromkeys(HOWS, 0)
    await _through(device, story)
    return device.places


async def points(device: Struck, fault: str, stories: Iterable[str] = STORIES) -> list[Point]:
    """Return every point of a matrix."""
    return [
        Point(fault, story, place, how)
        for story in stories
        for place in range((await counted(device, story))[fault])
        for how in HOWS[fault]
    ]


async def tried(device: Struck, point: Point, seed: int) -> End:
    """Have a fault happen, and return what the oracle says of what came of it."""
    await _ready(device, point.story)
    device.chance = random.Random(seed)
    device.point, device.places = point, dict.fromkeys(HOWS, 0)
    try:
        return await _through(device, point.story)
    except BaseException as error:
        error.add_note(f"{point}, seed {seed}")
        raise
    finally:
        device.point = None


async def _ready(device: Struck, story: str) -> None:
    """Have the release before run, if it does not already."""
    made, device.point = BEFORE[story], None
    active = device.parts.slots.active
    well = active is not None and device.position.state is not State.DEGRADED
    if active is None or not well or device.runs.get(active.attempt) != made.__name__:
        attempt = device.order(made(next(device.numbers)))
        await device.drive(lambda: device.ended(attempt), LATE)
        assert device.position.state is State.COMMITTED
        device.runs[attempt] = made.__name__
        await device.drive(lambda: device.rests, LATE)


async def _through(device: Struck, story: str) -> End:
    active = device.parts.slots.active
    before = "" if active is None else active.attempt
    attempt = device.order(STORIES[story](next(device.numbers)))

    def seen() -> None:
        if device.back is not None:
            if not device.back.done():
                return
            device.back.result()  # if it never came back, that is what is to be read
        settled.never_mixed(device.shown(attempt, before))

    def over() -> bool:
        return device.ended(attempt) and device.rests and (device.back is None or device.back.done())

    while True:
        try:
            await device.drive(over, LATE, each=seen)
            break
        except Died:
            await device.end()
            seen()
            device.begin()
    if device.back is not None:
        await device.back
        device.back = None
    end = settled.settled(device.shown(attempt, before))
    if end == "degraded":  # what was done to it does not last: nor may this
        await device.drive(lambda: device.position.state is not State.DEGRADED and device.rests, LATE, each=seen)
        assert settled.settled(device.shown(attempt, before)) == "old"
    assert end != "new" or story not in BAD
    if end == "new":
        device.runs[attempt] = STORIES[story].__name__
    return end


@contextlib.asynccontextmanager
async def lent(daemon: docker.Engine, directory: Path) -> AsyncIterator[Struck]:
    """Lend a device; what it made in the engine goes with it."""
    device = Struck(daemon, directory / "device")
    try:
        yield device
    finally:
        with contextlib.suppress(OSError):
            await device.end()
        driven.clear(daemon, device.id)
