# SPDX-License-Identifier: Apache-2.0
"""What the plane does by itself with a rollout: at any time, in any process, as often as it likes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest
import sqlalchemy as sa

from checkvalve.errors import ConflictError
from checkvalve.ids import PersonId, RolloutId
from checkvalve.server.audit.model import PLANE
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.db.types import EPOCH
from checkvalve.server.exchange import rolling
from checkvalve.server.fleet.model import Trust
from checkvalve.server.rollouts.model import Outcome, Plan, State
from tests.server.rollouts.world import World

ONE_THEN_TWO = Plan(canary=1, step=2)


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.fixture
def ann(world: World) -> PersonId:
    return world.person("operator")


def advance(world: World, rollout: RolloutId, since: datetime = EPOCH) -> str:
    return world.database.write_now("advance", rolling.advance, rollout, world.now, since, world.new_id)


def ready(world: World, since: datetime = EPOCH) -> list[RolloutId]:
    return world.database.read_now("ready", rolling.ready, world.now, since)


def end(world: World, rollout: RolloutId, *names: str, outcome: Outcome = Outcome.COMMITTED) -> None:
    seats = world.seats(rollout)
    for name in names:
        world.ends(seats[name], outcome)


def heard(world: World, *names: str) -> None:
    """Let devices be heard of now."""
    named = schema.devices.c.name.in_(names)
    world.run(sa.update(schema.devices).where(named).values(seen_at=world.now))


def test_wave_after_wave_opens_and_then_it_is_done(world: World, ann: PersonId) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    waves: list[list[str]] = []
    while (now := world.rollout(rollout)).state is State.STARTED:
        assert (ready(world), advance(world, rollout)) == ([], "")
        names = [name for name, seat in world.seats(rollout).items() if seat.member.wave == now.wave]
        end(world, rollout, *names)
        waves.append(names)
        assert ready(world) == [rollout]
        rows = world.rows()
        assert ready(world) == [rollout]
        assert world.rows() == rows, "who only looks changes nothing"
        assert advance(world, rollout)
    assert waves == [["press 1"], ["press 2", "press 3"], ["press 4"]]
    done = world.rollout(rollout)
    assert (done.state, done.reason, done.ended_at) == (State.DONE, "4 devices took it.", world.now)
    said = ["rollout.finish", "rollout.wave", "rollout.wave", "rollout.start"]
    assert [entry.action for entry in world.entries()][:4] == said
    assert {entry.actor.kind for entry in world.entries()[:3]} == {PLANE.kind}
    assert (ready(world), advance(world, rollout)) == ([], "")


def test_a_canary_that_fails_pauses_it_and_the_reason_names_the_device(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    end(world, rollout, "press 1", outcome=Outcome.ROLLED_BACK)
    advance(world, rollout)
    paused = world.rollout(rollout)
    assert (paused.state, paused.code, paused.wave) == (State.PAUSED, "rollout.canary_failed", 0)
    assert paused.reason == "1 of 1 device of the canary wave failed. press 1 rolled back: web ended with 1."
    assert world.entries()[0].action == "rollout.pause"
    assert (ready(world), advance(world, rollout), world.wanted()) == ([], "", {})
    world.resume(ann, rollout)
    advance(world, rollout)
    assert (world.rollout(rollout).wave, len(world.wanted())) == (1, 2)


def test_what_failed_while_a_person_paused_it_is_judged_when_it_goes_on(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann)
    world.pause(ann, rollout)
    end(world, rollout, "press 1", outcome=Outcome.REFUSED)
    world.resume(ann, rollout)
    advance(world, rollout)
    assert world.rollout(rollout).code == "rollout.canary_failed"


def test_a_silent_canary_opens_nothing_and_silent_devices_of_other_waves_hold_up_nobody(
    world: World, ann: PersonId
) -> None:
    world.fleet(4)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    world.later(days=1)
    assert advance(world, rollout) == ""
    heard(world, "press 1", "press 2")
    end(world, rollout, "press 1")
    advance(world, rollout)
    assert advance(world, rollout) == "", "press 2 is under way"
    end(world, rollout, "press 2")
    advance(world, rollout)
    assert world.rollout(rollout).wave == 2, "press 3 cannot be heard"
    heard(world, "press 4")
    end(world, rollout, "press 4")
    assert advance(world, rollout) == "", "press 3 will take it on its return"
    heard(world, "press 3")
    end(world, rollout, "press 3")
    advance(world, rollout)
    assert world.rollout(rollout).state is State.DONE


def test_nobody_is_silent_to_a_plane_that_has_just_come_up(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=Plan(canary=2))
    end(world, rollout, "press 1")
    world.later(days=1)
    assert advance(world, rollout, since=world.now) == ""
    assert advance(world, rollout) != ""


def test_a_retired_device_is_waited_for_by_nobody(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann)
    end(world, rollout, "press 1")
    advance(world, rollout)
    assert advance(world, rollout) == ""
    world.run(sa.update(schema.devices).where(schema.devices.c.name == "press 2").values(trust=Trust.RETIRED.value))
    advance(world, rollout)
    assert world.rollout(rollout).reason == "1 device took it, 1 device stayed at what they ran."


def test_a_canary_that_was_retired_has_tried_nothing(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann)
    world.run(sa.update(schema.devices).where(schema.devices.c.name == "press 1").values(trust=Trust.RETIRED.value))
    assert (ready(world), advance(world, rollout)) == ([], "")


def test_a_quarantined_device_is_silent_at_once_and_counts_again_when_it_is_let_in(world: World, ann: PersonId) -> None:
    world.fleet(3)
    rollout = world.started(ann, plan=Plan(canary=2))
    end(world, rollout, "press 1")
    shut_out = sa.update(schema.devices).where(schema.devices.c.name == "press 2")
    world.run(shut_out.values(trust=Trust.QUARANTINED.value))
    advance(world, rollout)
    assert world.rollout(rollout).wave == 1
    world.run(shut_out.values(trust=Trust.ACCEPTED.value))
    end(world, rollout, "press 2", outcome=Outcome.ROLLED_BACK)
    advance(world, rollout)
    assert world.rollout(rollout).code == "rollout.canary_failed"


def test_no_further_wave_opens_on_a_release_that_was_withdrawn(world: World, ann: PersonId) -> None:
    world.fleet(2)
    rollout = world.started(ann)
    end(world, rollout, "press 1")
    world.stock("withdrawn")
    assert ready(world) == [rollout]
    advance(world, rollout)
    paused = world.rollout(rollout)
    assert (paused.state, paused.code, paused.wave) == (State.PAUSED, "release.withdrawn", 0)
    world.resume(ann, rollout)
    advance(world, rollout)
    assert world.rollout(rollout).state is State.PAUSED
    world.resume(ann, rollout)
    world.stock()
    advance(world, rollout)
    assert world.rollout(rollout).wave == 1


def test_a_rollout_of_before_rollouts_had_devices_just_ends(world: World, ann: PersonId) -> None:
    rollout = world.drafted(ann, 0)
    world.run(sa.update(schema.rollouts).where(schema.rollouts.c.id == rollout).values(state=State.STARTED.value))
    assert ready(world) == [rollout]
    advance(world, rollout)
    assert (world.rollout(rollout).state, ready(world)) == (State.DONE, [])


def test_only_rollouts_with_which_something_is_to_be_done_are_ready(world: World, ann: PersonId) -> None:
    world.fleet(3)
    one, two, three = (world.started(ann, f'device:"press {number}"') for number in (1, 2, 3))
    end(world, one, "press 1")
    end(world, two, "press 2")
    world.pause(ann, two)
    assert ready(world) == [one]
    assert world.rollout(three).state is State.STARTED


def test_several_planes_at_once_open_a_wave_once(world: World, ann: PersonId) -> None:
    world.fleet(12)
    rollout = world.started(ann, plan=ONE_THEN_TWO)
    for wave in range(1, 5):
        names = [name for name, seat in world.seats(rollout).items() if seat.member.wave == wave - 1]
        end(world, rollout, *names)
        together = Barrier(4)

        def go(_: int, together: Barrier = together) -> str:
            together.wait()
            try:
                return advance(world, rollout)
            except ConflictError as error:
                return error.code

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(go, range(4)))
        assert sum(one.startswith(rollout) for one in said) == 1, said
        assert world.rollout(rollout).wave == wave
        assert len(world.entries("rollout.wave")) == wave
        assert len(world.wanted()) == 1 + 2 * wave
