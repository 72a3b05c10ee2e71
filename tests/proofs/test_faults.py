# SPDX-License-Identifier: Apache-2.0
"""The whole fault matrices of a device: each fault at each place of an attempt, in memory and on a real engine."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.device import told
from tests.parts import device_faults, docker, engine_faults
from tests.proofs import book

PROOFS = {
    "journal": "agent killed before and after each record of its journal, in every state",
    "full": "disk full at each write: once, for long, in the middle of it",
    "daemon": "engine killed at each step, for three lengths of time, agent alive or dead, simulated engine",
    "images": "engine lost images, containers or everything at each turn, simulated engine",
}
REAL = {
    "daemon": "dockerd killed in and after each step, agent alive or dead",
    "store": "dockerd lost its images or everything at each record, agent alive or dead",
}


@pytest.mark.parametrize("fault", PROOFS)
@told
async def test_a_fault_at_every_place_of_an_attempt_ends_in_old_new_or_degraded(fault: str) -> None:
    all_, ends = await device_faults.points(fault), Counter[str]()
    for number in book.rounds(PROOFS[fault], len(all_)):
        ends[await device_faults.tried(all_[number])] += 1
    print(f"{fault}: {len(all_)} points: {dict(ends)}")
    assert len(all_) > 200


@told
async def test_an_agent_killed_at_every_record_and_again_at_every_record_on_its_way_back() -> None:
    all_, ends = await device_faults.twice(), Counter[str]()
    for number in book.rounds("agent killed at each record, and again at each record on its way back", len(all_)):
        ends[await device_faults.tried(all_[number])] += 1
    print(f"twice: {len(all_)} points: {dict(ends)}")
    assert len(all_) > 1_000


@pytest.fixture(scope="module")
def daemon() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-faults-") as name, docker.running(Path(name)) as lent:
        yield lent


@pytest.mark.real_parts
@pytest.mark.parametrize("fault", REAL)
def test_a_dockerd_that_dies_at_every_place_of_an_attempt_leaves_old_new_or_degraded(
    daemon: docker.Engine, tmp_path: Path, fault: str
) -> None:
    async def whole() -> None:
        async with engine_faults.lent(daemon, tmp_path) as device:
            all_, ends = await engine_faults.points(device, fault), Counter[str]()
            for number in book.rounds(REAL[fault], len(all_)):
                ends[await engine_faults.tried(device, all_[number], number)] += 1
            print(f"{fault}: {len(all_)} points: {dict(ends)}")
            assert len(all_) > 50

    with daemon.entered():
        asyncio.run(whole())
