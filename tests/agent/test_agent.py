# SPDX-License-Identifier: Apache-2.0
"""The agent as people meet it: a command, a process, a directory."""

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.protocol.exchange import State
from tests.agent import living as lives
from tests.agent import small
from tests.agent.device import told
from tests.agent.engine.images import Made
from tests.agent.living import TOKEN, living
from tests.parts import record_kills

pytestmark = pytest.mark.slow

SIMULATED = ("--engine", "simulated")
SAMPLE = 4  # of the records of an attempt; all of them are in `tests/proofs/test_devices.py`
SEED = int.from_bytes(clock.entropy(4))


def _bad(number: int) -> Made:
    return small.remade(small.gated(small.exits(number, after=0.5), small.SHORT), small.exits(number))


@told
async def test_one_command_joins_and_another_runs_until_it_is_told_to_end(tmp_path: Path) -> None:
    async with living(tmp_path, *SIMULATED) as device:
        words = ("--server", device.address, "--token", TOKEN, "--ca-pin", device.plane.pin)
        device.plane.tokens.add(TOKEN)
        code, out, err = await device.call("join", *words, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out) == {"device": device.device, "plane": "plane", "place": []}
        code, _, err = await device.call("join", *words)
        assert (code, "agent.joined" in err) == (1, True)
        await device.begin()
        assert await device.deploy(small.quick(1)) is State.COMMITTED
        assert await device.deploy(_bad(2)) is State.ROLLED_BACK
        begun = clock.monotonic()
        assert await device.end() == 0
        assert clock.monotonic() - begun < 5
        code, out, _ = await device.call("status", "--json")
        assert (code, json.loads(out)["state"], json.loads(out)["active"]) == (0, "rolled_back", small.quick(1).digest)
        code, out, _ = await device.call("status")
        assert "gate.exited" in out
        assert small.quick(1).digest in out


@told
async def test_the_agent_holds_no_tcp_or_udp_listener_at_any_time_of_a_rollout(tmp_path: Path) -> None:
    async with living(tmp_path, *SIMULATED) as device:
        await device.join()
        running = await device.begin()
        seen = set[str]()
        looks = 0

        async def look() -> None:
            nonlocal looks
            while True:
                seen.update(lives.sockets(running.pid))
                looks += 1
                await asyncio.sleep(0.01)

        looking = asyncio.ensure_future(look())
        await device.deploy(small.quick(1))
        await device.deploy(_bad(2))
        looking.cancel()
        assert looks > 50
        assert seen == set()


def test_a_look_at_sockets_finds_one_that_listens() -> None:
    async def story() -> set[str]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            return lives.sockets(os.getpid())

    before = lives.sockets(os.getpid())  # other tests of this process may hold some
    assert len(asyncio.run(story()) - before) == 1


@told
async def test_an_agent_that_is_killed_after_some_record_ends_in_old_or_new(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    async with living(tmp_path, *SIMULATED) as device:
        await device.join()
        await device.begin()
        assert await device.deploy(small.quick(1)) is State.COMMITTED
        await device.end(signal.SIGKILL)
        for kill_at in random.Random(SEED).sample(record_kills.RECORDS, SAMPLE):
            await record_kills.killed(device, small.quick(1 + kill_at), kill_at)


@told
async def test_two_agents_never_work_in_one_directory(tmp_path: Path) -> None:
    async with living(tmp_path, *SIMULATED) as device:
        await device.join()
        await device.begin()
        await device.until(lambda: bool(device.plane.reports))
        code, _, err = await device.call("run", *SIMULATED)
        assert (code, "agent.running" in err) == (1, True)


@told
async def test_what_cannot_run_says_why_and_what_to_do(tmp_path: Path) -> None:
    async with living(tmp_path, *SIMULATED) as device:
        code, _, err = await device.call("run", *SIMULATED)
        assert (code, "agent.not_joined" in err) == (1, True)
        code, _, err = await device.call("status", "--json")
        assert (code, json.loads(err)["code"]) == (1, "agent.not_joined")
        code, out, _ = await device.call("version", "--json")
        assert (code, sorted(json.loads(out))) == (0, ["capability", "version"])
        code, _, err = await device.call("run", "--engine", "auto", "--socket", "")
        assert "agent.not_joined" in err or "engine.none" in err
