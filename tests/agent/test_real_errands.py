# SPDX-License-Identifier: Apache-2.0
"""Errands on a real engine, over a real line: words, a restart, a bundle, and an agent that dies before it has told."""

import asyncio
import contextlib
import gzip
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from checkvalve.agent import steps
from checkvalve.crypto import digests
from checkvalve.protocol import errand, workload
from checkvalve.protocol.errand import Done, Item
from checkvalve.protocol.exchange import State
from tests.agent.engine.images import Made
from tests.agent.living import Living, living
from tests.agent.test_real_values import SECRET, given, release
from tests.parts import docker, errands

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

POOL = "10.216.0.0/16"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-agent-") as directory, docker.running(Path(directory)) as lent:
        yield lent


@pytest.mark.timeout(240)
def test_logs_a_restart_and_a_bundle_on_a_real_engine(engine: docker.Engine, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL, "--runtime", f"{memory}/secrets")

        async def whole() -> None:
            async with living(tmp_path, *words) as device:
                await device.join()
                with contextlib.ExitStack() as after:
                    after.callback(_clear, engine, device)
                    await _story(engine, device)

        with engine.entered():
            asyncio.run(whole())


async def _story(engine: docker.Engine, device: Living) -> None:
    await device.begin()
    made = _hasty(release())
    assert await device.deploy(made, given(device, made, word="one", recipe="two eggs\n")) is State.COMMITTED
    container = f"label={steps.DEVICE}={device.device}"
    (name,) = engine.run("ps", "--filter", container, "--format", "{{.Names}}").split()
    before = engine.run("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name).split()

    _order(device, errands.logs(1, service="worker"), errands.restart(2, "worker"), errands.bundle(3))
    await device.until(lambda: len(_dones(device)) == 3)
    assert {each.outcome for each in _dones(device).values()} == {"done"}, _dones(device)
    said = _content(device, 1).decode()
    assert "worker | pin [secret pin] and one\n" in said
    assert all(line.startswith("worker | ") for line in said.splitlines())
    assert _dones(device)[errands.name(2)].reason == "worker was restarted, and runs."
    after = engine.run("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name).split()
    assert after[0] == before[0], "it is the same container"
    assert after[1] > before[1]
    bundle = _content(device, 3)
    assert b"support/doctor.json" in bundle
    assert SECRET.encode() not in bundle + said.encode()

    # The agent dies as it has begun to restart it: there is one word on that too.
    await device.end(signal.SIGKILL)
    _order(device, errands.restart(4, "worker"))
    dies = await device.begin(kill_at=4)  # boot, taken, order, begun
    await asyncio.wait_for(dies.wait(), 60)
    device.process = None
    await device.begin()
    await device.until(lambda: len(_dones(device)) == 4)
    assert _dones(device)[errands.name(4)].outcome == "done"
    events = [each.code for each in device.plane.kept.events.values() if each.code]
    assert not [each for each in events if each.startswith("service.")], "nobody takes a restart for a crash"
    assert await device.end() == 0


def _hasty(made: Made) -> Made:
    """Return the same release, whose service is given little time to stop."""
    worker = structs.replace(made.read.services["worker"], stop_grace_ms=500)
    return Made(workload.write(structs.replace(made.read, services={"worker": worker})), made.blobs)


def _order(device: Living, *items: Item) -> None:
    device.plane.order(device.device, *(msgspec.json.encode(each) for each in items))


def _dones(device: Living) -> dict[str, Done]:
    sealed = [each for each in device.plane.kept.receipts.values() if each.payload_type == errand.ERRAND]
    public = device.plane.kept.members[device.device].public
    return {each.errand: each for each in (errand.verified(one, public) for one in sealed)}


def _content(device: Living, number: int) -> bytes:
    """Return what an errand brought, unpacked, which was there before the word on it."""
    data, said = device.plane.kept.contents[errands.name(number)], _dones(device)[errands.name(number)].content
    assert said is not None
    assert said.digest == f"sha256:{digests.sha256_hex(data)}"
    return gzip.decompress(data)


def _clear(engine: docker.Engine, device: Living) -> None:
    found = engine.run("ps", "-aq", "--filter", f"label={steps.DEVICE}={device.device}").split()
    if found:
        engine.run("rm", "-f", *found)
