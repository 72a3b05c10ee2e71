# SPDX-License-Identifier: Apache-2.0
"""The agent on a real engine: patches, a bad patch, its death after some record, an engine that starts again."""

import asyncio
import contextlib
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.agent import steps
from checkvalve.protocol.exchange import State
from tests.agent import living as lives
from tests.agent.engine import hosts, images
from tests.agent.living import Living, living
from tests.parts import docker

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

POOL = "10.213.0.0/16"
RECORDS = 9  # of one attempt, from the start of the agent to the receipt; all of them: tests/proofs/test_devices.py
SEED = int.from_bytes(clock.entropy(4))


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-agent-") as directory, docker.running(Path(directory)) as lent:
        yield lent


def _run(engine: docker.Engine, directory: Path, story: Callable[[Living], Awaitable[None]]) -> None:
    """Run a story beside the containers: the plane listens there, and the agent runs there."""

    async def whole() -> None:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL)
        async with living(directory, *words) as device:
            await device.join()
            with contextlib.ExitStack() as after:
                after.callback(_clear, engine, device.device)
                await story(device)

    with engine.entered():
        asyncio.run(whole())


def _clear(engine: docker.Engine, device: str) -> None:
    found = engine.run("ps", "-aq", "--filter", f"label={steps.DEVICE}={device}").split()
    if found:
        engine.run("rm", "-f", *found)


def _running(engine: docker.Engine, device: Living) -> dict[str, list[str]]:
    """Return the images of what runs of this device, by service."""
    said = engine.run(
        "ps", "--no-trunc", "--filter", f"label={steps.DEVICE}={device.device}",
        "--format", f'{{{{.Label "{steps.SERVICE}"}}}} {{{{.Label "{steps.RELEASE}"}}}}',
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        service, release = line.split()
        found.setdefault(service, []).append(release)
    return found


def _all_of(made: images.Made) -> dict[str, list[str]]:
    return {name: [made.digest] for name, service in made.read.services.items() if service.kind == "service"}


async def _settled(engine: docker.Engine, device: Living, made: images.Made) -> None:
    """Wait until exactly this release runs, and nothing else of this device is there."""
    await device.until(lambda: _running(engine, device) == _all_of(made))


def test_a_patch_and_a_bad_patch_on_a_real_engine(engine: docker.Engine, tmp_path: Path) -> None:
    async def story(device: Living) -> None:
        agent = await device.begin()
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        assert await device.deploy(images.pair(2)) is State.COMMITTED
        await _settled(engine, device, images.pair(2))
        for bad, code in ((images.exits(3), "gate.exited"), (images.loops(4, seconds=1), "gate.exited")):
            assert await device.deploy(bad) is State.ROLLED_BACK
            assert device.receipts[-1].code == code
            await _settled(engine, device, images.pair(2))
        said = {each.service: each.logs for each in device.receipts[-2].services}
        assert "no recipe is there" in said["worker"]
        assert lives.sockets(agent.pid) == set()
        assert await device.end() == 0
        assert _running(engine, device) == _all_of(images.pair(2))

    _run(engine, tmp_path, story)


def test_a_switch_that_has_to_stop_first_and_its_way_back_on_a_real_engine(
    engine: docker.Engine, tmp_path: Path
) -> None:
    def plants() -> list[str]:
        names = engine.run("network", "ls", "--format", "{{.Name}}", "--filter", "name=-plant-").split()
        return [
            engine.run("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", each) for each in names
        ]

    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(hosts.placed(1, "10.44.0.0/24")) is State.COMMITTED
        wider, narrow = hosts.placed(2, "10.44.0.0/16"), hosts.placed(3, "10.44.0.0/25", good=False)
        assert await device.deploy(wider) is State.COMMITTED
        await _settled(engine, device, wider)
        await device.until(lambda: plants() == ["10.44.0.0/16"])
        assert await device.deploy(narrow) is State.ROLLED_BACK
        assert device.receipts[-1].code == "gate.exited"
        await _settled(engine, device, wider)
        await device.until(lambda: plants() == ["10.44.0.0/16"])
        assert {each.outcome for each in device.receipts} == {State.COMMITTED, State.ROLLED_BACK}
        await device.end()

    _run(engine, tmp_path, story)


@pytest.mark.timeout(300)
def test_an_agent_killed_after_some_record_comes_back_to_old_or_new(engine: docker.Engine, tmp_path: Path) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        await device.end(signal.SIGKILL)
        runs = images.pair(1)
        print(f"seed {SEED}")
        for kill_at in random.Random(SEED).sample(range(1, RECORDS + 1), 3):
            made = images.pair(1 + kill_at)
            attempt = device.order(made)
            killed = await device.begin(kill_at)
            assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL
            await device.begin()
            await device.until(lambda: device.told(attempt) is not None)  # noqa: B023
            runs = made if device.told(attempt) is State.COMMITTED else runs
            await _settled(engine, device, runs)
            assert device.status().active == runs.digest
            assert [each.attempt for each in device.receipts].count(attempt) == 1
            await device.end(signal.SIGKILL)

    _run(engine, tmp_path, story)


@pytest.mark.timeout(300)
def test_both_versions_running_after_the_daemon_restarts(engine: docker.Engine, tmp_path: Path) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        runs = images.pair(1)
        for number, state in enumerate(("switching", "verifying"), 2):
            made = images.pair(number)
            attempt = device.order(made)
            await device.until(lambda: device.status().state == state)  # noqa: B023
            await asyncio.to_thread(engine.restart, power=state == "verifying")
            assert all(len(each) == 1 for each in _running(engine, device).values())
            await device.until(lambda: device.told(attempt) is not None, 120)  # noqa: B023
            runs = made if device.told(attempt) is State.COMMITTED else runs
            await _settled(engine, device, runs)
        await asyncio.to_thread(engine.restart, power=True)
        await _settled(engine, device, runs)

    _run(engine, tmp_path, story)
