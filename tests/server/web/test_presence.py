# SPDX-License-Identifier: Apache-2.0
"""The memory of devices: each half gives way to a newer one only, and what was decided is known in time."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import UnavailableError
from checkvalve.ids import DeviceId
from checkvalve.protocol.exchange import State
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Standing, Trust
from checkvalve.server.tasks import seen
from checkvalve.server.web import presence
from checkvalve.server.web.presence import Presence
from tests.server.exchange import world
from tests.server.web.crossing import Crossing, until

DEVICE = DeviceId("06e5q0kq3w8v9z2x4c6b8n0m1a")
MOMENT = datetime.fromisoformat("2026-11-03T12:00:00+00:00")
STANDING = Standing(DEVICE, Trust.ACCEPTED, "sha256:00", 1, 1, MOMENT, "j", 0, "", "", "", 0, 0, 60)


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


def standing(revision: int, told: int) -> Standing:
    """Return what the database held after so many decisions and so many visits."""
    return replace(STANDING, wanted=f"attempt {revision}", known=told)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_memory_never_goes_back_behind_a_decision_it_knew(steps: list[tuple[bool, int, int]]) -> None:
    memory, decided, told = Presence(), 0, 0
    memory.learn(standing(0, 0), 0)
    for is_visit, back, more in steps:
        decided += more
        read_at = max(decided - back, 0)  # a transaction that began before the newest decisions
        if is_visit:
            told += 1
            memory.learn(standing(read_at, told), read_at)
        else:
            memory._take(read_at, {DEVICE: standing(read_at, told)}, frozenset())
        slot = memory.of(DEVICE)
        assert slot is not None
        assert slot.standing.wanted == f"attempt {slot.as_of}"
        assert slot.as_of >= read_at
        assert slot.standing.known == told


def test_what_a_device_told_while_all_were_read_is_newer_than_what_was_read() -> None:
    memory = Presence()
    memory.learn(standing(1, 5), 1)
    memory._take(2, {DEVICE: standing(2, 4)}, frozenset({DEVICE}))
    slot = memory.of(DEVICE)
    assert slot is not None
    assert (slot.standing.wanted, slot.standing.known) == ("attempt 2", 5)
    memory._take(3, {}, frozenset({DEVICE}))  # it joined while they were read
    assert memory.of(DEVICE) is slot
    memory._take(3, {}, frozenset())
    assert memory.of(DEVICE) is None


def test_all_devices_are_read_only_where_somebody_decided_something(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = here.world.machine()
    reads: list[int] = []

    def counted(tx: object) -> dict[str, Standing]:
        reads.append(1)
        return standings(tx)  # type: ignore[arg-type]

    standings = fleet_queries.standings
    monkeypatch.setattr(fleet_queries, "standings", counted)
    memory = here.plane.presence

    async def tell() -> None:
        for _ in range(4):
            await memory.look(here.plane.db)
        assert len(reads) == 1
        here.world.assign(machine)
        await memory.look(here.plane.db)
        assert len(reads) == 2
        here.world.visit(machine, machine.report())  # tells of nothing that anybody decided
        await memory.look(here.plane.db)
        assert len(reads) == 2

    asyncio.run(tell())


def test_what_a_device_told_another_process_is_known_in_time(here: Crossing, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = here.world.machine()
    monkeypatch.setattr(presence, "FRESH", 0.0)
    memory = here.plane.presence

    async def tell() -> None:
        await memory.look(here.plane.db)
        here.world.visit(machine, machine.report(events=machine.events(State.IDLE)))
        await memory.look(here.plane.db)
        slot = memory.of(machine.id)
        assert slot is not None
        one_process = here.plane.db.kind == "sqlite"
        assert slot.standing.known == (0 if one_process else 1)

    asyncio.run(tell())


def test_stirring_waits_for_all_that_was_committed_before(here: Crossing) -> None:
    machines = [here.world.machine() for _ in range(5)]
    memory = here.plane.presence

    async def tell() -> None:
        for machine in machines:
            here.shut_out(machine)
            await memory.stir()
            slot = memory.of(machine.id)
            assert slot is not None
            assert slot.standing.trust is Trust.QUARANTINED

    here.story(tell)


def test_stirring_a_memory_that_nobody_keeps_costs_nothing(here: Crossing) -> None:
    async def tell() -> None:
        await here.plane.presence.stir()

    asyncio.run(tell())


def test_a_database_that_does_not_answer_makes_memory_count_no_more_and_nobody_waits_for_ever(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = here.plane.presence
    read = here.plane.db.read

    async def away(*_: object) -> None:
        raise UnavailableError("database.unavailable", "The database did not take this.", "Look at it.")

    async def tell() -> None:
        assert memory.fresh()
        monkeypatch.setattr(here.plane.db, "read", away)
        await memory.stir()
        monkeypatch.setattr(presence, "FRESH", 0.0)
        assert not memory.fresh()
        monkeypatch.undo()
        monkeypatch.setattr(here.plane.db, "read", read)
        await memory.stir()
        assert memory.fresh()

    here.story(tell)


def test_moments_that_could_not_be_written_are_written_later_and_newer_ones_win(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = here.world.machine(), here.world.machine()
    memory = here.plane.presence

    async def away(*_: object) -> None:
        memory.saw(DeviceId(first.id), later)
        raise UnavailableError("database.unavailable", "The database did not take this.", "Look at it.")

    here.world.later(minutes=1)
    now = here.world.now
    later = now.replace(minute=30)

    async def tell() -> None:
        memory.saw(DeviceId(first.id), now)
        memory.saw(DeviceId(second.id), now)
        with monkeypatch.context() as patched:
            patched.setattr(here.plane.db, "write", away)
            with pytest.raises(UnavailableError):
                await seen.run(here.plane.db, memory.seen, memory.unseen)
        await seen.run(here.plane.db, memory.seen, memory.unseen)
        assert here.world.device(first).seen_at == later
        assert here.world.device(second).seen_at == now
        assert memory.seen() == {}

    asyncio.run(tell())


def test_moments_of_many_devices_are_written_in_slices(here: Crossing, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [here.world.machine() for _ in range(5)]
    monkeypatch.setattr(seen, "SLICE", 2)
    here.world.later(minutes=1)

    async def tell() -> None:
        for machine in machines:
            here.plane.presence.saw(DeviceId(machine.id), here.world.now)
        await seen.run(here.plane.db, here.plane.presence.seen, here.plane.presence.unseen)
        assert {here.world.device(machine).seen_at for machine in machines} == {here.world.now}

    asyncio.run(tell())


def test_a_visit_more_than_the_pace_allows_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [1_000.0]
    monkeypatch.setattr("checkvalve.clock.monotonic", lambda: at[0])
    memory = Presence()
    slot = memory.learn(STANDING, 0)
    made = sum(memory.pause(slot) == 0 for _ in range(100))
    assert made == presence.BURST + 1
    wait = memory.pause(slot)
    assert 0 < wait <= presence.PACE
    at[0] += wait
    assert memory.pause(slot) == 0
    assert memory.pause(slot) > 0


def test_transfers_are_bounded_for_each_device_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell() -> None:
        monkeypatch.setattr(presence, "ALL_STREAMS", presence.STREAMS + 1)
        memory = Presence()
        slot = memory.learn(STANDING, 0)
        other = memory.learn(replace(STANDING, id=DeviceId("another")), 0)
        tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(presence.STREAMS + 3)]
        begun = [memory.begin(slot, task) for task in tasks[: presence.STREAMS + 1]]
        assert begun == [True] * presence.STREAMS + [False]
        assert memory.begin(other, tasks[-1])
        assert not memory.begin(other, tasks[-2])
        memory.end(slot, tasks[0])
        memory.end(slot, tasks[0])
        assert memory.begin(other, tasks[-2])
        memory.learn(replace(STANDING, trust=Trust.RETIRED), 1)
        await until(lambda: all(task.cancelled() for task in tasks[1 : presence.STREAMS]))
        assert not tasks[-1].done()
        for task in tasks:
            task.cancel()

    asyncio.run(tell())
