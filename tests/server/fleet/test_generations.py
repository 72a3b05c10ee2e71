# SPDX-License-Identifier: Apache-2.0
"""Generations of a certificate: confirmed, renewed, and left behind by a copy."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from checkvalve.errors import InvalidError
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import generations, writes
from checkvalve.server.fleet.generations import Behind, Confirm, Same
from checkvalve.server.fleet.model import Standing, Trust
from tests.conftest import NOON
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _known(generation: int, pending: int) -> Standing:
    return Standing(
        id="d",  # type: ignore[arg-type]
        trust=Trust.ACCEPTED,
        key="",
        generation=generation,
        pending=pending,
        certificate_ends_at=NOON,
        journal="",
        known=0,
        status_digest="",
        wanted="",
        taken="",
        epoch=0,
        counter=0,
        interval=60,
    )


@pytest.mark.parametrize(
    ("generation", "pending", "reported", "said"),
    [
        (3, 3, 3, Same()),
        (3, 4, 3, Same()),
        (3, 4, 4, Confirm(4)),
        (3, 3, 4, Confirm(4)),
        (3, 4, 9, Confirm(9)),
        (3, 4, 2, Behind(2, 3)),
        (3, 3, 0, Behind(0, 3)),
    ],
)
def test_the_table(generation: int, pending: int, reported: int, said: object) -> None:
    assert generations.judge(_known(generation, pending), reported) == said


@pytest.mark.parametrize("reported", [-1, generations.LARGEST + 1, 2**53 - 1])
def test_a_generation_that_no_plane_issues_is_refused(reported: int) -> None:
    with pytest.raises(InvalidError) as caught:
        generations.judge(_known(1, 1), reported)
    assert caught.value.code == "report.generation"


def test_who_is_behind_is_told_so_in_a_sentence() -> None:
    behind = generations.judge(_known(3, 4), 2)
    assert isinstance(behind, Behind)
    assert "generation 2" in behind.sentence
    assert behind.sentence.endswith(".")


@given(generation=st.integers(1, 50), waits=st.booleans())
def test_to_ask_again_is_to_get_the_same_generation(generation: int, *, waits: bool) -> None:
    known = _known(generation, generation + waits)
    assert generations.following(known, generation) == generation + 1
    assert generations.following(_known(generation, generation + 1), generation) == generation + 1


class OneDevice(RuleBasedStateMachine):
    """A device that renews over a line that loses answers, and dies between any two steps: never taken for a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.plane = (1, 1)
        self.device = 1

    @rule(answer_arrives=st.booleans())
    def renew(self, *, answer_arrives: bool) -> None:
        issued = generations.following(_known(*self.plane), self.device)
        assert not isinstance(issued, Behind)
        self.plane = (issued - 1, issued)
        if answer_arrives:
            self.device = issued

    @rule()
    def report(self) -> None:
        match generations.judge(_known(*self.plane), self.device):
            case Confirm(generation):
                self.plane = (generation, max(generation, self.plane[1]))
            case said:
                assert isinstance(said, Same)

    @rule(back=st.integers(0, 3))
    def restore_the_plane(self, back: int) -> None:
        generation = max(1, self.plane[0] - back)
        self.plane = (generation, generation)

    @invariant()
    def it_is_never_behind(self) -> None:
        assert not isinstance(generations.judge(_known(*self.plane), self.device), Behind)


TestOneDevice = OneDevice.TestCase


def test_a_copy_that_renews_leaves_the_other_behind() -> None:
    plane, original, copy = (1, 1), 1, 1
    issued = generations.following(_known(*plane), copy)
    assert issued == 2
    copy = 2
    plane = (1, 2)
    assert generations.judge(_known(*plane), copy) == Confirm(2)
    plane = (2, 2)
    assert isinstance(generations.judge(_known(*plane), original), Behind)


def test_a_renewal_waits_until_the_device_confirms_it(world: World) -> None:
    device = world.stand()
    before = world.revision()
    renewed = world.renew(device.id, 2)
    assert (renewed.generation, renewed.pending) == (1, 2)
    assert renewed.certificate_ends_at == world.now + timedelta(days=1)
    world.database.write_now("confirm", writes.confirm, device.id, 2)
    confirmed = world.device(device.id)
    assert (confirmed.generation, confirmed.pending) == (2, 2)
    assert world.revision() == before + 2
    [entry] = world.entries("device.renew")
    assert entry.facts == {"before": 1, "ends_at": "2026-11-04T12:00:00.000Z", "generation": 2}
    assert (entry.actor.kind, entry.subject, entry.scope) == ("device", f"device:{device.id}", world.site)


def test_a_renewal_may_be_asked_for_again(world: World) -> None:
    device = world.stand()
    world.renew(device.id, 2)
    again = world.renew(device.id, 2)
    assert (again.generation, again.pending) == (1, 2)


def test_a_renewal_on_top_of_one_that_waits_confirms_it(world: World) -> None:
    device = world.stand()
    world.renew(device.id, 2)
    after = world.renew(device.id, 3)
    assert (after.generation, after.pending) == (2, 3)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_renewal_that_came_late_is_refused(world: World, generation: int) -> None:
    device = world.stand(generation=2, pending=3)
    world.refused("device.generation", world.renew, device.id, generation)


def test_a_generation_confirmed_twice_or_late_changes_nothing(world: World) -> None:
    device = world.stand(generation=3, pending=4)
    before = world.rows()
    for generation in (3, 2):
        world.database.write_now("confirm", writes.confirm, device.id, generation)
    assert world.rows() == before


def test_a_restored_plane_takes_the_generation_that_its_device_has(world: World) -> None:
    device = world.stand(generation=3, pending=3)
    world.database.write_now("confirm", writes.confirm, device.id, 7)
    assert (world.device(device.id).generation, world.device(device.id).pending) == (7, 7)


def test_who_is_shut_out_renews_nothing(world: World) -> None:
    device = world.stand()
    world.quarantine(device.id)
    world.refused("device.quarantined", world.renew, device.id, 2)
    world.retire(device.id)
    world.refused("device.retired", world.renew, device.id, 2)
