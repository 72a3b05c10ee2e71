# SPDX-License-Identifier: Apache-2.0
"""Fault matrices of a device in memory: what may go wrong, at every place of an attempt where it may.

`points` has an attempt of each story go through unharmed, and returns every place at which a fault can meet it;
`tried` meets one of them, sees at every turn that nothing is mixed, and has the oracle say what came of it.

- `journal`: the agent dies before or after a record of its journal, and perhaps again on the way back.
- `daemon`: the engine dies before or after a step, comes back at once, soon, or after longer than any watch; it starts
  what its policies say; the agent lives, or has died with it.
- `images`: at a turn of the agent the engine has lost its images; or its containers, too; or has been begun anew.
- `full`: from a write on nothing fits on the disk for two minutes, or a half of that one write; or one write fails.
"""

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from checkvalve.agent import upkeep
from checkvalve.agent.engine import simulation
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.ports import OpenBlob
from checkvalve.agent.steps import Step
from checkvalve.errors import UnavailableError
from checkvalve.protocol.exchange import Event, State
from tests.agent.device import Breaking, Device
from tests.parts import device_kills, settled
from tests.parts.device_kills import NEW
from tests.parts.settled import End

T = TypeVar("T")
SEED = 1  # of a device's clock and disk: the same at every point, so that all of them are met
FULL = 120.0  # seconds for which a disk is full: several watches
AWAY = {"at once": 0.0, "soon": 20.0, "late": 120.0}  # seconds for which an engine is gone
HOWS = {
    "journal": ("before", "after"),
    "daemon": tuple(
        f"{when} the step, back {away}, agent {agent}"
        for when in ("before", "after")
        for away in AWAY
        for agent in ("alive", "dead")
    ),
    "images": ("images", "images and containers", "everything"),
    "full": ("once", "for long", "for long, half of it fits"),
}


@dataclass(frozen=True)
class Point:
    """One fault at one place of one story; `again` is after how many more records the agent dies once more."""

    fault: str
    story: str
    place: int
    how: str
    again: int | None = None


class Died(BaseException):
    """The agent is gone."""


class _Engine(Breaking):
    """An engine that dies in a step, and takes nobody's word meanwhile."""

    device: "Faulty"

    async def do(self, step: Step) -> None:
        """Take a step, if nothing happens."""
        device, fault = self.device, self.device.met("daemon")
        if fault is None:
            return await super().do(step)
        if "after" in fault.how:
            await super().do(step)
        device.daemon_dies(next(seconds for name, seconds in AWAY.items() if name in fault.how))
        if "dead" in fault.how:
            raise Died
        raise UnavailableError("engine.unreachable", "The engine does not answer.", "Start it.")


class Faulty(Device):
    """A device that meets one fault; `places` counts where it could, and `states` are those it was in then."""

    def __init__(self) -> None:
        self.point: Point | None = None
        self.places = dict.fromkeys(HOWS, 0)
        self.states: list[State] = []
        self.records_left: int | None = None  # until it dies once more
        self.until_back = self.until_room = 0.0  # on its clock
        super().__init__(seed=SEED)
        self._write = self.disk.memory.write
        self.disk.memory.write = self._written  # type: ignore[method-assign]

    def begin(self) -> None:
        """Start the agent; its journal is watched."""
        super().begin()
        write = self.parts.journal.write
        self.parts.journal.write = functools.partial(self._recorded, write)  # type: ignore[method-assign]

    def met(self, fault: str) -> Point | None:
        """Count a place; return the point if it is this one."""
        number = self.places[fault]
        self.places[fault] += 1
        here = self.point is not None and (self.point.fault, self.point.place) == (fault, number)
        return self.point if here else None

    def daemon_dies(self, seconds: float) -> None:
        """Have the engine end, and be back after so long; who looks then finds what its start has made of it."""
        now = self.clock.monotonic()
        with self.ground.world(now) as world:
            simulation.boot(world, now)
        if seconds:
            self.ground.down, self.until_back = True, now + seconds

    def turned(self) -> None:
        """Let what is over be over, and images be lost if it is their turn."""
        now = self.clock.monotonic()
        if now >= self.until_back:
            self.ground.down = False
        if self.until_room and now >= self.until_room:
            self.until_room = 0.0
            self.disk.full_after(1 << 30)
        fault = self.met("images")
        if fault is not None and not self.ground.down:
            _lose(self.ground, now, fault.how)

    def _recorded(self, write: Any, *args: Any, **fields: Any) -> Event:  # noqa: ANN401 - as the journal has it
        self.states.append(self.position.state)
        fault = self.met("journal")
        if fault is not None and fault.how == "before":
            raise Died
        if self.records_left is not None:
            self.records_left -= 1
            if self.records_left < 0:
                self.records_left = None
                raise Died
        event: Event = write(*args, **fields)
        if fault is not None:
            raise Died
        return event

    def _written(self, handle: int, offset: int, data: bytes) -> None:
        fault = self.met("full")
        if fault is None:
            return self._write(handle, offset, data)
        half = len(data) // 2 if "half" in fault.how else 0
        self.disk.full_after(half)
        try:
            self._write(handle, offset, data)
        finally:
            if fault.how == "once":
                self.disk.full_after(1 << 30)
            else:
                self.until_room = self.clock.monotonic() + FULL

    def _engine(self, open_blob: OpenBlob) -> _Engine:
        engine = _Engine(self.id, open_blob, clock=self.clock, ground=self.ground)
        engine.cutting, engine.device = self.steps, self
        self.engine = engine
        return engine


