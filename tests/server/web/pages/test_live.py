# SPDX-License-Identifier: Apache-2.0
"""Streams of events: what they send and when, who may have one, and how each of them ends."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path

import pytest

from checkvalve.server.access import queries as access_queries
from checkvalve.server.db.database import Database
from checkvalve.server.rollouts.model import Outcome
from checkvalve.server.web import live
from tests.server.web.pages import streams
from tests.server.web.pages.rolling import EXITED, Course
from tests.server.web.pages.streams import Reader
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PARTS = {"head", "waves", "devices", "side", "story"}


@pytest.fixture
def course(database: Database, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Course]:
    """Return a rollout to four devices that has just begun; looks follow one another quickly."""
    monkeypatch.setattr(live, "WITHIN", 0.02)
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield Course(plant.build()).stand("pump-1", "pump-2", "pump-3", "pump-4").begin()
    plant.close()


def reading(
    course: Course, user: User | None = None, *, known: str = "", last: str = ""
) -> AbstractAsyncContextManager[Reader]:
    """Read the stream of a rollout."""
    return streams.reading(course.plant, user or course.operator, course.path, known=known, last=last)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_a_reader_that_knows_nothing_is_sent_every_part_once_and_then_the_time(course: Course) -> None:
    async def work() -> None:
        async with reading(course) as reader:
            await reader.until(lambda it: len(it.named("beat")) >= 3)
            assert (reader.status, {name for name, _ in reader.events}) == (200, {*PARTS, "beat"})
            assert [len(reader.named(part)) for part in ("head", "waves", "devices", "side")] == [1, 1, 1, 1]
            assert reader.named("beat")[0] == "12:00:00 UTC"
            assert "Autumn patch goes on: 0 of 4 devices" in reader.named("head")[0]
        assert course.plant.plane.live.streams == 0

    run(work)


def test_a_page_is_sent_only_what_changed_since_it_was_made(course: Course) -> None:
    known = re.search(r"known=([^&\"]+)", data(course.plant, course.operator, course.path)["events"])
    assert known

    async def work() -> None:
        async with reading(course, known=known[1]) as reader:
            await reader.until(lambda it: len(it.named("beat")) >= 2)
            assert {name for name, _ in reader.events} == {"beat"}
            (canary,) = course.wave(0)
            await asyncio.to_thread(course.ends, canary)
            await reader.until(lambda it: it.named("waves"))
            assert "1 verified" in reader.named("waves")[-1]
            assert f'id="device-{course.devices[canary].id}"' in reader.named("devices")[-1]
            last = reader.last_id
        async with reading(course, known=known[1], last=last) as reader:  # a browser that comes again
            await reader.until(lambda it: it.named("beat"))
            assert {name for name, _ in reader.events} == {"beat"}

    run(work)


def test_a_stream_ends_with_its_rollout(course: Course) -> None:
    async def work() -> None:
        async with reading(course) as reader:
            await reader.until(lambda it: it.named("beat"))
            (canary,) = course.wave(0)
            await asyncio.to_thread(course.ends, canary, Outcome.ROLLED_BACK, EXITED)
            await asyncio.to_thread(course.turn)
            await reader.until(lambda it: any("is paused" in text for text in it.named("head")))
            assert "Continue; leave this 1 on" in reader.named("side")[-1]
            await asyncio.to_thread(ask, course.plant, course.operator, f"{course.path}/cancel", {})
            await reader.until(lambda it: it.ended)
            assert reader.events[-1][0] == "end"
            assert "was cancelled" in reader.named("head")[-1]

    run(work)


def test_a_stream_ends_when_the_right_is_taken_away(course: Course) -> None:
    plant = course.plant
    viewer = plant.users["north", "viewer"]

    def take() -> None:
        held = plant.db.read_now("held", access_queries.principal, viewer.person.id).bindings
        for binding in held:
            plant.unbind(binding)

    async def work() -> None:
        async with reading(course, viewer) as reader:
            await reader.until(lambda it: it.named("beat"))
            assert "disabled" in reader.named("side")[0]
            await asyncio.to_thread(take)
            await reader.until(lambda it: it.ended)
            assert reader.events[-1][0] == "cut"

    run(work)


def test_a_stream_ends_with_the_session_and_does_not_prolong_it(course: Course) -> None:
    plant = course.plant

    async def work() -> None:
        async with reading(course) as reader:
            await reader.until(lambda it: it.named("beat"))
            plant.later(minutes=20)
            await reader.until(lambda it: "12:20:00 UTC" in it.named("beat"))
            plant.later(minutes=11)  # 31 without a request of the person
            await reader.until(lambda it: it.ended)
            assert reader.events[-1] == ("cut", "The session ended after 30 minutes without a request. Sign in again.")

    run(work)


def test_all_streams_end_at_once_when_the_plane_stops(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WITHIN", 30.0)

    async def work() -> None:
        stop = asyncio.Event()
        watching = asyncio.create_task(course.plant.plane.live.watch(stop))
        async with reading(course) as one, reading(course) as other:
            await one.until(lambda it: it.named("beat"))
            await other.until(lambda it: it.named("beat"))
            stop.set()
            await one.until(lambda it: it.ended)
            await other.until(lambda it: it.ended)
        await watching
        async with reading(course) as late:
            assert late.status == 503

    run(work)


def test_a_process_has_so_many_streams_and_no_more(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 2)

    async def work() -> None:
        async with reading(course), reading(course), reading(course) as third:
            assert third.status == 503
            assert b"live.full" in third.body
        async with reading(course) as again:
            assert again.status == 200

    run(work)


def test_a_stream_lasts_a_while_and_the_browser_comes_again(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LASTS", 0.1)

    async def work() -> None:
        async with reading(course) as reader:
            await reader.until(lambda it: it.ended)
            assert reader.events[-1][0] == "beat"
            assert f"retry: {live.RETRY}" in reader.body.decode()

    run(work)


def test_the_one_who_looks_is_judged_before_the_answer_begins(course: Course) -> None:
    async def work() -> None:
        async with reading(course, course.plant.users["south", "operator"]) as reader:
            assert reader.status == 404

    run(work)
