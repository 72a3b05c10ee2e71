# SPDX-License-Identifier: Apache-2.0
"""How a device is, in one word: the rule, and the database that is asked by the same rule."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product

import pytest

from checkvalve.protocol.exchange import State
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import condition, liveness, queries
from checkvalve.server.fleet.model import Condition, Liveness, Order, Tally, Trust
from tests.server.fleet.world import World

AGO = {
    Liveness.ONLINE: timedelta(seconds=60),
    Liveness.LATE: timedelta(seconds=150),
    Liveness.OFFLINE: timedelta(days=3),
    Liveness.NEVER_SEEN: None,
}

CRASHING = (0, 2)  # services


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    """Return the small organisation."""
    return World(database, new_id, now)


@pytest.mark.parametrize(("trust", "heard", "state"), list(product(Trust, Liveness, State)))
def test_what_is_shut_out_is_that_whatever_it_says(trust: Trust, heard: Liveness, state: State) -> None:
    shut_out = {Trust.QUARANTINED: Condition.QUARANTINED, Trust.RETIRED: Condition.RETIRED}
    for crashing in CRASHING:
        found = condition.judge(trust, heard, state, crashing)
        assert (found in shut_out.values()) == (trust in shut_out)
        assert shut_out.get(trust, found) is found


def test_a_degraded_device_stays_so_while_it_is_silent() -> None:
    for heard in Liveness:
        assert condition.judge(Trust.ACCEPTED, heard, State.DEGRADED, 2) is Condition.DEGRADED


def test_of_a_silent_device_nothing_else_is_known() -> None:
    for state in set(State) - {State.DEGRADED}:
        assert condition.judge(Trust.ACCEPTED, Liveness.OFFLINE, state, 2) is Condition.SILENT
        assert condition.judge(Trust.OBSERVE, Liveness.NEVER_SEEN, state, 2) is Condition.NEVER_SEEN


def test_only_what_is_heard_in_time_and_settled_is_well() -> None:
    well = {
        (trust, heard, state, crashing)
        for trust, heard, state, crashing in product(Trust, Liveness, State, CRASHING)
        if condition.judge(trust, heard, state, crashing) is Condition.WELL
    }
    let_in, settled = (Trust.ACCEPTED, Trust.OBSERVE), (State.IDLE, State.COMMITTED)
    assert well == set(product(let_in, (Liveness.ONLINE,), settled, (0,)))


def test_a_service_that_dies_again_and_again_comes_before_everything_but_a_degraded_device() -> None:
    for heard, state in product((Liveness.ONLINE, Liveness.LATE), State):
        how = Condition.DEGRADED if state is State.DEGRADED else Condition.CRASHING
        assert condition.judge(Trust.ACCEPTED, heard, state, 1) is how


def test_those_with_the_most_services_that_crash_come_first_and_paging_holds_to_it(world: World) -> None:
    made = [world.stand(crashing=number, seen_at=world.now) for number in (1, 3, 0, 2, 3)]
    wanted = sorted(made, key=lambda one: (-one.crashing, one.id))
    seen, order = Visibility((world.org,)), Order.CRASHING
    found = world.database.read_now("d", queries.devices, seen, order=order, limit=2)
    rest = world.database.read_now("d", queries.devices, seen, order=order, after=found[-1].id)
    assert [one.id for one in (*found, *rest)] == [one.id for one in wanted]


def test_the_database_judges_as_the_rule_does(world: World) -> None:
    database, now = world.database, world.now
    expected: dict[str, Condition] = {}
    for trust, heard, state, crashing in product(Trust, Liveness, State, CRASHING):
        ago = AGO[heard]
        seen_at = None if ago is None else now - ago
        made = world.stand(trust=trust, state=state, seen_at=seen_at, crashing=crashing)
        assert liveness.judge(made.seen_at, made.interval, now) is heard
        expected[made.id] = condition.judge(trust, heard, state, crashing)
    seen = Visibility((world.org,))
    for each in Condition:
        found = database.read_now("d", queries.devices, seen, conditions=(each,), now=now, limit=None)
        assert {one.id for one in found} == {ident for ident, how in expected.items() if how is each}
    tallies = database.read_now("t", queries.by_scope, seen, now)
    assert sum((Counter({one.condition: one.count}) for one in tallies), Counter()) == Counter(expected.values())
    assert {one.liveness for one in tallies} == set(Liveness)


def test_devices_are_counted_by_place_and_only_where_they_may_be_seen(world: World) -> None:
    database, now = world.database, world.now
    world.stand(scope=world.site, seen_at=now)
    world.stand(scope=world.area, seen_at=now)
    world.stand(scope=world.area, seen_at=now)
    world.stand(scope=world.foreign, seen_at=now)
    found = database.read_now("t", queries.by_scope, Visibility((world.site,)), now)
    well = (Condition.WELL, Liveness.ONLINE)
    assert sorted(found, key=lambda one: one.count) == [Tally(world.site, *well, 1), Tally(world.area, *well, 2)]
    assert database.read_now("t", queries.by_scope, Visibility(()), now) == []


def test_a_list_may_leave_out_those_retired(world: World) -> None:
    database = world.database
    kept, gone = world.stand(), world.stand()
    world.retire(gone.id)
    seen = Visibility((world.org,))
    assert [one.id for one in database.read_now("d", queries.devices, seen, retired=False)] == [kept.id]
    assert database.read_now("d", queries.count, seen) == 2


def test_a_device_is_found_by_the_last_characters_of_its_id(world: World) -> None:
    database = world.database
    one, _ = world.stand("pump"), world.stand("gate")
    seen = Visibility((world.org,))
    assert [each.id for each in database.read_now("d", queries.devices, seen, text=one.id[-6:])] == [one.id]
    assert database.read_now("d", queries.devices, seen, text=one.id[:6]) == []
