# SPDX-License-Identifier: Apache-2.0
"""A device is cut short at a place of an attempt, by power or by the death of its agent, and finds its way by itself.

In memory the places are the writings of its disk, and the steps of its engine, each before it is taken and after it was
taken and nobody heard. On a real engine they are the records of its journal.
"""

import contextlib
import functools
import random
from collections.abc import Callable, Iterable
from itertools import count

from checkvalve.agent import holds, policy, window
from checkvalve.agent.disk.simulated import PowerCut
from checkvalve.agent.engine import simulation
from checkvalve.agent.permits.simulated import NO, Simulated
from checkvalve.errors import UnavailableError
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import State, Tag
from tests.agent import filled, small
from tests.agent.device import Cut, Device
from tests.agent.engine.images import Made
from tests.parts import settled
from tests.parts.settled import End, Shown

SQUATTER = "squatter"
PORTS = ("tcp :8080",)


def without_a_layer(number: int) -> Made:
    """Return a release one blob of which is not what it says, so that it can never be had."""
    made = small.pair(number)
    (image,) = made.read.images.values()
    return Made(made.manifest, {**made.blobs, image.layers[-1].digest: b"x" * image.layers[-1].size})


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
    "refused": without_a_layer(2),
    "neither": small.exits(2, after=2),
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
    "refused": small.pair(1),
    "neither": small.made(1, {"web": {"ports": (workload.Port(target=80, published=8080),)}}),
}
QUICK = [name for name in NEW if name not in {"refused", "neither"}]
POLICY = b'{"permit": {"kind": "file", "path": "/run/line/permit"}, "window": "opened"}'
TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", at=1, by="device")
BAD = frozenset({"bad", "spoils", "bad first", "bad values", "refused", "neither"})
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
    return await begun(Device(seed=seed), name)


async def begun(device: Device, name: str) -> Device:
    """Have the release before run on a device, if there is one, and people stand in the way if the story has some."""
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
    before, attempt = ordered(device, name)
    ended = functools.partial(let, device, name, before, attempt)
    was_cut = False
    for back in backs:
        try:
            await device.drive(ended)
            await device.settle()
        except (PowerCut, Cut):
            was_cut = True
            device.steps.cut_at = None
            back(device)
            settled.never_mixed(shown(device, attempt, before))
    device.disk.memory.cut_at = device.steps.cut_at = None
    await device.drive(ended)
    await device.settle()
    judge(device, attempt, before, name)
    return was_cut


def ordered(device: Device, name: str) -> tuple[str, str]:
    """Have the new release ordered; return the attempt that is active, "" for none, and the new one."""
    active = device.parts.slots.active
    before = "" if active is None else active.attempt
    if name in DOES:
        return before, filled.order(device, NEW[name], 2, version=2, DOES=DOES[name], recipe="new")
    return before, device.order(NEW[name], 2)


def let(device: Device, name: str, before: str, attempt: str) -> bool:
    """Tell whether the attempt has ended; while it waits, let people take one thing out of its way.

    Who is told that it did not work tries it again.
    """
    with contextlib.suppress(UnavailableError):
        return _let(device, name, before, attempt)
    return False


def _let(device: Device, name: str, before: str, attempt: str) -> bool:
    match device.position.state:
        case State.VERIFYING if name == "neither":
            _squat(device)
        case State.DEGRADED if name == "neither":
            if device.ended(attempt):
                assert settled.settled(shown(device, attempt, before)) == "degraded"
                _leave(device)
        case State.HELD if holds.here(device.disk):
            holds.lift(device.disk, TAG.id)
        case State.WAITING_WINDOW if window.opened(device.disk, device.clock) is None:
            window.open_(device.disk, device.clock, 45)
        case _:
            return device.ended(attempt)
    return False


def _squat(device: Device) -> None:
    """Have somebody else's container take the port that the old release needs."""
    with device.ground.world(device.clock.monotonic()) as world:
        taken = simulation.Box(SQUATTER, SQUATTER, "nobody", "", "", "", "", "", ports=PORTS, policy="always")
        simulation.start(world.boxes.setdefault(SQUATTER, taken), world.now)


def _leave(device: Device) -> None:
    with device.ground.world(device.clock.monotonic()) as world:
        world.boxes.pop(SQUATTER, None)


def shown(device: Device, attempt: str, before: str) -> Shown:
    """Return what is to be seen of a device, of an attempt and of the one that was active before."""
    with device.ground.world(device.clock.monotonic()) as world:
        boxes = settled.of_world(world)
        networks = frozenset(name for name, owner in world.networks.items() if owner == device.id)
    told = tuple(each.outcome for each in device.receipts if each.attempt == attempt)
    active, others = device.parts.slots.active, frozenset({SQUATTER})
    return Shown(device.id, attempt, before, device.position.state, active, boxes, networks, told, others)


def judge(device: Device, attempt: str, before: str, name: str) -> End:
    """Return what it has come to: all old or all new, files and values too, and the plane has heard it all once."""
    end = settled.settled(shown(device, attempt, before))
    old = OLD[name]
    assert device.at_rest
    assert end == "old" or (end == "new" and name not in BAD)
    runs = NEW[name] if end == "new" else old
    assert device.runs == (runs.digest if runs else "")
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
    return end
