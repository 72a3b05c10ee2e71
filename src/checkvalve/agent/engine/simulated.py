# SPDX-License-Identifier: Apache-2.0
"""Plays an engine: for a device without one, and for tests that would take hours on a real one.

It behaves as Docker does where a device looks: states, exit codes, restart policies, health, volumes, a daemon that
starts again. What a container does is said in its environment (`play`). Nothing is run and nothing is listened on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from checkvalve import clock as real
from checkvalve.agent import steps
from checkvalve.agent.engine import archive, containers, play, simulation, unpacking, ways
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulation import Box, Bucket, World
from checkvalve.agent.ports import About, OpenBlob
from checkvalve.agent.steps import Observed, Slot, Step
from checkvalve.crypto import digests
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol.workload import ExecProbe, HttpProbe, Image, Probe, Service


class Time(Protocol):
    """The part of `ports.Clock` that an engine needs."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


class _Real:
    """The machine's own time."""

    def monotonic(self) -> float:
        return real.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Simulated:
    """An engine (`ports.Engine`); its world is in the file `path`, in a `ground` that others share, or in memory."""

    def __init__(
        self,
        device: str,
        open_blob: OpenBlob,
        path: Path | None = None,
        *,
        clock: Time | None = None,
        ground: Ground | None = None,
    ) -> None:
        self._device = device
        self._open_blob = open_blob
        self._clock = clock or _Real()
        self.ground = ground or Ground(path)
        self.copied: dict[str, int] = {}
        self._news = asyncio.Event()

    async def about(self) -> About:
        """Return what it is."""
        with self._world():
            return About("simulated", "simulated")

    async def observe(self) -> Observed:
        """Return what there is now."""
        with self._world() as world:
            found = [simulation.seen(box, world.now) for box in world.boxes.values() if box.device == self._device]
            return Observed(
                containers=tuple(sorted(found, key=lambda each: each.name)),
                images=frozenset(world.images),
                networks=frozenset(name for name, device in world.networks.items() if device == self._device),
                volumes=frozenset(
                    name for name, each in world.volumes.items() if each.device == self._device and not each.mark
                ),
                grounds=ways.grounds(world, self._device),
                halves=frozenset(
                    name for name, each in world.volumes.items() if each.device == self._device and each.mark
                ),
                begun=frozenset(config for config, devices in world.begun.items() if self._device in devices),
                laid=frozenset(name for name, each in world.laid.items() if each.device == self._device),
            )

    async def do(self, step: Step) -> None:
        """Take a step; codes as the real engine has them."""
        match step:
            case steps.Load():
                await self._load(step.image)
            case steps.CopyVolume():
                await self._copy(step)
            case _:
                with self._world() as world:
                    self._take(world, step)
        self._news.set()

    async def probe(self, container: str, probe: Probe) -> str:
        """Return what the container's script has of this probe."""
        await asyncio.sleep(0)
        with self._world() as world:
            box = self._find(world, container)
            if box is None:
                return "There is no such container."
            if box.status != "running":
                return "It is not running."
            return _answer(play.read(box.script), probe)

    async def logs(self, container: str, lines: int, limit: int, since: int = 0) -> str:  # noqa: ARG002 - has no times
        """Return the last lines that the container said."""
        with self._world() as world:
            box = self._find(world, container)
            text = "".join(f"{line}\n" for line in box.log[-lines:]) if box and lines > 0 else ""
        return text.encode()[-limit:].decode(errors="ignore") if limit > 0 else ""

    async def follow(self, container: str, lines: int, since: int = 0) -> AsyncIterator[str]:
        """Yield the last lines, and what it says from then on."""
        yield await self.logs(container, lines, 1 << 20, since)
        said: list[str] | None = None
        while True:
            with self._world() as world:
                box = self._find(world, container)
                log, runs = (list(box.log), box.status == "running") if box else ([], False)
            if said is not None:
                yield "".join(f"{line}\n" for line in log[len(said) :])
            if not runs:
                return
            said = log
            await self._clock.sleep(0.2)

    async def inspect(self, container: str) -> Mapping[str, Any]:
        """Return what is known of it."""
        with self._world() as world:
            box = self._find(world, container)
            return {} if box is None else {"Name": box.name, "Config": {"Env": [f"{play.VARIABLE}={box.script}"]}}

    async def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each volume."""
        with self._world() as world:
            return {name: _size(each) for name, each in world.volumes.items() if each.device == self._device}

    async def export(self, volume: str, folder: str) -> AsyncIterator[bytes]:
        """Yield a tar of its files."""
        with self._world() as world:
            found = world.volumes.get(volume)
            if found is None or found.mark or found.device != self._device:
                raise NotFoundError("volume.not_found", f"The engine has no whole volume {volume} of this device.")
            files = dict(found.files)
        for piece in archive.folder(folder, files):
            yield piece

    async def changed(self) -> None:
        """Return after a step, and when something happens by itself."""
        with self._world() as world:
            due = simulation.due(world)
            now = world.now
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._news.wait())]
        if due is not None:
            waits.append(asyncio.create_task(self._clock.sleep(max(0.0, due - now))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        self._news.clear()

    async def close(self) -> None:
        """Let go of nothing: there is none."""

    def restart_daemon(self) -> None:
        """Start the engine again: everything stops, and what its policy says runs again."""
        with self._world() as world:
            simulation.boot(world, world.now)
        self._news.set()

    def files(self, volume: str) -> dict[str, str]:
        """Return what is in a volume, to be changed only by its user."""
        with self._world() as world:
            return dict(world.volumes[volume].files)

    # ---- Steps. ----

    def _take(self, world: World, step: Step) -> None:
        match step:
            case steps.MakeNetwork():
                self._ours(world.networks.get(step.name, self._device), step.name)
                ways.make(world, step, self._device)
            case steps.DropNetwork():
                self._drop_network(world, step.name)
            case steps.MakeVolume() | steps.DropVolume():
                self._store(world, step)
            case steps.DropImage():
                (_swept if step.begun else _drop_image)(world, step.image, self._device)
            case steps.Create():
                self._create(world, step.slot, step.service)
            case steps.Lay():
                world.laid.setdefault(step.slot.attempt, simulation.laid(step.slot))
            case steps.Unlay():
                if step.attempt in world.laid:
                    self._ours(world.laid[step.attempt].device, step.attempt)
                    del world.laid[step.attempt]
            case steps.Load() | steps.CopyVolume():
                message = f"{step} is not taken at once"
                raise TypeError(message)
            case _:
                self._change(world, step)

    def _change(self, world: World, step: steps.Policy | steps.Stop | steps.Start | steps.Remove) -> None:
        match step:
            case steps.Policy():
                self._box(world, step.container).policy = step.policy
            case steps.Start():
                _start(world, self._box(world, step.container))
            case steps.Stop() | steps.Remove():
                box = self._find(world, step.container)
                if box is not None:
                    simulation.stop(box, world.now)
                    if isinstance(step, steps.Remove):
                        del world.boxes[box.name]

    def _create(self, world: World, slot: Slot, service: str) -> None:
        wanted = containers.wanted(slot, service)
        said = slot.manifest.services[service]
        there = self._find(world, wanted.name)
        if there is not None:
            same = there.attempt == slot.attempt
            if same and there.definition == wanted.definition:
                return
            if not same and there.status in ("running", "restarting"):
                raise ConflictError("engine.refused", f"The container {wanted.name} runs for another deploy.")
        play.read(said.environment.get(play.VARIABLE, ""))  # refuses what it does not understand
        if said.image not in world.images:
            raise ConflictError("engine.refused", f"The engine refused: no such image: {said.image}")
        for mount in said.mounts:
            name = slot.volumes[mount.volume]
            mark = "awaited" if name in wanted.copies else ""
            self._ours(world.volumes.setdefault(name, Bucket(self._device, mark=mark)).device, name)
        world.made += 1
        world.boxes[wanted.name] = _box(world, slot, service, wanted)

    def _drop_network(self, world: World, name: str) -> None:
        if name in world.networks:
            self._ours(world.networks[name], name)
            ways.drop(world, name)

    def _store(self, world: World, step: steps.MakeVolume | steps.DropVolume) -> None:
        there = world.volumes.get(step.name)
        self._ours(self._device if there is None else there.device, step.name)
        if isinstance(step, steps.MakeVolume):
            world.volumes.setdefault(step.name, Bucket(self._device))
            return
        if any(step.name == mounted for box in world.boxes.values() for mounted, _ in box.volumes):
            raise ConflictError("engine.refused", f"The engine refused: volume {step.name} is in use")
        world.volumes.pop(step.name, None)

    async def _copy(self, step: steps.CopyVolume) -> None:
        with self._world() as world:
            source, target = world.volumes.get(step.source), world.volumes.get(step.target)
            if target is not None:
                self._ours(target.device, step.target)
                if not target.mark:
                    return
            if source is None:
                raise ConflictError("engine.refused", f"There is no volume {step.source} to copy.")
            world.volumes[step.target] = Bucket(self._device, dict(list(source.files.items())[:1]), "begun")
        await asyncio.sleep(0)  # here it may be cut short
        with self._world() as world:
            world.volumes[step.target] = Bucket(self._device, dict(world.volumes[step.source].files))
            self.copied[step.target] = _size(world.volumes[step.target])

    async def _load(self, image: Image) -> None:
        with self._world() as world:
            if image.config in world.images:
                _held_by(world, image.config, self._device)
                return
        unpacking.verify(image, self._open_blob)
        with self._world() as world:
            world.begun[image.config] = sorted({*world.begun.get(image.config, ()), self._device})
        await asyncio.sleep(0)  # here it may be cut short
        with self._world() as world:
            _held_by(world, image.config, self._device)
            _swept(world, image.config, self._device)

    # ---- What is whose. ----

    def _world(self) -> contextlib.AbstractContextManager[World]:
        return self.ground.world(self._clock.monotonic())

    def _find(self, world: World, container: str) -> Box | None:
        for box in world.boxes.values():
            if container in (box.name, box.id):
                self._ours(box.device, container)
                return box
        return None

    def _box(self, world: World, container: str) -> Box:
        box = self._find(world, container)
        if box is None:
            raise ConflictError("engine.refused", f"There is no container {container}.", "The device makes it anew.")
        return box

    def _ours(self, device: str, name: str) -> None:
        if device != self._device:
            raise ConflictError(
                "engine.foreign", f"{name} is there, and this device did not make it.", "Rename it, or remove it."
            )


def _box(world: World, slot: Slot, service: str, wanted: containers.Wanted) -> Box:
    said = slot.manifest.services[service]
    return Box(
        id=digests.sha256_hex(f"{world.made} {wanted.name}".encode()),
        name=wanted.name,
        device=slot.device,
        service=service,
        attempt=slot.attempt,
        release=slot.release,
        image=said.image,
        definition=wanted.definition,
        script=said.environment.get(play.VARIABLE, ""),
        environment=dict(said.environment),
        checked=_checked(said),
        ports=tuple(f"{port.protocol} {port.address}:{port.published}" for port in said.ports),
        networks=tuple(wanted.attached),
        addresses=ways.addresses(wanted.attached),
        volumes=tuple((slot.volumes[mount.volume], mount.read_only) for mount in said.mounts),
        kills=said.stop_signal in ("SIGKILL", "9"),
        bound=bool(said.files or said.secrets),
    )


def _checked(said: Service) -> tuple[float, float] | None:
    check = said.check
    if check is None or check.test == ("NONE",):
        return None
    interval = check.interval_ms / 1_000
    return interval, check.start_period_ms / 1_000 + check.retries * interval


def _start(world: World, box: Box) -> None:
    if box.status == "running":
        return
    if simulation.unlaid(world, box):
        raise ConflictError("engine.refused", "The engine refused: bind source path does not exist")
    if "refuse" in play.read(box.script).flags:
        box.code = 127
        raise ConflictError("engine.refused", f"The engine refused: {box.service} cannot be started")
    if why := ways.taken(world, box):
        raise ConflictError("engine.refused", f"The engine refused: {why}")
    box.by_hand, box.restarts, box.delay = False, 0, 0.0
    simulation.start(box, world.now)


def _answer(said: play.Play, probe: Probe) -> str:
    if "deaf" in said.flags:
        return "It did not answer." if isinstance(probe, ExecProbe) else f"Port {probe.port} took no connection."
    if isinstance(probe, ExecProbe):
        return "" if said.exec == 0 else f"{probe.command[0]} ended with {said.exec}."
    if said.listen and probe.port not in said.listen:
        return f"Port {probe.port} took no connection."
    if isinstance(probe, HttpProbe) and said.status != probe.status:
        return f"{probe.path} answered with {said.status}, not {probe.status}."
    return ""


def _size(bucket: Bucket) -> int:
    return sum(len(text.encode()) for text in bucket.files.values())


def _swept(world: World, config: str, device: str) -> None:
    """Have nothing of a load that was cut short."""
    others = [each for each in world.begun.pop(config, ()) if each != device]
    if others:
        world.begun[config] = others


def _held_by(world: World, config: str, device: str) -> None:
    world.images[config] = sorted({*world.images.get(config, ()), device})


def _drop_image(world: World, config: str, device: str) -> None:
    _swept(world, config, device)
    holders = set(world.images.get(config, ())) - {device}
    used = any(box.image == config for box in world.boxes.values())
    if config in world.images and device in world.images[config]:
        world.images[config] = sorted(holders)
        if not holders and not used:
            del world.images[config]
        elif not holders:
            world.images[config] = [device]
