# SPDX-License-Identifier: Apache-2.0
"""What a device does while its writing is recorded, and what becomes of it wherever the power goes.

The agent is the real one, on real files, and lays out real files and secrets; engine, plane and clock are simulated.
Before and after each step of the engine, and after each call that writes, every tree that a power cut may leave is
kept, with what engine and plane hold then. `Cuts.come_back` builds one of them, and starts the agent on it.
"""

import functools
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from checkvalve.agent import given, holds, identity, journal, parts, places, policy, window
from checkvalve.agent.cabinet import acts
from checkvalve.agent.cabinet.asked import Back, Hang, Lift
from checkvalve.agent.clocks.simulated import SimulatedClock
from checkvalve.agent.disk import files
from checkvalve.agent.engine import simulation
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulation import World
from checkvalve.agent.laying.folders import Folders
from checkvalve.agent.link.plane import Kept
from checkvalve.agent.link.simulated import Simulated as Link
from checkvalve.agent.permits.simulated import NO, Simulated
from checkvalve.agent.ports import OpenBlob
from checkvalve.agent.steps import Lay, Observed, Slot, Step, Unlay
from checkvalve.agent.visit import Visit
from checkvalve.agent.work import Work
from checkvalve.crypto import keys
from checkvalve.protocol.exchange import State
from tests.agent import filled
from tests.agent.device import DONE, Breaking, Device
from tests.parts.cuts import Recorder, Tree

POLICY = b'{"permit": {"kind": "file", "path": "/run/line/permit"}, "window": "opened"}'
WHO = "anna (1000)"


@dataclass(frozen=True)
class Promise:
    """What somebody has been told, or builds on, and no power cut may take back."""

    journal: str
    seq: int  # the newest event whose writing has returned
    active: str  # the attempt that the pointer names
    tags: frozenset[str]  # hung at the device


@dataclass(frozen=True)
class Cut:
    """One power cut: what the disk holds, and what there is outside of it."""

    call: int
    tree: Tree
    world: bytes
    kept: Kept
    wall: datetime
    promise: Promise


class Broken(BaseException):
    """A law does not hold. The agent goes on after every `Exception`, so that this is none."""


class _Engine(Breaking):
    """A simulated engine; what it is to bind is really laid out, and what lies there decides what starts."""

    device: "OnFiles"

    async def observe(self) -> Observed:
        """Return what there is; never do two versions run."""
        self.device.bound()
        found = await super().observe()
        running = {each.attempt for each in found.containers if each.state == "running"}
        if len(running) > 1:
            raise Broken(f"{running} run at once")
        return replace(found, laid=self.device.laying.laid())

    async def do(self, step: Step) -> None:
        """Take a step; the power may go before it, and after it."""
        self.device.look()
        if isinstance(step, Lay):
            self.device.laying.lay(step.slot)
        elif isinstance(step, Unlay):
            self.device.laying.unlay(step.attempt)
        await super().do(step)
        self.device.look()


