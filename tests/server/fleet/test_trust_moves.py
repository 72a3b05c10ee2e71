# SPDX-License-Identifier: Apache-2.0
"""Quarantine, acceptance and retirement."""

import itertools
from collections.abc import Callable
from datetime import datetime

import msgspec
import pytest

from checkvalve import canonical
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.protocol.exchange import State, Status
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions, queries, trust, writes
from checkvalve.server.fleet.model import LET_IN, Device, Trust
from checkvalve.server.fleet.trust import Move
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _status(*, observe: bool) -> bytes:
    return canonical.dumps(msgspec.to_builtins(Status(state=State.IDLE, observe=observe)))


# What each move makes of each state; a code where it is refused.
TABLE: dict[tuple[Trust, Move], Trust | str] = {
    (Trust.ACCEPTED, Move.QUARANTINE): Trust.QUARANTINED,
    (Trust.ACCEPTED, Move.ACCEPT): "device.not_quarantined",
    (Trust.ACCEPTED, Move.RETIRE): Trust.RETIRED,
    (Trust.OBSERVE, Move.QUARANTINE): Trust.QUARANTINED,
    (Trust.OBSERVE, Move.ACCEPT): "device.not_quarantined",
    (Trust.OBSERVE, Move.RETIRE): Trust.RETIRED,
    (Trust.QUARANTINED, Move.QUARANTINE): "device.already_quarantined",
    (Trust.QUARANTINED, Move.ACCEPT): Trust.ACCEPTED,
    (Trust.QUARANTINED, Move.RETIRE): Trust.RETIRED,
    (Trust.RETIRED, Move.QUARANTINE): "device.already_retired",
    (Trust.RETIRED, Move.ACCEPT): "device.already_retired",
    (Trust.RETIRED, Move.RETIRE): "device.already_retired",
}


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(itertools.product(Trust, Move))


def test_each_move_is_made_or_refused_as_the_table_says(world: World) -> None:
    made: dict[Move, Callable[..., Device]] = {
        Move.QUARANTINE: world.quarantine,
        Move.ACCEPT: world.accept,
        Move.RETIRE: world.retire,
    }
    for (before, move), expected in TABLE.items():
        device = world.stand(trust=before)
        if isinstance(expected, Trust):
            assert made[move](device.id).trust is expected
            assert world.device(device.id).trust is expected
        else:
            world.refused(expected, made[move], device.id)


def test_a_move_keeps_its_reason_and_its_moment_and_raises_the_revision(world: World) -> None:
    device, before = world.stand("edge"), world.revision()
    world.later(minutes=1)
    after = world.quarantine(device.id, "  Seen at the other gate. ")
    assert (after.trust_reason, after.changed_at) == ("Seen at the other gate.", world.now)
    assert world.device(device.id) == after
    assert world.standing_of(device.id).trust is Trust.QUARANTINED
    assert world.revision() == before + 1
    [entry] = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("device.quarantine", f"device:{device.id}", world.site)
    assert entry.facts == {
        "after": {"trust": "quarantined"},
        "before": {"trust": "accepted"},
        "name": "edge",
        "reason": "Seen at the other gate.",
    }


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "a" * 1_001, "\u202e"])
def test_whoever_moves_trust_says_why_in_a_line(world: World, reason: str) -> None:
    device = world.stand()
    for move in (world.quarantine, world.retire):
        world.refused("device.reason", move, device.id, reason)


@pytest.mark.parametrize(
    ("invited", "says", "becomes"),
    [
        (False, None, Trust.ACCEPTED),
        (True, None, Trust.OBSERVE),
        (False, True, Trust.OBSERVE),
        (True, False, Trust.ACCEPTED),
    ],
)
def test_a_device_is_accepted_again_as_what_it_says_of_itself(
    world: World,
    *,
    invited: bool,
    says: bool | None,
    becomes: Trust,
) -> None:
    device = world.join(world.invite(world.asked(observe=invited)))
    if says is not None:
        world.database.write_now("visited", writes.visited, device.id, {"status": _status(observe=says)})
    world.quarantine(device.id)
    assert world.accept(device.id).trust is becomes


def test_a_retired_device_is_assigned_to_nothing_and_its_record_stays(world: World) -> None:
    device = world.stand()
    kept = world.receive(world.kept(device))
    attempt = world.assign(device.id).attempt
    world.retire(device.id, "Scrapped.")
    assert world.database.read_now("assignment", queries.assignment, device.id) is None
    assert world.database.read_now("receipt", queries.receipt, kept.digest) == kept
    assert world.entries("device.retire")[0].facts["attempt"] == attempt


def test_a_device_that_says_that_it_observes_is_noted_so_and_recorded(world: World) -> None:
    device, before = world.stand(), world.revision()
    after = world.database.write_now("observe", actions.observe, world.by_device(device.id), device.id, observe=True)
    assert after.trust is Trust.OBSERVE
    assert world.device(device.id) == after
    assert world.revision() == before + 1
    [entry] = world.entries("device.observe")
    assert (entry.actor.kind, entry.facts["after"]) == ("device", {"trust": "observe"})
    back = world.database.write_now("observe", actions.observe, world.by_device(device.id), device.id, observe=False)
    assert back.trust is Trust.ACCEPTED


@pytest.mark.parametrize("shut_out", [Trust.QUARANTINED, Trust.RETIRED])
def test_nothing_that_a_device_says_lets_it_in_again(world: World, shut_out: Trust) -> None:
    device = world.stand(trust=shut_out)
    world.refused(
        f"device.{shut_out.value}",
        lambda: world.database.write_now(
            "observe", actions.observe, world.by_device(device.id), device.id, observe=False
        ),
    )


def test_who_is_let_in_and_who_is_not() -> None:
    for one in Trust:
        if one in LET_IN:
            trust.let_in(one)
        else:
            with pytest.raises(ForbiddenError) as caught:
                trust.let_in(one)
            assert caught.value.code == f"device.{one.value}"


def test_two_who_move_trust_at_once_do_not_overwrite_each_other(world: World) -> None:
    device = world.stand()
    world.quarantine(device.id)
    with pytest.raises(ConflictError) as caught:
        world.database.write_now("trust", writes.trust, device, Trust.RETIRED, "Read before the other.", world.now)
    assert caught.value.code == "device.moved"


def test_a_reason_is_tidy() -> None:
    assert trust.reason(" a ") == "a"
    with pytest.raises(InvalidError):
        trust.reason("\0")
