# SPDX-License-Identifier: Apache-2.0
"""A device is cut short at a place of an attempt, by power or by the death of its agent, and finds its way by itself.

In memory the places are the writings of its disk, and the steps of its engine, each before it is taken and after it was
taken and nobody heard. On a real engine they are the records of its journal.
"""

import functools
import random
from collections.abc import Callable, Iterable
from itertools import count

import pytest

from checkvalve.agent import holds, policy, window
from checkvalve.agent.disk.simulated import PowerCut
from checkvalve.agent.permits.simulated import NO, Simulated
from checkvalve.protocol.exchange import State, Tag
from tests.agent import filled, small
from tests.agent.device import Cut, Device
from tests.agent.engine.images import Made

NEW: dict[str, Made] = {
    "good": small.pair(2),
    "bad": small.exits(2, after=2),
    "data": small.data(2),
    "spoils": small.spoils(2),
    "job": small.job(2),
    "first": small.pair(2),
    "bad first": small.exits(2, after=2),
    "values": filled.release(1),
    "bad values": filled.release(1),
    "permit": small.quick(2),
}
OLD: dict[str, Made | None] = {
    "good": small.pair(1),
    "bad": small.pair(1),
    "data": small.data(1),
    "spoils": small.data(1),
    "job": small.pair(1),
    "first": None,
    "bad first": None,
    "values": filled.release(1),
    "bad values": filled.release(1),
    "permit": small.quick(1),
}
POLICY = b'{"permit": {"kind": "file", "path": "/run/line/permit"}, "window": "opened"}'
TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", at=1, by="device")
BAD = frozenset({"bad", "spoils", "bad first", "bad values"})
DOES = {"values": "log=new", "bad values": "exit=1;after=1s"}  # what the new values say; the old ones say nothing
BACK: dict[str, Callable[[Device], None]] = {"power": Device.crash, "kill": Device.kill}
MOST = 400  # more places to be cut short than any attempt here has


async def at_each_writing(name: str, how: str, seed: int, places: Iterable[int] = ()) -> int:
    """Cut at these writings of the disk, or at all there are; return at how many it was cut."""
    done = 0
    for place in places or count():
        device = await started(name, seed + place)
        device.disk.cut_after(place)
        try:
            if not await cut(device, name, BACK[how]):
                break
        except BaseException as error:
            error.add_note(f"{name}, {how} at writing {place}, seed {seed}")
            raise
        done += 1
        assert done < MOST
    return done


async def at_each_step(name: str, how: str, *, after: bool, places: Iterable[int] = ()) -> int:
    """Cut at these steps of the engine, or at all there are, before or after; return at how many it was cut."""
    done = 0
    for place in places or count():
        device = await started(name, place)
        device.steps.cut_at, device.steps.after = device.steps.taken + 1 + place, after
        try:
            if not await cut(device, name, BACK[how]):
                break
        except BaseException as error:
            error.add_note(f"{name}, {how} at step {place}, after: {after}")
            raise
        done += 1
        assert done < MOST
    return done


async def again_and_again(name: str, seed: int) -> None:
    """Cut somewhere, and some times more on the way back, by one or the other."""
    chance = random.Random(f"{seed}{name}")
    device = await started(name, seed)
    device.disk.cut_after(chance.randrange(80))
    backs = [functools.partial(_again, chance) for _ in range(chance.randrange(2, 6))]
    try:
        await cut(device, name, *backs)
    except BaseException as error:
        error.add_note(f"{name}, seed {seed}")
        raise


def _again(chance: random.Random, device: Device) -> None:
    """Bring the device back, and have it cut short once more: at a writing, or at a step."""
    chance.choice(list(BACK.values()))(device)
    device.disk.cut_after(chance.randrange(120))
    if chance.random() < 0.5:
        device.steps.cut_at, device.steps.after = device.steps.taken + 1 + chance.randrange(12), chance.random() < 0.5


async def started(name: str, seed: int) -> Device:
    """Return a device on which the release before runs, if there is one."""
    device = Device(seed=seed)
    old = OLD[name]
    if old is not None:
        attempt = filled.order(device, old, 1) if old.read.open else device.order(old, 1)
        await device.drive(lambda: device.ended(attempt))
    await device.settle()
    if name == "permit":  # a tag that is lifted, a window that is opened, and a permit that says no for a while
        device.disk.replace(policy.FILE, POLICY)
        holds.hang(device.disk, TAG)
        device.permits = device.parts.permits = Simulated([NO, NO, NO])
    return device


async def cut(device: Device, name: str, *backs: Callable[[Device], None]) -> bool:
    """Have a release ordered and be cut short; then the device finds its way by itself. Tell whether it was cut."""
    if name in DOES:
        attempt = filled.order(device, NEW[name], 2, version=2, DOES=DOES[name], recipe="new")
    else:
        attempt = device.order(NEW[name], 2)
    ended = functools.partial(_ended, device, attempt)
    was_cut = False
    for back in backs:
        try:
            await device.drive(ended)
            await device.settle()
        except (PowerCut, Cut):
            was_cut = True
            device.steps.cut_at = None
            back(device)
            _one_at_most(device)
    device.disk.memory.cut_at = device.steps.cut_at = None
    await device.drive(ended)
    await device.settle()
    _judge(device, attempt, name)
    return was_cut


def _ended(device: Device, attempt: str) -> bool:
    """Tell whether the attempt has ended; while it waits, let people take one thing out of its way."""
    match device.position.state:
        case State.HELD if holds.here(device.disk):
            holds.lift(device.disk, TAG.id)
        case State.WAITING_WINDOW if window.opened(device.disk, device.clock) is None:
            window.open_(device.disk, device.clock, 45)
        case _:
            return device.ended(attempt)
    return False


def _one_at_most(device: Device) -> None:
    """Of what the engine may start again by itself, all is of one release."""
    with device.ground.world(device.clock.monotonic()) as world:
        loud = {each.attempt for each in world.boxes.values() if each.policy != "no"}
        running = {each.attempt for each in world.boxes.values() if each.status == "running"}
    assert len(loud) <= 1
    assert len(running) <= 1


def _judge(device: Device, attempt: str, name: str) -> None:
    """It is all old or all new, and the plane has heard of it once."""
    told = [each for each in device.receipts if each.attempt == attempt]
    old = OLD[name]
    assert device.at_rest
    match device.position.state:
        case State.COMMITTED:
            assert name not in BAD
            runs: Made | None = NEW[name]
        case State.ROLLED_BACK | State.REFUSED:
            runs = old
        case _:
            pytest.fail(f"{device.position.state}: {device.position.reason}")
    assert device.runs == (runs.digest if runs else "")
    assert [each.outcome for each in told] == [device.position.state]
    active = device.parts.slots.active
    if active is not None and "recipes" in active.volumes:
        assert device.engine.files(active.volumes["recipes"]) == {"number": active.manifest.version}
    if active is not None and active.given is not None:
        new = device.position.state is State.COMMITTED
        assert active.given.variables == ({"DOES": DOES[name]} if new else {})
        (laid,) = filled.found(device).items()
        assert laid[0] == active.attempt
        assert laid[1].secrets == {"pump/pin": f"{2 if new else 1:026}"}
    journal = device.parts.journal
    numbers = [key[2] for key in sorted(device.plane.kept.events) if key[1] == journal.id]
    assert numbers == list(range(1, journal.seq + 1))
