# SPDX-License-Identifier: Apache-2.0
"""The simulated engine by itself: what a script says happens in time, and outlives the process in a file."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import steps
from checkvalve.agent.clocks.simulated import SimulatedClock
from checkvalve.agent.engine import play, simulation
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.agent.engine.simulation import Box, Bucket, World
from checkvalve.errors import CheckvalveError, UnavailableError
from tests.agent.engine import images
from tests.agent.engine.benches import made, new_device, opener, seen, slot


def tell(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story()

    asyncio.run(whole())


def test_a_script_happens_by_the_clock_alone() -> None:
    device, release, clock = new_device(), images.loops(1), SimulatedClock()
    of = slot(device, release)
    worker = of.container("worker")

    async def story() -> None:
        engine = Simulated(device, opener(release.blobs), clock=clock)
        await made(engine, of, start=True)
        await clock.advance(2.9)
        assert (await seen(engine, worker)).state == "running"
        await clock.advance(0.2)
        assert ((await seen(engine, worker)).state, (await seen(engine, worker)).exit_code) == ("exited", 1)
        await engine.do(steps.Policy(worker, "always"))
        await engine.do(steps.Start(worker))
        await clock.advance(3.05)
        assert (await seen(engine, worker)).state == "restarting"
        await clock.advance(3_600)
        looping = await seen(engine, worker)
        assert 50 < looping.restarts < 70  # twice as long each time, a minute at most
        assert (await seen(engine, of.container("web"))).state == "running"

    tell(story)


def test_health_becomes_what_the_script_says() -> None:
    device, release, clock = new_device(), images.unhealthy(1), SimulatedClock()
    of = slot(device, release)

    async def story() -> None:
        engine = Simulated(device, opener(release.blobs), clock=clock)
        await made(engine, of)
        assert (await seen(engine, of.container("web"))).health == ""
        await engine.do(steps.Start(of.container("web")))
        assert (await seen(engine, of.container("web"))).health == "starting"
        await clock.advance(0.5)
        assert (await seen(engine, of.container("web"))).health == "unhealthy"

    tell(story)


def test_who_waits_hears_of_what_happens_by_itself() -> None:
    device, release, clock = new_device(), images.loops(1), SimulatedClock()
    of = slot(device, release)

    async def story() -> None:
        engine = Simulated(device, opener(release.blobs), clock=clock)
        await made(engine, of, start=True)
        await engine.changed()
        heard = asyncio.create_task(engine.changed())
        await clock.advance(2.9)
        assert not heard.done()
        await clock.advance(0.2)
        await heard

    tell(story)


def test_containers_go_on_while_the_agent_is_away(tmp_path: Path) -> None:
    device, release = new_device(), images.data(3)
    of = slot(device, release)
    path = tmp_path / "engine.json"

    async def first() -> None:
        engine = Simulated(device, opener(release.blobs), path)
        await made(engine, of, start=True)
        await engine.close()

    async def second() -> None:
        engine = Simulated(device, opener({}), path)
        assert (await seen(engine, of.container("web"))).state == "running"
        assert engine.files(of.volumes["data"]) == {"number": "3"}

    tell(first)
    tell(second)


def test_two_processes_do_not_tear_the_file(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    script = (
        "import asyncio, sys, pathlib\n"
        "from checkvalve.agent import steps\n"
        "from checkvalve.agent.engine.simulated import Simulated\n"
        "async def main(name):\n"
        "    engine = Simulated(name, lambda digest: None, pathlib.Path(sys.argv[1]))\n"
        "    for number in range(30):\n"
        "        await engine.do(steps.MakeVolume(f'{name}-{number}'))\n"
        "asyncio.run(main(sys.argv[2]))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("a", "b")]
    assert [each.wait() for each in running] == [0, 0]

    async def story() -> None:
        for name in ("a", "b"):
            assert len((await Simulated(name, opener({}), path).observe()).volumes) == 30

    tell(story)


def test_a_damaged_file_is_told_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_bytes(b"{")

    async def story() -> None:
        with pytest.raises(UnavailableError) as raised:
            await Simulated("d", opener({}), path).observe()
        assert raised.value.code == "engine.unreachable"

    tell(story)
    assert path.read_bytes() == b"{"


def test_an_engine_that_is_down_is_unreachable() -> None:
    async def story() -> None:
        engine = Simulated("d", opener({}), ground=Ground())
        engine.ground.down = True
        with pytest.raises(UnavailableError):
            await engine.do(steps.MakeVolume("a"))
        engine.ground.down = False
        assert (await engine.observe()).volumes == frozenset()

    tell(story)


@pytest.mark.parametrize("words", ["what", "exit=x", "after=3", "listen=", "write=a", "exit=-1"])
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(CheckvalveError) as raised:
        play.read(words)
    assert raised.value.code == "engine.refused"


def test_words_say_what_they_say() -> None:
    said = play.read(" exit=3 ; after=1.5s;listen=80;listen=81;unhealthy;log=a=b;write=f:x:y;status=503 ")
    assert said == play.Play(
        exit=3,
        after=1.5,
        flags=frozenset({"unhealthy"}),
        listen=frozenset({80, 81}),
        status=503,
        log="a=b",
        write=(("f", "x:y"),),
    )


scripts = st.sampled_from(
    ["", "exit=0", "exit=1;after=3s", "exit=1;after=0.5s", "exit=2;after=20s", "write=a:b;exit=1"]
)
policies = st.sampled_from(["no", "always", "unless-stopped", "on-failure"])


def box(script: str, policy: str) -> World:
    made = Box("1", "web", "d", "web", "", "", "", "", script=script, policy=policy, volumes=(("v", False),))
    world = World(boxes={"web": made}, volumes={"v": Bucket("d")})
    simulation.start(made, 0.0)
    return world


@given(scripts, policies, st.lists(st.floats(0.01, 30), max_size=20))
def test_it_is_all_the_same_how_often_one_looks(script: str, policy: str, steps_: list[float]) -> None:
    often, once = box(script, policy), box(script, policy)
    now = 0.0
    simulation.advance(often, now)
    for step in steps_:
        now += step
        simulation.advance(often, now)
    simulation.advance(once, now)
    assert often == once


@given(scripts, policies, st.booleans(), st.floats(0.01, 30))
def test_after_a_boot_runs_what_its_policy_says(script: str, policy: str, by_hand: bool, after: float) -> None:  # noqa: FBT001
    world = box(script, policy)
    simulation.advance(world, after)
    web = world.boxes["web"]
    if by_hand:
        simulation.stop(web, after)
        web.by_hand = True
    code = web.code
    simulation.boot(world, 0.0)
    match policy:
        case "always":
            assert web.status == "running"
        case "no":
            assert web.status == "exited"
        case "unless-stopped":
            assert (web.status == "running") == (not by_hand)
        case _:
            assert by_hand is False or web.status == "exited"
    assert code >= 0
