# SPDX-License-Identifier: Apache-2.0
"""How containers end, as a real engine tells it: also of those that run again at once."""

import asyncio
from pathlib import Path

import pytest

from checkvalve.agent import crashes
from checkvalve.agent.crashes import Crashes
from checkvalve.agent.disk import files
from checkvalve.agent.steps import Observed, Policy, Slot, Start
from checkvalve.protocol.reach import Limits
from checkvalve.protocol.workload import Service
from tests.agent.engine import images
from tests.agent.engine.benches import RealBench, made, new_device, slot, until

pytestmark = [pytest.mark.real_parts, pytest.mark.slow]


def _slot(script: str, **more: object) -> tuple[Slot, images.Made]:
    built = images.image(1)
    service = Service(image=built.image.config, entrypoint=("sh", "-c", script), **more)  # type: ignore[arg-type]
    release = images.release(built, {"web": service}, v=2 if more else 1)
    return slot(new_device(), release), release


def _told(before: Observed, after: Observed, of: Slot) -> list[tuple[str, object, object]]:
    known = crashes.look(Crashes(), of, before, 0.0, 0)
    known = crashes.look(known, of, after, 1.0, 1_000)
    return [(each.code, each.facts.get("exit"), each.facts.get("crashes")) for each in crashes.due(known, 1.0)]


def test_the_code_of_one_that_runs_again_at_once_is_known(real: RealBench) -> None:
    of, release = _slot("sleep 1; [ -e /again ] && sleep 1000; : > /again; exit 41")

    async def story() -> None:
        engine = real.engine(of.device, release.blobs)
        listening = asyncio.create_task(engine.changed())
        await made(engine, of)
        name = of.container("web")
        await engine.do(Policy(name, "always"))
        await engine.do(Start(name))
        before = await until(engine, lambda seen: seen.containers[0].state == "running")
        after = await until(
            engine, lambda seen: seen.containers[0].restarts == 1 and seen.containers[0].state == "running"
        )
        assert after.containers[0].last_exit == 41
        assert _told(before, after, of) == [("service.restarted", 41, 1)]
        real.docker.run("stop", "--time", "1", name)
        stopped = await until(engine, lambda seen: seen.containers[0].state == "exited")
        assert [each[0] for each in _told(after, stopped, of)] == ["service.stopped"]
        listening.cancel()
        await engine.close()

    real.run(story)


def test_the_engine_says_where_it_keeps_images_so_that_room_is_counted_there(real: RealBench, tmp_path: Path) -> None:
    roots = list[str]()

    async def story() -> None:
        roots.append((await real.engine(new_device(), {}).about()).root)

    real.run(story)
    assert roots[0].startswith("/")
    disk = files.take(tmp_path / "data")
    here = disk.room()
    for folder in map(Path, ("/", "/dev/shm", "/proc")):
        there = disk.room(str(folder))
        assert (there.disk == here.disk) == (folder.stat().st_dev == tmp_path.stat().st_dev) == (there.kept > 0)
        assert 0 <= there.free <= there.whole
    elsewhere = disk.room("/nowhere/at/all")  # seen by the engine, and not by the agent
    assert (elsewhere.disk, elsewhere.whole, elsewhere.kept) == (here.disk, here.whole, here.kept)
    disk.close()


def test_one_that_is_killed_because_memory_ran_out_says_so(real: RealBench) -> None:
    of, release = _slot("sleep 1; x=aaaaaaaa; while :; do x=$x$x; done", restart="no", limits=Limits(memory=16 << 20))

    async def story() -> None:
        engine = real.engine(of.device, release.blobs)
        await made(engine, of, start=True)
        before = await until(engine, lambda seen: seen.containers[0].state == "running")
        after = await until(engine, lambda seen: seen.containers[0].state == "exited")
        assert after.containers[0].oom
        ((code, _, count),) = _told(before, after, of)
        assert (code, count) == ("service.exited", 1)
        await engine.close()

    real.run(story)
