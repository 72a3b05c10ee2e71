# SPDX-License-Identifier: Apache-2.0
"""Receipts: taken once, kept where their device stood, and found again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from checkvalve.errors import NotFoundError
from checkvalve.protocol.exchange import State
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import queries
from checkvalve.server.fleet.model import Device, Kept
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _listed(world: World, device: Device, **more: object) -> list[str]:
    found: list[Kept] = world.database.read_now("receipts", queries.receipts, device.id, **more)  # type: ignore[arg-type]
    return [kept.digest for kept in found]


def test_a_receipt_is_kept_with_the_place_and_the_moment_it_came(world: World) -> None:
    device = world.stand(scope=world.area)
    world.later(minutes=3)
    asked = replace(world.kept(device), scope="/", came_at=datetime.fromtimestamp(0, world.now.tzinfo))
    taken = world.receive(asked)
    assert taken == replace(asked, scope=world.area, came_at=world.now)
    assert world.database.read_now("receipt", queries.receipt, taken.digest) == taken
    [entry] = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("device.receipt", f"device:{device.id}", world.area)
    assert entry.actor.kind == "device"
    assert entry.facts == {
        "attempt": taken.attempt,
        "code": "gate.exit",
        "outcome": "committed",
        "receipt": taken.digest,
        "release": taken.release,
    }


def test_a_receipt_is_taken_once(world: World) -> None:
    device = world.stand()
    kept = world.kept(device)
    known = [kept.digest, "cd" * 32]
    assert world.database.read_now("known", queries.known_receipts, device.id, known) == set()
    world.receive(kept)
    assert world.database.read_now("known", queries.known_receipts, device.id, known) == {kept.digest}
    assert world.database.read_now("known", queries.known_receipts, world.stand().id, known) == set()
    world.refused("receipt.kept", world.receive, kept)


def test_receipts_are_listed_newest_first_and_in_stretches(world: World) -> None:
    device, other = world.stand(), world.stand()
    digests = [f"{number:064x}" for number in (5, 3, 9, 7)]
    attempts = [world.receive(world.kept(device, digest)).attempt for digest in digests[:2]]
    world.later(minutes=1)
    for digest in digests[2:]:
        world.receive(world.kept(device, digest, State.ROLLED_BACK))
    world.receive(world.kept(other))
    newest = [digests[2], digests[3], digests[0], digests[1]]
    assert _listed(world, device) == newest
    assert _listed(world, device, limit=2) == newest[:2]
    assert _listed(world, device, before=newest[1]) == newest[2:]
    assert _listed(world, device, before="nothing") == []
    assert _listed(world, device, attempt=attempts[1]) == [digests[1]]


def test_a_receipt_is_seen_where_its_device_stood_and_where_it_stands_now(world: World) -> None:
    device = world.stand(scope=world.area)
    taken = world.receive(world.kept(device))
    world.describe(device.id, scope=world.other)
    for place in (world.site, world.other):
        assert world.database.read_now("receipt", queries.receipt, taken.digest, Visibility((place,))) == taken
    with pytest.raises(NotFoundError) as caught:
        world.database.read_now("receipt", queries.receipt, taken.digest, Visibility((world.foreign,)))
    assert caught.value.code == "receipt.not_found"


@pytest.mark.parametrize("digest", ["", "x", "\0", "\ud800", "ab" * 32])
def test_a_receipt_that_is_not_there_is_not_found(world: World, digest: str) -> None:
    with pytest.raises(NotFoundError):
        world.database.read_now("receipt", queries.receipt, digest)
