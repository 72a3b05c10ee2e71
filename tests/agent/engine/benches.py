# SPDX-License-Identifier: Apache-2.0
"""Engines to try: the simulated one, and a real dockerd in namespaces of its own. Both are asked the same."""

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import BinaryIO, Protocol

from checkvalve import clock
from checkvalve.agent import steps
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.agent.engine.simulation import Box, Bucket
from checkvalve.agent.ports import Engine, OpenBlob
from checkvalve.agent.steps import Container, Observed, Slot
from checkvalve.errors import NotFoundError
from tests.agent.engine.images import Made
from tests.parts import docker

_numbers = itertools.count(1)
SOON = 20.0


class Bench(Protocol):
    """What a test needs of an engine besides its port."""

    real: bool

    def engine(self, device: str, blobs: Mapping[str, bytes]) -> Engine: ...

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        """Run a story to its end where the containers' addresses can be reached."""
        ...

    def foreign(self, name: str, image: str) -> None:
        """Have a running container, a network and a volume of this name that nobody's device made."""
        ...

    def foreign_runs(self, name: str) -> bool: ...

    def restart(self, *, power: bool) -> None: ...

    def files(self, volume: str, image: str) -> dict[str, str]: ...

    def put(self, volume: str, image: str, files: dict[str, str]) -> None: ...


class RealBench:
    """A real dockerd."""

    real = True

    def __init__(self, engine: docker.Engine) -> None:
        self.docker = engine
        self._open: list[Engine] = []

    def engine(self, device: str, blobs: Mapping[str, bytes]) -> Docker:
        made = Docker(device, opener(blobs), socket=self.docker.socket, pool="10.213.0.0/16")
        self._open.append(made)
        return made

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            try:
                await story()
            finally:
                while self._open:
                    await self._open.pop().close()

        with self.docker.entered():
            asyncio.run(whole())

    def foreign(self, name: str, image: str) -> None:
        self.docker.run("network", "create", name)
        self.docker.run("volume", "create", name)
        self.docker.run("run", "-d", "--network", "none", "--name", name, image, "sleep", "100000")

    def foreign_runs(self, name: str) -> bool:
        return self.docker.run("container", "inspect", "--format", "{{.State.Running}}", name) == "true"

    def restart(self, *, power: bool) -> None:
        self.docker.restart(power=power)

    def files(self, volume: str, image: str) -> dict[str, str]:
        script = 'for f in *; do echo "$f=$(cat $f)"; done'
        said = self.docker.run("run", "--rm", "-w", "/v", "-v", f"{volume}:/v:ro", image, "sh", "-c", script)
        return dict(line.split("=", 1) for line in said.splitlines() if line != "*=")

    def put(self, volume: str, image: str, files: dict[str, str]) -> None:
        script = "; ".join(f"echo {text} >/v/{name}" for name, text in files.items())
        self.docker.run("run", "--rm", "-v", f"{volume}:/v", image, "sh", "-c", script)


class SimulatedBench:
    """The simulated engine, in real time."""

    real = False

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def engine(self, device: str, blobs: Mapping[str, bytes]) -> Simulated:
        return Simulated(device, opener(blobs), ground=self.ground)

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            await story()

        asyncio.run(whole())

    def foreign(self, name: str, image: str) -> None:
        with self.ground.world(clock.monotonic()) as world:
            world.networks[name] = "nobody"
            world.volumes[name] = Bucket("nobody")
            box = Box("f" * 64, name, "nobody", "", "", "", image, "", status="running", started=True)
            world.boxes[name] = box

    def foreign_runs(self, name: str) -> bool:
        with self.ground.world(clock.monotonic()) as world:
            return world.boxes[name].status == "running"

    def restart(self, *, power: bool) -> None:
        del power
        Simulated("", opener({}), ground=self.ground).restart_daemon()

    def files(self, volume: str, image: str) -> dict[str, str]:
        del image
        return Simulated("", opener({}), ground=self.ground).files(volume)

    def put(self, volume: str, image: str, files: dict[str, str]) -> None:
        del image
        with self.ground.world(clock.monotonic()) as world:
            world.volumes[volume].files.update(files)


def opener(blobs: Mapping[str, bytes]) -> OpenBlob:
    """Return an opener of these blobs."""

    def open_blob(digest: str) -> BinaryIO:
        if digest not in blobs:
            raise NotFoundError("blob.missing", f"There is no blob {digest}.")
        return io.BytesIO(blobs[digest])

    return open_blob


def new_device() -> str:
    """Return a device that no other test has."""
    return f"d{next(_numbers):025}"


def new_attempt(tail: str = "") -> str:
    """Return an attempt that no other test has; its random part may be said."""
    number = f"{next(_numbers):08}"
    return f"01{number}{'0' * 8}{tail or number}"


def slot(device: str, made: Made, *, attempt: str = "", copies: Mapping[str, str] | None = None) -> Slot:
    """Return a slot of a release; `copies` says which volume of it is copied from which volume of the engine."""
    name = attempt or new_attempt()
    manifest = made.read
    volumes = {key: f"{device}-{key}-{name[-8:]}" for key in manifest.volumes}
    return Slot(
        device=device,
        attempt=name,
        release=made.digest,
        target=f"historian/{made.digest[7:]}.json",
        number=1,
        manifest=manifest,
        volumes=volumes,
        copies={volumes[key]: source for key, source in (copies or {}).items()},
    )


def made_of(of: Slot) -> list[steps.Step]:
    """Return the steps that bring a slot to where its containers are created."""
    found: list[steps.Step] = [steps.Load(image) for image in of.manifest.images.values()]
    found += [steps.MakeNetwork(of.network(key), value.internal, value) for key, value in of.manifest.networks.items()]
    found += [steps.MakeVolume(name) for name in of.volumes.values() if name not in of.copies]
    return found + [steps.Create(of, name) for name in of.manifest.services]


async def all_of(engine: Engine, *taken: steps.Step) -> None:
    for step in taken:
        await engine.do(step)


async def made(engine: Engine, of: Slot, *, start: bool = False) -> None:
    """Bring a slot to where its containers are created, or started."""
    await all_of(engine, *made_of(of))
    if start:
        await all_of(engine, *(steps.Start(of.container(name)) for name in of.manifest.services))


async def seen(engine: Engine, name: str) -> Container:
    """Return one container."""
    return {each.name: each for each in (await engine.observe()).containers}[name]


async def until(engine: Engine, condition: Callable[[Observed], bool]) -> Observed:
    """Observe until it is so."""
    async with asyncio.timeout(SOON):
        while not condition(found := await engine.observe()):  # noqa: ASYNC110 -- it is the engine that changes
            await asyncio.sleep(0.05)
        return found