class OnFiles(Device):
    """A device whose directory is `root`, and whose memory is `memory`; `look` is called when the power may go."""

    def __init__(self, root: Path, memory: Path, seed: int = 0) -> None:
        self.root, self.memory = root, memory
        self.real: files.FileDisk | None = None
        self.look: Callable[[], None] = _nothing
        self.tags: frozenset[str] = frozenset()
        self.promised: Promise | None = None  # what held before this start of the agent, until that is done
        super().__init__(seed=seed)

    @property
    def files(self) -> files.FileDisk:
        """Return the disk."""
        assert self.real is not None
        return self.real

    def begin(self) -> None:
        """Start the agent on what is in the directory; the first time, on what joining left."""
        if self.real is not None:
            self.real.close()
        first = not self.root.exists()
        self.real = files.take(self.root, reserve=0)
        if first:
            for name in sorted(self.disk.memory.every(), key=lambda each: each == identity.FILE):
                self.real.replace(name, self.disk.read(name))
        known = identity.load(self.real)
        assert known is not None
        assert known.device == self.identity.device
        assert keys.spki(known.key.public_key()) == keys.spki(self.identity.key.public_key())
        self.laying = Folders(self.root / places.FILES, self.memory, lambda: identity.opening(self.files))
        self.parts = parts.assemble(
            self.real,
            self.clock,
            known,
            self._engine,
            lambda who: Link(self.plane, who.device, self.clock),
            "1",
            tuple,
            laid=self.laying,
        )
        self.parts.permits = self.permits
        self.work, self.visit = Work(self.parts), Visit(self.parts)
        self._due = self.clock.monotonic()
        self.rests = 0.0
        self.bound()
        self.promised = None

    def looked(self) -> None:
        """Take note that a call has been made."""
        self.look()

    def lie(self, cut: Cut) -> None:
        """Be what a cut left; nobody has started the agent yet."""
        self.close()
        shutil.rmtree(self.memory, ignore_errors=True)
        cut.tree.build(self.root)
        self.clock = SimulatedClock(cut.wall, cut.call)
        self.clock.boot()
        self.plane.kept = cut.kept
        self.plane.kept = self.plane.copied()
        self.plane.reports.clear()
        self.ground = Ground()
        self.ground._world = msgspec.json.decode(cut.world, type=World)
        self.tags, self.promised = cut.promise.tags, cut.promise

    def bound(self) -> None:
        """Have the engine's world know what there is to bind."""
        world, staged = self.ground._world, self.parts.slots.staged
        there = {attempt: staged(attempt) for attempt in self.laying.laid()}
        world.laid = {attempt: simulation.laid(slot) for attempt, slot in there.items() if slot is not None}

    def close(self) -> None:
        """End the agent."""
        if self.real is not None:
            self.real.close()
            self.real = None

    def _engine(self, open_blob: OpenBlob) -> _Engine:
        engine = _Engine(self.id, open_blob, clock=self.clock, ground=self.ground)
        engine.cutting, engine.device = self.steps, self
        self.engine = engine
        return engine

    # ---- Who stands at it. ----

    def hang(self) -> None:
        """Hang a tag, as from the cabinet; what came back from it holds."""
        tag = acts.hang(self.parts, Hang(reason="pump seal", number="7"), WHO)
        self.tags |= {tag["id"]}

    def lift(self) -> None:
        """Lift all tags."""
        self.tags = frozenset()
        acts.lift(self.parts, Lift(all=True), WHO)

    def let(self) -> None:
        """Take one thing out of the way of an attempt that waits for people."""
        if self.position.state is State.HELD and holds.here(self.files):
            self.lift()
        elif self.position.state is State.WAITING_WINDOW and window.opened(self.files, self.clock) is None:
            acts.open_window(self.parts, 45, WHO)


Tell = Callable[[OnFiles], Awaitable[str]]  # returns the attempt that the plane orders, "" if there is none


@dataclass
class Story:
    """What was there before, and what is recorded; `old` and `new` are what the active slot may be filled with."""

    name: str
    before: Callable[[OnFiles], Awaitable[None]]
    tell: Tell
    old: str | None = "old"  # the text of its file; None: there is no slot
    new: str | None = "new"
    ends: frozenset[State] = DONE
    lost: bool = False  # whether its journal is damaged before


