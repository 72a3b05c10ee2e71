# SPDX-License-Identifier: Apache-2.0
"""A whole device put together from simulated ports: what it runs on may lose its power, its plane or its mind."""

import asyncio
import functools
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec

from checkvalve import ids
from checkvalve.agent import identity, parts, upkeep
from checkvalve.agent.clocks.simulated import BEGIN, SimulatedClock
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulated import Simulated as Engine
from checkvalve.agent.link.simulated import Simulated as Link
from checkvalve.agent.parts import Parts
from checkvalve.agent.permits.simulated import Simulated as Permits
from checkvalve.agent.ports import OpenBlob
from checkvalve.agent.steps import Position, Step
from checkvalve.agent.visit import Visit
from checkvalve.agent.work import Work
from checkvalve.protocol import receipt
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import ENDED, Event, State
from checkvalve.protocol.receipt import Receipt
from tests.agent.engine.images import Made
from tests.agent.plane import Estate

P = ParamSpec("P")


def told(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Return a test that runs a coroutine to its end."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


DONE = ENDED | {State.DEGRADED}


class Cut(BaseException):
    """The power is gone in the middle of an engine's step."""


@dataclass
class Steps:
    """How many steps the engine of a device has taken, and at which one the power goes: before it, or after it."""

    taken: int = 0
    cut_at: int | None = None
    after: bool = False


class Breaking(Engine):
    """An engine in which a step may be cut short: before it, or after it was taken and nobody heard."""

    cutting = Steps()

    async def do(self, step: Step) -> None:
        """Take a step, if the power lasts."""
        cutting = self.cutting
        cutting.taken += 1
        last = cutting.cut_at is not None and cutting.taken >= cutting.cut_at
        if last and not cutting.after:
            raise Cut
        await super().do(step)
        if last:
            raise Cut


class Device:
    """A device of an estate. `begin` starts its agent; until the next `begin` after a `stop` nothing moves."""

    def __init__(
        self,
        *,
        seed: int = 0,
        begin: datetime = BEGIN,
        plane: datetime = BEGIN,
        link: LinkClass = LinkClass.ASYNC,
    ) -> None:
        self.clock = SimulatedClock(begin, seed)
        wrong = begin - plane  # the device's clock, by the plane's
        self.estate = Estate(lambda: self.clock.now() - wrong)
        self.plane = self.estate.plane
        self.plane.link = link
        self.disk = SimulatedDisk(seed)
        self.ground = Ground()
        self.steps = Steps()
        self.permits = Permits()  # answers yes, once there is a policy that asks
        self.identity = self.estate.device(self.disk)
        self.id = self.identity.device
        self._attempts = itertools.count(1)
        self._made = dict[str, Made]()
        self.begin()

    def begin(self) -> None:
        """Start the agent on what there is."""
        known = identity.load(self.disk)
        assert known is not None
        self.parts: Parts = parts.assemble(
            self.disk, self.clock, known, self._engine, lambda who: Link(self.plane, who.device, self.clock), "1", tuple
        )
        self.parts.permits = self.permits
        self.work, self.visit = Work(self.parts), Visit(self.parts)
        self._due = self.clock.monotonic()
        self.rests = 0.0

    def _engine(self, open_blob: OpenBlob) -> Engine:
        self.engine = Breaking(self.id, open_blob, clock=self.clock, ground=self.ground)
        self.engine.cutting = self.steps
        return self.engine

    # ---- What happens to it. ----

    def crash(self) -> None:
        """Cut the power, and start again: disk, engine, clock and agent."""
        self.disk.crash()
        self.clock.boot()
        self.begin()

    def kill(self) -> None:
        """Kill the agent, and start it again."""
        self.disk.kill()
        self.begin()

    def order(self, made: Made, number: int = 0, values: str = "", **changes: object) -> str:
        """Sign a release, bring it to the plane, and have it ordered, with these values; return the attempt."""
        number = number or next(self._attempts)
        self.plane.blobs = {**self.plane.blobs, **made.blobs}
        target = self.estate.lists(made.manifest, number)
        self._made[made.digest] = made
        attempt = ids.encode(int(BEGIN.timestamp() * 1000) + number, bytes([number]) * 10)
        self.plane.deploy(self.id, attempt, target, values, **changes)
        return attempt

    async def drive(
        self, until: Callable[[], bool], *, turns: int = 3_000, visits: bool = True, stride: float = 2.0
    ) -> None:
        """Work, visit the plane and let time pass until the condition holds."""
        for _ in range(turns):
            if until():
                return
            seconds = self.rests = await self.work.turn()
            if visits and (self.clock.monotonic() >= self._due or self.parts.shared.news.is_set()):
                self._due = self.clock.monotonic() + await self.visit.turn()
                seconds = 0.0
            if seconds > 0 and not self.parts.shared.work.is_set():
                await self.clock.advance(min(seconds, stride))
        message = f"it did not come about: {self.position}"
        raise AssertionError(message)

    async def deploy(self, made: Made, number: int = 0) -> State:
        """Bring a release here as far as it goes, and have the plane know how it ended; return that."""
        attempt = self.order(made, number)
        await self.drive(lambda: self.ended(attempt))
        return self.position.state

    async def settle(self) -> None:
        """Go on until nothing more happens by itself, and all is told."""
        self.rests = 0.0
        await self.drive(lambda: self.quiet and self.rests >= upkeep.RESTED)

    # ---- What has come of it. ----

    @property
    def position(self) -> Position:
        """Return where it stands."""
        return self.parts.journal.position

    def ended(self, attempt: str) -> bool:
        """Tell whether the attempt has come to its end, and the plane has its receipt."""
        position = self.position
        return (
            position.attempt == attempt
            and position.state in DONE
            and any(each.attempt == attempt for each in self.receipts)
        )

    @property
    def quiet(self) -> bool:
        """Tell whether there is nothing to do and nothing to tell."""
        journal = self.parts.journal
        told = self.plane.kept.members[self.id].known.get(journal.id, 0) == journal.seq
        return self.position.state in DONE and told and not self.parts.spool.waiting(1) and self.at_rest

    @property
    def at_rest(self) -> bool:
        """Tell whether exactly the active release runs, as it must."""
        active = self.parts.slots.active
        wanted = (
            {}
            if active is None
            else {active.container(name): service for name, service in active.manifest.services.items()}
        )
        with self.ground.world(self.clock.monotonic()) as world:
            boxes = [each for each in world.boxes.values() if each.device == self.id]
        runs = {each.name for each in boxes if each.status == "running"}
        loud = {each.name for each in boxes if each.policy != "no"}
        services = {name for name, service in wanted.items() if service.kind == "service"}
        return runs == services and loud <= services

    @property
    def runs(self) -> str:
        """Return the digest of the active release, "" if there is none."""
        active = self.parts.slots.active
        return active.release if active else ""

    @property
    def receipts(self) -> list[Receipt]:
        """Return the receipts that the plane has, as far as this device signed them, in the order of their coming."""
        key = self.parts.identity.key.public_key()
        sealed = self.plane.kept.receipts.values()
        return [receipt.verified(each, key) for each in sealed if each.payload_type == receipt.RECEIPT]

    @property
    def events(self) -> list[Event]:
        """Return the events that the plane has, in order."""
        return [each for _, each in sorted(self.plane.kept.events.items())]
