# SPDX-License-Identifier: Apache-2.0
"""A device is cut short at every place of an attempt there is, and comes back to all old or all new by itself."""

import asyncio
import contextlib
import itertools
import random
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkvalve.agent import steps
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import told
from tests.agent.engine import images
from tests.agent.living import Living, living
from tests.parts import both_kills, device_kills, docker, postgres, record_kills
from tests.parts.agents import Agent
from tests.parts.device_kills import BACK, NEW
from tests.parts.estate import Estate
from tests.parts.plane import PlaneProcess
from tests.proofs import book

MATRIX = list(itertools.product(NEW, BACK))
AGAIN = 20  # rounds
BOTH = 10  # rounds on each engine
SEEDS = 10  # of each release in a round
POOL = "10.215.0.0/16"
# Records of one attempt, from the start of the agent to the note of its receipt.
RECORDS = {"good": 9, "bad": 10}


@told
async def test_a_device_cut_at_each_writing_and_each_step_comes_back_to_old_or_new() -> None:
    for number in book.rounds("device cut at each writing and each step, power and kill", len(MATRIX)):
        name, how = MATRIX[number]
        writings = await device_kills.at_each_writing(name, how, number)
        before = await device_kills.at_each_step(name, how, after=False)
        after = await device_kills.at_each_step(name, how, after=True)
        print(f"{name}, {how}: {writings} writings, {before} steps before and {after} after")
        assert writings > 20
        assert before == after
        assert before > 2 or (before, name) == (0, "refused")  # what is not what it says never reaches the engine


@told
async def test_a_device_cut_again_and_again_on_its_way_back_comes_back_to_old_or_new() -> None:
    for number in book.rounds(f"device cut again and again on its way back, {SEEDS} seeds a round", AGAIN):
        for name in NEW:
            for seed in range(number * SEEDS, (number + 1) * SEEDS):
                await device_kills.again_and_again(name, seed)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_between_a_device_and_its_plane(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "sqlite:"
    if engine == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.drop("proof_of_devices")
        cluster.sql("CREATE DATABASE proof_of_devices")
        url = cluster.url("proof_of_devices")
    plane = PlaneProcess(tmp_path / "plane", url)
    assert plane.init().returncode == 0
    estate, agent = Estate(plane, tmp_path / "desk"), Agent(tmp_path / "agent")
    try:
        estate.found().stocked().joined(agent).start()
        for number in book.rounds(f"agent and plane killed in turn during an attempt, {engine}", BOTH):
            both_kills.killed(estate, agent, random.Random(number))
        assert agent.heard == set()
    finally:
        agent.end(signal.SIGKILL)
        estate.close()


@told
async def test_an_agent_killed_after_each_record_ends_in_old_or_new(tmp_path: Path) -> None:
    async with living(tmp_path, "--engine", "simulated") as device:
        await device.join()
        await device.begin()
        assert await device.deploy(small.quick(1)) is State.COMMITTED
        await device.end(signal.SIGKILL)
        for number in book.rounds("agent killed after each record, simulated engine", len(record_kills.RECORDS)):
            await record_kills.killed(device, small.quick(2 + number), record_kills.RECORDS[number])


@pytest.fixture(scope="module")
def docker_engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-proof-") as directory, docker.running(Path(directory)) as lent:
        yield lent


@pytest.mark.real_parts
@pytest.mark.parametrize("name", RECORDS)
def test_an_agent_killed_after_each_record_on_a_real_engine_ends_in_old_or_new(
    docker_engine: docker.Engine, name: str, tmp_path: Path
) -> None:
    engine = docker_engine

    async def whole() -> None:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL)
        async with living(tmp_path, *words) as device:
            await device.join()
            with contextlib.ExitStack() as after:
                after.callback(_clear, engine, device.device)
                await device.begin()
                assert await device.deploy(images.pair(1)) is State.COMMITTED
                await device.end(signal.SIGKILL)
                proof = f"agent killed after each record, {name} release, real engine"
                for number in book.rounds(proof, RECORDS[name]):
                    await _killed(engine, device, name, number + 1)

    with engine.entered():
        asyncio.run(whole())


async def _killed(engine: docker.Engine, device: Living, name: str, record: int) -> None:
    before = device.status().active
    made = (images.exits if name == "bad" else images.pair)(10 + record)
    attempt = device.order(made)
    killed = await device.begin(record)
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL, record
    await device.begin()
    await device.until(lambda: device.told(attempt) is not None)
    outcome = device.told(attempt)
    assert outcome is State.ROLLED_BACK or (outcome, name) == (State.COMMITTED, "good"), record
    runs = made.digest if outcome is State.COMMITTED else before
    await device.until(lambda: _running(engine, device) == {"web": [runs], "worker": [runs]})
    assert device.status().active == runs
    assert [each.attempt for each in device.receipts].count(attempt) == 1
    await device.end(signal.SIGKILL)


def _running(engine: docker.Engine, device: Living) -> dict[str, list[str]]:
    """Return the releases of what runs of this device, by service."""
    shown = f'{{{{.Label "{steps.SERVICE}"}}}} {{{{.Label "{steps.RELEASE}"}}}}'
    said = engine.run("ps", "--no-trunc", "--filter", f"label={steps.DEVICE}={device.device}", "--format", shown)
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        service, release = line.split()
        found.setdefault(service, []).append(release)
    return found


def _clear(engine: docker.Engine, device: str) -> None:
    found = engine.run("ps", "-aq", "--filter", f"label={steps.DEVICE}={device}").split()
    if found:
        engine.run("rm", "-f", *found)
