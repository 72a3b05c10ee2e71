# SPDX-License-Identifier: Apache-2.0
"""What devices tell: their status, the lines of their journals, and the orders kept for them."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve.protocol.exchange import State
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions, queries, writes
from checkvalve.server.fleet.model import Changes, Device, Line, Signed
from tests.server.fleet.world import World, line


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _add(world: World, device: Device, *lines: Line) -> int:
    return world.database.write_now("lines", writes.add_lines, device.id, lines)


def _lines(world: World, device: Device, **more: object) -> list[Line]:
    return world.database.read_now("lines", queries.lines, device.id, **more)  # type: ignore[arg-type]


def test_a_visit_keeps_what_it_says_and_leaves_the_rest(world: World) -> None:
    device = world.stand("edge")
    changes: Changes = {
        "journal": "one",
        "known": 7,
        "told": 9,
        "capability": 2,
        "status": b"{}",
        "status_digest": "ab" * 32,
        "state": State.FETCHING,
        "attempt": "an attempt",
        "active": "sha256:" + "5e" * 32,
        "epoch": 1,
        "counter": 12,
        "offset": -1_700_000_000_000,
        "seen_at": world.now,
    }
    world.database.write_now("visited", writes.visited, device.id, changes)
    after = world.device(device.id)
    assert {name: getattr(after, name) for name in changes} == changes
    world.database.write_now("visited", writes.visited, device.id, {"offset": None, "known": 8})
    again = world.device(device.id)
    assert (again.offset, again.known, again.told, again.name) == (None, 8, 9, "edge")
    assert world.entries() == []


def test_a_visit_that_changes_nothing_changes_nothing(world: World) -> None:
    device = world.stand()
    before = world.rows()
    world.database.write_now("visited", writes.visited, device.id, {})
    assert world.rows() == before


def test_a_visit_that_was_earlier_does_not_bring_the_moment_back(world: World) -> None:
    device = world.stand(seen_at=world.now)
    world.database.write_now(
        "visited", writes.visited, device.id, {"seen_at": world.now - timedelta(seconds=1), "known": 3}
    )
    assert (world.device(device.id).seen_at, world.device(device.id).known) == (world.now, 3)


def test_the_standing_of_a_device_says_what_answering_it_needs(world: World) -> None:
    device, other = world.stand(), world.stand()
    attempt = world.assign(device.id).attempt
    changes: Changes = {"journal": "one", "known": 7, "status_digest": "ab", "attempt": "old", "epoch": 1, "counter": 4}
    world.database.write_now("visited", writes.visited, device.id, changes)
    standing = world.standing_of(device.id)
    assert (standing.journal, standing.known, standing.status_digest) == ("one", 7, "ab")
    assert (standing.wanted, standing.taken, standing.epoch, standing.counter) == (attempt, "old", 1, 4)
    assert (standing.key, standing.trust, standing.interval) == (device.key, device.trust, device.interval)
    assert (standing.generation, standing.pending) == (1, 1)
    assert standing.certificate_ends_at == device.certificate_ends_at
    everyone = world.database.read_now("standings", queries.standings)
    assert everyone == {one.id: world.standing_of(one.id) for one in (device, other)}


def test_a_line_that_comes_twice_is_kept_once_as_it_came_first(world: World) -> None:
    device = world.stand()
    first, second, third = (line(seq, world.now) for seq in (1, 2, 3))
    assert _add(world, device, first, second) == 2
    later = world.now + timedelta(minutes=1)
    assert _add(world, device, line(2, later, said=b'{"other":1}'), third) == 1
    assert _add(world, device, first, second, third) == 0
    assert _add(world, device) == 0
    assert _lines(world, device) == [first, second, third]


def test_a_line_that_comes_twice_in_one_report_is_kept_as_it_stands_first(world: World) -> None:
    device = world.stand()
    assert _add(world, device, line(1, world.now, said=b"a"), line(1, world.now, said=b"b")) == 1
    assert [one.line for one in _lines(world, device)] == [b"a"]


def test_lines_of_several_devices_and_journals_do_not_meet(world: World) -> None:
    one, other = world.stand(), world.stand()
    _add(world, one, line(1, world.now), line(2, world.now), line(1, world.now, "two"))
    _add(world, other, line(1, world.now))
    assert len(_lines(world, one)) == 3
    assert len(_lines(world, other)) == 1
    newest = [
        world.database.read_now("kept", queries.kept_events, device.id, journal)
        for device, journal in ((one, "one"), (one, "two"), (other, "two"))
    ]
    assert newest == [2, 1, 0]


def test_many_lines_are_kept_in_one_go(world: World) -> None:
    device = world.stand()
    assert _add(world, device, *(line(seq, world.now) for seq in range(1, 2 * writes.SLICE))) == 2 * writes.SLICE - 1
    assert _add(world, device, *(line(seq, world.now) for seq in range(1, 2 * writes.SLICE))) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(reports=st.lists(st.lists(st.integers(1, 12), max_size=8), max_size=6))
def _kept_once(world: World, reports: list[list[int]]) -> None:
    device = world.stand()
    new = sum(_add(world, device, *(line(seq, world.now) for seq in report)) for report in reports)
    told = sorted({seq for report in reports for seq in report})
    assert [one.seq for one in _lines(world, device)] == told
    assert new == len(told)


def test_however_reports_overlap_each_line_is_kept_once(world: World) -> None:
    _kept_once(world)


def test_lines_are_read_in_the_order_they_came_and_in_stretches(world: World) -> None:
    device = world.stand()
    later = world.now + timedelta(minutes=1)
    # The second journal sorts before the first by its name, and came after it.
    came = [line(1, world.now, "b"), line(2, world.now, "b"), line(1, later, "a"), line(10, later, "a")]
    _add(world, device, *came)
    assert _lines(world, device) == came
    assert _lines(world, device, newest=True) == came[::-1]
    assert _lines(world, device, limit=2, after=queries.mark(came[0])) == came[1:3]
    assert _lines(world, device, newest=True, limit=2, after=queries.mark(came[3])) == [came[2], came[1]]
    assert _lines(world, device, after=queries.mark(came[3])) == []


@pytest.mark.parametrize("after", ["x", "b:", "b:x", "b:99", ":1", "b:-1", "\0:1", "b:" + "9" * 40, "b:²"])
def test_a_stretch_after_nothing_is_empty(world: World, after: str) -> None:
    device = world.stand()
    _add(world, device, line(1, world.now, "b"))
    assert _lines(world, device, after=after) == []


def test_lines_are_narrowed_to_an_attempt(world: World) -> None:
    device = world.stand()
    _add(world, device, line(1, world.now, attempt="x"), line(2, world.now), line(3, world.now, attempt="x"))
    assert [one.seq for one in _lines(world, device, attempt="x")] == [1, 3]


def test_a_new_journal_of_a_known_device_is_told_and_its_lines_begin_anew(world: World) -> None:
    device = world.stand(journal="one", known=7, told=9)
    after = world.database.write_now("journal", actions.new_journal, world.by_device(device.id), device.id, "two")
    assert world.device(device.id) == after
    assert (after.journal, after.known, after.told) == ("two", 0, 0)
    [entry] = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("device.journal", f"device:{device.id}", world.site)
    assert entry.facts == {
        "after": {"journal": "two", "known": 0},
        "before": {"journal": "one", "known": 7, "told": 9},
    }


def test_a_journal_that_comes_back_goes_on_where_it_was(world: World) -> None:
    device = world.stand(journal="two", known=3)
    _add(world, device, line(1, world.now), line(2, world.now))
    after = world.database.write_now("journal", actions.new_journal, world.by_device(device.id), device.id, "one")
    assert (after.journal, after.known) == ("one", 2)


def test_the_orders_last_signed_are_kept_and_no_others(world: World) -> None:
    device = world.stand()
    assert world.database.read_now("signed", queries.signed, device.id) is None
    for counter in (1, 2):
        signed = Signed(device.id, "an attempt", 1, counter, b"%d" % counter, world.now, world.now + timedelta(hours=1))
        world.database.write_now("orders", writes.put_orders, signed)
        assert world.database.read_now("signed", queries.signed, device.id) == signed