@dataclass
class Cuts:
    """A story as it was recorded, and every power cut there can be in it."""

    story: Story
    device: OnFiles
    attempt: str = ""
    calls: int = 0
    trees: int = 0  # before those that are alike were left out
    cuts: list[Cut] = field(default_factory=list)
    _seen: set[object] = field(default_factory=set)

    async def come_back(self, cut: Cut) -> State:
        """Start the agent on what this cut left, see it come to rest, and return how; all laws are asserted."""
        device, promise = self.device, cut.promise
        _no_secret(cut.tree)
        device.lie(cut)
        device.begin()
        kept = device.parts.journal
        if self.story.lost:
            assert kept.trouble == "" or any(each.code == journal.LOST for each in kept.events(0, 9)), kept.trouble
            assert [name for name in device.files.names("") if name.endswith(".bad")] or kept.trouble == ""
        else:
            assert (kept.trouble, device.parts.slots.trouble, kept.id) == ("", "", promise.journal)
            assert kept.seq >= promise.seq, "an event is gone whose writing had returned"
            assert promise.active in {"", *kept.committed, _attempt(device.parts.slots.active)}
        assert promise.tags <= {tag.id for tag in holds.all_(device.files)}, "a tag is gone that hung"
        await self.rest()
        self._judge()
        return device.position.state

    async def rest(self) -> None:
        """Have the device go on until nothing more happens by itself."""
        device = self.device

        def done() -> bool:
            device.let()
            return device.ended(self.attempt) if self.attempt else device.quiet

        await device.drive(done)
        while True:
            await device.settle()
            if device.position.state in DONE and not device.position.next_attempt:
                return
            device.let()

    def _judge(self) -> None:
        """All is old, or all is new, in engine, slots and files; and the plane has heard of it once."""
        device, story, active = self.device, self.story, self.device.parts.slots.active
        assert device.at_rest, device.position
        assert device.position.state in story.ends | {State.DEGRADED}
        told = [each.outcome for each in device.receipts if each.attempt == device.position.attempt]
        assert len(told) <= 1 or story.lost, told
        if self.attempt:
            assert told == [device.position.state]
        texts = {story.old, story.new}
        assert (None if active is None else active.given.files["recipe"] if active.given else "") in texts
        if active is not None:
            wanted = {State.COMMITTED: story.new, State.ROLLED_BACK: story.old}.get(device.position.state)
            assert wanted in (None, active.given.files["recipe"] if active.given else "") or not self.attempt
            _laid(device, active)
        numbers = [key[2] for key in sorted(device.plane.kept.events) if key[1] == device.parts.journal.id]
        assert numbers == list(range(1, device.parts.journal.seq + 1))
        for file in (each for each in device.root.rglob("*") if each.is_file()):
            assert filled.SECRET.encode() not in file.read_bytes(), f"the secret is in {file}"

    def add(self, recorder: Recorder) -> None:
        """Keep every tree that a power cut may leave now, with what is outside of the disk."""
        device = self.device
        slots, kept = device.parts.slots, device.parts.journal
        promise = device.promised or Promise(kept.id, kept.seq, _attempt(slots.active), device.tags)
        world = msgspec.json.encode(device.ground._world)
        copied: Kept | None = None
        key = (promise, _booted(world), _told(device))
        for tree in recorder.platter.trees():
            self.trees += 1
            if (tree.digest, key) not in self._seen:
                self._seen.add((tree.digest, key))
                copied = copied or device.plane.copied()
                self.cuts.append(Cut(recorder.calls, tree, world, copied, device.clock.now(), promise))


async def recorded(story: Story, directory: Path) -> Cuts:
    """Tell a story, and return every power cut there can be in it."""
    device = OnFiles(directory / "device", directory / "memory")
    await story.before(device)
    return await _record(Cuts(story, device), functools.partial(story.tell, device))


async def again(found: Cuts, cut: Cut) -> Cuts:
    """Return every power cut there can be on the way back from this one."""
    device = found.device

    async def back() -> str:
        device.begin()
        await found.rest()
        return found.attempt

    device.lie(cut)
    return await _record(Cuts(found.story, device, found.attempt), back)


async def _record(found: Cuts, tell: Callable[[], Awaitable[str]]) -> Cuts:
    device = found.device
    recorder = Recorder(device.root, device.looked)
    device.look = functools.partial(found.add, recorder)
    try:
        with recorder.recording():
            found.attempt = await tell()
    finally:
        device.look = _nothing
    found.calls = recorder.calls
    return found


# ---- Stories. ----


async def _with_values(device: OnFiles) -> None:
    """A release runs that was filled with values; at the device somebody has a say."""
    await filled.deploy(device, filled.release(1), 1, recipe="old")
    await device.settle()
    device.files.replace(policy.FILE, POLICY)
    device.permits = device.parts.permits = Simulated([NO, NO, NO])


async def _ordered(device: OnFiles, does: str = "log=new") -> str:
    """Another release with other values comes, a certificate with it; a tag hangs, the window is closed."""
    attempt = filled.order(device, filled.release(2), 2, version=2, DOES=does, recipe="new")
    device.hang()
    own = device.parts
    own.identity = await identity.renew(own.disk, own.identity, own.link)
    own.link = own.dial(own.identity)
    await _to_the_end(device, attempt)
    return attempt


