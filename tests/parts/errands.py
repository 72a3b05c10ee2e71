# SPDX-License-Identifier: Apache-2.0
"""A device that is sent on errands, and a machine that goes down and comes up again, at any moment."""

import asyncio
import gzip
from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from checkvalve import ids
from checkvalve.agent import loop
from checkvalve.agent.clocks.simulated import BEGIN
from checkvalve.agent.disk.simulated import PowerCut
from checkvalve.agent.host.simulated import Simulated as Machine
from checkvalve.crypto import digests
from checkvalve.protocol import errand
from checkvalve.protocol.errand import Bundle, Done, Item, Logs, Reboot, Restart
from tests.agent import filled
from tests.agent.device import Device
from tests.agent.engine.images import Made

NEVER = 4_000_000_000_000
SOON = 900.0  # seconds of the device's clock
MOST = 600  # more writings than these errands have


def name(number: int) -> str:
    """Return the id of an errand."""
    return ids.encode(int(BEGIN.timestamp() * 1000) + number, bytes([number]) * 10)


def logs(number: int, **more: object) -> Logs:
    """Return an errand for what services say."""
    return msgspec.structs.replace(Logs(id=name(number), until=NEVER), **more)


def restart(number: int, service: str = "pump") -> Restart:
    """Return an errand to restart a service."""
    return Restart(id=name(number), until=NEVER, service=service)


def bundle(number: int) -> Bundle:
    """Return an errand for a support bundle."""
    return Bundle(id=name(number), until=NEVER)


def reboot(number: int) -> Reboot:
    """Return an errand to start the machine anew."""
    return Reboot(id=name(number), until=NEVER)


class Sent:
    """A device on which a release runs, which is sent on errands. It is driven by `until`, the agent's own loop."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.machine = Machine(cannot="")
        self._reboots = 0
        self._running: asyncio.Future[None] | None = None
        self._goes()

    def _goes(self) -> None:
        self.device.parts.host = self.machine

    def order(self, *items: Item) -> None:
        """Have errands ordered; known ones are passed without a word."""
        self.device.plane.order(self.device.id, *(msgspec.json.encode(each) for each in items))
        self.device.parts.shared.news.set()  # it comes at once, and not at its next interval

    @property
    def dones(self) -> list[Done]:
        """Return what the plane was told of errands, each verified, in the order of its coming."""
        key = self.device.parts.identity.key.public_key()
        sealed = self.device.plane.kept.receipts.values()
        return [errand.verified(each, key) for each in sealed if each.payload_type == errand.ERRAND]

    def done(self, number: int) -> Done:
        """Return the one word on an errand."""
        (found,) = (each for each in self.dones if each.errand == name(number))
        return found

    def content(self, number: int) -> str:
        """Return what came of an errand, unpacked, if it is what its word says."""
        data, said = self.device.plane.kept.contents[name(number)], self.done(number).content
        assert said is not None
        assert (said.digest, said.size) == (f"sha256:{digests.sha256_hex(data)}", len(data))
        return gzip.decompress(data).decode(errors="replace")

    async def until(self, condition: Callable[[], bool], seconds: float = SOON) -> None:
        """Run the agent until the condition holds; a machine told to start anew does, once it was told."""
        clock = self.device.clock
        begun = clock.monotonic()
        while not condition():
            if self._running is None:
                self._running = asyncio.ensure_future(loop.run(self.device.parts))
            if self._running.done():
                await self._running
            passed = clock.monotonic() - begun
            assert passed < seconds, f"not within {seconds} s: {self.device.events[-3:]}"
            await clock.advance(0.05 if passed < 20 else 1.0)
            if self.machine.reboots > self._reboots:
                self._reboots, begun = self.machine.reboots, 0.0
                await self.back(Device.crash)

    async def told(self, *numbers: int, seconds: float = SOON) -> None:
        """Run the agent until the plane has the word on these errands."""
        wanted = {name(each) for each in numbers}

        await self.until(lambda: wanted <= {each.errand for each in self.dones}, seconds)

    async def back(self, how: Callable[[Device], None]) -> None:
        """Have it come back from a power cut, or from the death of its agent."""
        await self.end()
        how(self.device)
        self._goes()

    async def end(self) -> None:
        """Have its agent end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._running = None

    def codes(self) -> list[str]:
        """Return the codes of the plane's events about errands, in order."""
        return [each.code for each in self.device.events if "errand" in each.facts]


