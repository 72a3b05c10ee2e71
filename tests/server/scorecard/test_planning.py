# SPDX-License-Identifier: Apache-2.0
"""The gap plan of a place: whose step, until when, how far."""

from collections.abc import Callable
from datetime import date, datetime

import pytest

from checkvalve.errors import CheckvalveError
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Work
from checkvalve.server.scorecard.shipped import shipped
from tests.server.scorecard.world import RUT, World

EVERYWHERE = Visibility(("/",))


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_a_step_of_the_guide_is_planned_once_until_it_has_ended(world: World) -> None:
    gap = world.plan("pm-1", owner="Rut")
    assert (gap.section, gap.text) == ("PM", shipped().guide.sections["PM"].steps[0].text)
    assert world.plan("pm-1") == gap
    assert world.plan("pm-1", world.site).id != gap.id
    world.follow(gap, state="done")
    assert world.plan("pm-1").id != gap.id


def test_a_step_of_ones_own_may_stand_there_twice(world: World) -> None:
    own = [world.plan("", section="RE", text="Ask the insurer.") for _ in range(2)]
    assert len({each.id for each in own}) == 2


def test_what_is_due_first_comes_first_and_a_place_has_the_steps_below_it(world: World) -> None:
    some = world.plan("pm-1", world.site)
    late = world.plan("pm-2", due=date(2027, 5, 1))
    soon = world.plan("pm-3", world.site, due=date(2026, 12, 1))
    plan = world.database.read_now("gaps", queries.gaps, EVERYWHERE, scope=world.org)
    assert [each.id for each in plan] == [soon.id, late.id, some.id]
    below = world.database.read_now("gaps", queries.gaps, EVERYWHERE, scope=world.site, states=(Work.OPEN,))
    assert [each.id for each in below] == [soon.id, some.id]
    assert world.database.read_now("gaps", queries.gaps, Visibility((world.other,))) == []


def test_a_change_says_what_is_different_and_leaves_the_rest(world: World) -> None:
    gap = world.plan(owner="Rut", due=date(2026, 12, 1))
    doing = world.follow(gap, state="doing", note="Half of it.")
    assert (doing.owner, doing.due, doing.state, doing.note) == ("Rut", gap.due, Work.DOING, "Half of it.")
    assert (doing.changed_by, doing.made_by) == (RUT, gap.made_by)
    assert world.follow(doing, no_due=True).due is None
    done = world.follow(doing, state="done")
    assert world.follow(done, state="open").state is Work.OPEN  # undo


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("gap.note", {"state": "dropped"}),
        ("gap.state", {"state": "later"}),
        ("gap.owner", {"owner": "a\nb"}),
        ("gap.note", {"note": "x" * 2_001}),
    ],
)
def test_a_change_that_says_nothing_is_refused(world: World, code: str, changes: dict[str, str]) -> None:
    gap = world.plan()
    with pytest.raises(CheckvalveError) as caught:
        world.follow(gap, **changes)
    assert caught.value.code == code
    assert world.database.read_now("gap", queries.gap, gap.id) == gap


def test_what_has_ended_is_taken_up_before_it_is_changed(world: World) -> None:
    gap = world.follow(world.plan(), state="dropped", note="The site is sold.")
    with pytest.raises(CheckvalveError) as caught:
        world.follow(gap, owner="Rut")
    assert caught.value.code == "gap.ended"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("gap.step", {"step": "pm-99"}),
        ("gap.step", {"step": "", "section": "ZZ", "text": "Something."}),
        ("gap.text", {"step": "", "section": "PM", "text": " "}),
        ("gap.owner", {"step": "pm-1", "owner": "x" * 201}),
        ("assessment.scope", {"step": "pm-1", "scope": "/"}),
    ],
)
def test_what_cannot_be_planned_is_refused(world: World, code: str, changes: dict[str, str]) -> None:
    with pytest.raises(CheckvalveError) as caught:
        world.plan(**changes)
    assert caught.value.code == code
    assert world.database.read_now("gaps", queries.gaps, EVERYWHERE) == []