async def _to_the_end(device: OnFiles, attempt: str) -> None:
    def done() -> bool:
        device.let()
        return device.ended(attempt)

    await device.drive(done)
    await device.settle()


async def _first(device: OnFiles) -> str:
    """The first release comes, over a line that breaks off again and again."""
    device.plane.knobs.cut = 4_000
    attempt = filled.order(device, filled.release(2), 2, version=2, recipe="new")
    await _to_the_end(device, attempt)
    return attempt


async def _nothing_before(device: OnFiles) -> None:
    await device.settle()


async def _two(device: OnFiles) -> None:
    """Two releases have run here, the older one has the text `new`: that is gone back to."""
    await filled.deploy(device, filled.release(1), 1, recipe="new")
    await filled.deploy(device, filled.release(2), 2, version=2, recipe="old")
    await device.settle()


async def _back(device: OnFiles) -> str:
    said = acts.back(device.parts, Back(), WHO)
    await _to_the_end_of_back(device, said["attempt"])
    return ""


async def _to_the_end_of_back(device: OnFiles, attempt: str) -> None:
    await device.drive(lambda: device.position.attempt == attempt and device.position.state in DONE)
    await device.settle()


async def _long(device: OnFiles) -> None:
    """The journal is nearly as long as it gets, and the plane keeps all of it."""
    for begins in (False, True):
        if begins:
            await filled.deploy(device, filled.release(1), 1, recipe="old")
        while device.files.size(journal.NAME) < journal.ROTATED - (2_000 if begins else 20_000):
            device.parts.journal.write("note", code="test.long", reason="x" * 990)
        await device.settle()


async def _rotated(device: OnFiles) -> str:
    """It is written on, and begins with a later line."""
    for _ in range(4):
        device.parts.journal.write("note", code="test.long", reason="y" * 990)
    assert device.files.size(journal.NAME) < journal.ROTATED
    await device.settle()
    return ""


async def _damaged(device: OnFiles) -> None:
    """Bits were lost in the middle of the journal."""
    await filled.deploy(device, filled.release(1), 1, recipe="old")
    await device.settle()
    held = device.parts.journal
    device.close()
    device.promised = Promise(held.id, 0, "", frozenset())
    file = device.root / journal.NAME
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(32) + data[len(data) // 2 + 32 :])


async def _set_aside(device: OnFiles) -> str:
    device.begin()
    await device.settle()
    return ""


STORIES = {
    each.name: each
    for each in (
        Story("values", _with_values, _ordered),
        Story("bad values", _with_values, functools.partial(_ordered, does="exit=1;after=1s")),
        Story("first", _nothing_before, _first, old=None),
        Story("back", _two, _back),
        Story("rotation", _long, _rotated, new="old"),
        Story("damage", _damaged, _set_aside, new="old", lost=True),
    )
}


# ---- What is looked at. ----


def _laid(device: OnFiles, active: Slot) -> None:
    """What lies for containers is what fills the active slot, and nothing else does."""
    assert device.laying.laid() == {active.attempt}
    for root, things, path in (
        (device.laying.files, given.files(active), places.file),
        (device.laying.runtime, given.secrets(active, identity.opening(device.files)), places.secret),
    ):
        for each in things:
            file = Path(path(root, active.attempt, each.service, each.placed.name))
            assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (each.content, each.placed.mode)
        others = [str(each) for each in Path(root).rglob("*") if active.attempt not in str(each)]
        assert others == [], f"what does not run has nothing there: {others}"


def _no_secret(tree: Tree) -> None:
    for name, (data, _) in tree.files.items():
        assert filled.SECRET.encode() not in data, f"the secret is in {name}"


def _booted(world: bytes) -> bytes:
    """Return what a cut leaves of an engine, whenever it comes."""
    found = msgspec.json.decode(world, type=World)
    simulation.boot(found, 0.0)
    return msgspec.json.encode(found)


def _told(device: OnFiles) -> object:
    kept = device.plane.kept
    member = kept.members[device.id]
    return (
        *sorted(kept.receipts),
        len(kept.events),
        *sorted(member.known.items()),
        member.orders is None,
        member.generation,
    )


def _attempt(slot: Slot | None) -> str:
    return "" if slot is None else slot.attempt


def _nothing() -> None:
    """Look at nothing."""
