# SPDX-License-Identifier: Apache-2.0
"""Ticks have their turns until the plane stops, whatever they raise."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from checkvalve import clock
from checkvalve.errors import UnavailableError
from checkvalve.server.tasks import loop
from checkvalve.server.tasks.loop import Tick

SOON = 0.001


def _run(*ticks: Callable[[asyncio.Event], Tick], grace: float = 5.0) -> None:
    async def whole() -> None:
        stop = asyncio.Event()
        async with asyncio.timeout(20):
            await loop.run([tick(stop) for tick in ticks], stop, clock.entropy, grace=grace)

    asyncio.run(whole())


def _until(times: int, stop: asyncio.Event, then: Callable[[int], str] = lambda _: "") -> Callable[[], Awaitable[str]]:
    """Return a tick's work that stops the plane in its turn number `times`."""
    turns = itertools.count(1)

    async def work() -> str:
        turn = next(turns)
        if turn == times:
            stop.set()
        return then(turn)

    return work


def test_a_tick_has_a_turn_at_once_and_again_and_again() -> None:
    _run(lambda stop: Tick("counts", SOON, _until(20, stop)))


def test_a_tick_whose_next_turn_is_far_off_does_not_keep_the_plane_from_stopping() -> None:
    _run(lambda stop: Tick("rare", 10**6, _until(1, stop)))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnavailableError("database.unavailable", "It is away.", "Wait."), {"code": "database.unavailable"}),
        (RuntimeError("nobody foresaw this"), {"trace"}),
    ],
)
def test_a_turn_that_fails_is_told_and_the_tick_goes_on(error: Exception, told: dict[str, str] | set[str]) -> None:
    def fail_twice(turn: int) -> str:
        if turn < 3:
            raise error
        return "done"

    with capture_logs() as logs:
        _run(lambda stop: Tick("brittle", SOON, _until(3, stop, fail_twice)))
    failed = [log for log in logs if log["event"] == "tick failed"]
    assert len(failed) == 2
    assert all(log["tick"] == "brittle" and log["log_level"] == "error" and set(told) <= log.keys() for log in failed)
    assert [log["done"] for log in logs if log["event"] == "tick"] == ["done"]


def test_a_tick_that_fails_for_ever_takes_nothing_from_its_neighbour() -> None:
    async def broken() -> str:
        raise RuntimeError

    with capture_logs():
        _run(lambda _: Tick("broken", SOON, broken), lambda stop: Tick("sound", SOON, _until(10, stop)))


def test_a_running_turn_is_let_end() -> None:
    ended = []

    def long(stop: asyncio.Event) -> Tick:
        async def work() -> str:
            stop.set()
            for _ in range(10):
                await asyncio.sleep(0)
            ended.append(True)
            return ""

        return Tick("long", SOON, work)

    _run(long)
    assert ended == [True]


def test_a_turn_that_does_not_end_is_left_after_the_grace() -> None:
    def stuck(stop: asyncio.Event) -> Tick:
        async def work() -> str:
            stop.set()
            await asyncio.Event().wait()
            return ""

        return Tick("stuck", SOON, work)

    _run(stuck, grace=SOON)


def test_no_ticks_are_no_reason_to_end_before_the_plane_does() -> None:
    async def whole() -> bool:
        stop = asyncio.Event()
        running = asyncio.create_task(loop.run([], stop, clock.entropy))
        for _ in range(5):
            await asyncio.sleep(0)
        before = running.done()
        stop.set()
        await running
        return before

    assert asyncio.run(whole()) is False


@given(st.floats(0.001, 1e6), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_within_the_span_and_after_failures_within_an_hour_or_the_span(
    within: float, failures: int, jitter: float
) -> None:
    assert 0 <= loop.pause(within, 0, jitter) <= within
    assert 0 <= loop.pause(within, failures, jitter) <= max(within, loop.LONGEST)
    assert loop.pause(within, failures + 1, jitter) >= loop.pause(within, failures, jitter)