def _lose(ground: Ground, now: float, what: str) -> None:
    """Have an engine lose things; one that lost more than images has been started again on what was left."""
    with ground.world(now) as world:
        world.images.clear()
        if what == "images":
            return
        for name in [name for name, each in world.boxes.items() if each.device != "nobody"]:
            del world.boxes[name]
        if what == "everything":
            world.networks.clear()
            world.plots.clear()
        simulation.boot(world, now)


@dataclass(frozen=True)
class Unharmed:
    """What was counted while an attempt of a story went through: places of each fault, and the states of records."""

    places: Mapping[str, int]
    states: tuple[State, ...]


_UNHARMED: dict[str, Unharmed] = {}


async def unharmed(story: str) -> Unharmed:
    """Have an attempt go through, and return what was counted; once is enough."""
    if story not in _UNHARMED:
        device = await _ready(story)
        await _through(device, story)
        _UNHARMED[story] = Unharmed(device.places, tuple(device.states))
    return _UNHARMED[story]


async def points(fault: str) -> list[Point]:
    """Return every point of a matrix."""
    return [
        Point(fault, story, place, how)
        for story in NEW
        for place in range((await unharmed(story)).places[fault])
        for how in HOWS[fault]
    ]


async def twice() -> list[Point]:
    """Return every point at which the agent dies at a record, and again before one on the way back."""
    found = []
    for first in await points("journal"):
        device, _ = await _tried(first)
        records = device.places["journal"] - first.place - 1
        found += [Point(first.fault, first.story, first.place, first.how, again) for again in range(records)]
    return found


async def tried(point: Point) -> End:
    """Have a fault happen, and return what the oracle says of what came of it."""
    try:
        device, end = await _tried(point)
        assert device.places[point.fault] > point.place, "it was not met"
    except BaseException as error:
        error.add_note(str(point))
        raise
    return end


async def _tried(point: Point) -> tuple[Faulty, End]:
    device = await _ready(point.story)
    device.point = point
    return device, await _through(device, point.story)


async def _ready(story: str) -> Faulty:
    """Return a device on which the release before runs, that has counted nothing yet."""
    device = Faulty()
    await device_kills.begun(device, story)
    device.places, device.states = dict.fromkeys(HOWS, 0), []
    return device


async def _through(device: Faulty, story: str) -> End:
    """Have the new release ordered and go as far as it goes, whatever happens to it."""
    before, attempt = device_kills.ordered(device, story)

    def seen() -> None:
        device.turned()
        if not device.ground.down:
            settled.never_mixed(device_kills.shown(device, attempt, before))

    def ended() -> bool:
        seen()
        if device.ground.down:
            return False
        return device_kills.let(device, story, before, attempt) and not device.until_room

    while True:
        try:
            device.rests = 0.0
            await device.drive(lambda: ended() and device.quiet and device.rests >= upkeep.RESTED)
            break
        except Died:
            device.kill()
            device.records_left = None if device.point is None else device.point.again
            if device.point is not None:
                device.point = Point(device.point.fault, device.point.story, device.point.place, device.point.how)
            seen()
    return device_kills.judge(device, attempt, before, story)


def sampled(name: str, all_: Sequence[T], most: int, seed: int) -> list[T]:
    """Return some points of a matrix, and print how many of how many, and of which seed."""
    some = random.Random(f"{seed} {name}").sample(all_, min(most, len(all_)))
    print(f"{name}: {len(some)} of {len(all_)} points, seed {seed}")
    return some