async def sent(made: Made | None = None, *, seed: int = 0, **texts: str) -> Sent:
    """Return a device on which a release runs: one with a secret, which `pump` says."""
    device = Device(seed=seed)
    made = made or filled.release(1)
    if made.read.open:
        await filled.deploy(device, made, 1, **texts)
    else:
        await device.deploy(made, 1)
    await device.settle()
    return Sent(device)


# ---- Cut at each writing. ----


async def at_each_writing(how: Callable[[Device], None], seed: int, places: Iterable[int] = ()) -> int:
    """Cut at these writings of the disk, or at all there are, while four errands run; return at how many it was."""
    done = 0
    for place in places or count():
        story = await sent(seed=seed + place, DOES="log=well")
        story.device.disk.cut_after(place)
        try:
            if not await _cut(story, how):
                break
        except BaseException as error:
            error.add_note(f"cut at writing {place}, seed {seed}")
            raise
        done += 1
        assert done < MOST
    return done


async def _cut(story: Sent, how: Callable[[Device], None]) -> bool:
    """Run four errands, cut short once; tell whether it was. Each has one word, and nothing was done twice."""
    device = story.device
    story.order(logs(1), restart(2), bundle(3), reboot(4))
    was_cut = False
    try:
        await story.told(1, 2, 3, 4)
    except (BaseExceptionGroup, PowerCut):
        was_cut = True
        device.steps.cut_at = None
        await story.back(how)
        await story.told(1, 2, 3, 4)
    device.disk.memory.cut_at = device.steps.cut_at = None
    await story.until(lambda: device.quiet)
    await story.end()
    _judge(story)
    return was_cut


def _judge(story: Sent) -> None:
    """Each errand has one word; what was brought is whole, no secret is in it, and the machine went down once."""
    device = story.device
    assert sorted(each.errand for each in story.dones) == [name(each) for each in (1, 2, 3, 4)]
    # A cut between the record of a reboot and the asking for it is one too, or none: the machine says which.
    assert story.machine.reboots <= 1
    ends = {each.kind: (each.outcome, each.code) for each in story.dones}
    rebooted = ends.pop("reboot")
    assert rebooted == ("done", "") or (rebooted == ("failed", "reboot.nothing") and story.machine.reboots == 0)
    assert ends == dict.fromkeys(("logs", "restart", "bundle"), ("done", ""))
    assert "pump | well\n" in story.content(1)
    assert filled.SECRET not in story.content(1) + story.content(3)
    assert not device.disk.names("errands")
    assert not device.parts.errands.open
    assert device.at_rest
    for number in (1, 2, 3, 4):
        about = [each for each in device.events if each.facts.get("errand") == name(number)]
        assert len([each for each in about if "outcome" in each.facts]) == 1
    assert not [each.code for each in device.events if each.code.startswith("service.")], "nothing has crashed"


async def at_each_step(how: Callable[[Device], None], *, after: bool, places: Iterable[int] = ()) -> int:
    """Cut at these steps of the engine, or at all there are, before or after; return at how many it was cut."""
    done = 0
    for place in places or count():
        story = await sent(seed=place, DOES="log=well")
        cutting = story.device.steps
        cutting.cut_at, cutting.after = cutting.taken + 1 + place, after
        try:
            if not await _cut(story, how):
                break
        except BaseException as error:
            error.add_note(f"cut at step {place}, after: {after}")
            raise
        done += 1
        assert done < MOST
    return done
