# SPDX-License-Identifier: Apache-2.0
"""The agent as it runs: work and visits side by side, each woken by what concerns it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from checkvalve.agent import loop
from checkvalve.agent.visit import Visit
from checkvalve.agent.work import Work
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import Device, told


@contextlib.asynccontextmanager
async def _running(device: Device) -> AsyncIterator[Callable[[Callable[[], bool], float], asyncio.Future[None]]]:
    """Run the agent; lends a wait for a condition, at most so many seconds of the device's clock."""
    task = asyncio.ensure_future(loop.run(device.parts))

    async def wait(until: Callable[[], bool], seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            if until():
                return
            assert not task.done()
            await device.clock.advance(0.05)
        assert until(), f"not within {seconds} s: {device.position}"

    try:
        yield lambda until, seconds: asyncio.ensure_future(wait(until, seconds))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@told
async def test_orders_reach_a_device_at_once_and_each_state_reaches_the_plane_at_once() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        await wait(lambda: bool(device.plane.reports) and device.plane.reports[-1].wait == 55, 5)
        begun = device.clock.monotonic()
        attempt = device.order(small.pair(1))
        await wait(lambda: any(each.state is State.VERIFYING for each in device.events), 2)
        await wait(lambda: device.ended(attempt), 8)
        assert device.clock.monotonic() - begun < 8  # a soak of 5 s is in it
        assert device.position.state is State.COMMITTED


@told
async def test_an_idle_remote_device_asks_once_in_55_seconds() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        await wait(lambda: bool(device.plane.reports) and device.plane.reports[-1].wait == 55, 5)
        before = len(device.plane.reports)
        await wait(lambda: len(device.plane.reports) == before + 3, 3 * 56)
        await wait(lambda: True, 1)
        assert len(device.plane.reports) <= before + 3


@told
async def test_an_async_device_comes_once_per_interval_and_never_waits() -> None:
    device = Device(link=LinkClass.ASYNC)
    async with _running(device) as wait:
        await wait(lambda: len(device.plane.reports) >= 2, 5)
        before = len(device.plane.reports)
        begun = device.clock.monotonic()
        await wait(lambda: len(device.plane.reports) == before + 4, 4 * 66)
        assert device.clock.monotonic() - begun > 3 * 54
        assert {each.wait for each in device.plane.reports} == {0}


@told
async def test_a_container_that_is_removed_is_back_before_the_next_look_is_due() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        attempt = device.order(small.pair(1))
        await wait(lambda: device.ended(attempt) and device.at_rest, 20)
        device.engine.restart_daemon()
        with device.ground.world(device.clock.monotonic()) as world:
            for box in world.boxes.values():
                box.status = "exited"
        device.engine._news.set()
        await wait(lambda: device.at_rest, 3)


@told
async def test_a_device_that_crashes_all_the_time_does_not_speak_all_the_time() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        attempt = device.order(small.pair(1))
        await wait(lambda: device.ended(attempt) and device.at_rest, 20)
        with device.ground.world(device.clock.monotonic()) as world:
            for box in world.boxes.values():
                box.script = "exit=1;after=0.2s"
                box.status, box.code = "exited", 1
        device.engine._news.set()
        before = len(device.plane.reports)
        await wait(lambda: len(device.plane.reports) > before, 10)
        begun, count = device.clock.monotonic(), len(device.plane.reports)
        while device.clock.monotonic() < begun + 60:
            await device.clock.advance(0.5)
        assert len(device.plane.reports) - count <= 60 / 5 * 3


@told
async def test_the_agent_goes_on_working_while_the_plane_is_gone_and_tells_all_when_it_is_back() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        attempt = device.order(small.pair(1))
        await wait(lambda: device.position.state is State.VERIFYING, 20)
        device.plane.knobs.unreachable = True
        await wait(lambda: device.position.state is State.COMMITTED, 20)
        await device.clock.advance(3_600)
        assert not device.receipts
        device.plane.knobs.unreachable = False
        await wait(lambda: device.ended(attempt), 301)


@told
async def test_a_fault_in_one_turn_ends_neither_half(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(link=LinkClass.REMOTE)
    faults = {"work": 0, "visit": 0}

    def broken(half: str) -> Callable[..., object]:
        def fail(*_: object) -> object:
            faults[half] += 1
            raise ZeroDivisionError

        return fail

    with monkeypatch.context() as patched:
        patched.setattr(Work, "_go_on", broken("work"))
        patched.setattr(Visit, "once", broken("visit"))
        async with _running(device) as wait:
            await wait(lambda: min(faults.values()) > 3, 600)
            patched.undo()
            attempt = device.order(small.pair(1))
            await wait(lambda: device.ended(attempt), 600)


@told
async def test_a_fetch_that_is_under_way_ends_when_the_agent_is_told_to_end() -> None:
    device = Device(link=LinkClass.REMOTE)
    async with _running(device) as wait:
        device.order(small.pair(1))
        device.plane.knobs.slow = 3.0
        await wait(lambda: device.position.state is State.FETCHING, 60)
    tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    assert tasks == []
