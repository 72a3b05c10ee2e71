# SPDX-License-Identifier: Apache-2.0
"""What a release gets on a device beside what that runs with, and who uses what is set."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest

from checkvalve.errors import ConflictError
from checkvalve.protocol import declared
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.supply.model import Release
from checkvalve.server.values import queries
from checkvalve.server.values.model import Filled, Key, Kind, Use
from tests.server.values.world import PRESS, World, at, manifest, secret, variable


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.fixture
def release(world: World) -> Release:
    world.set(world.org, variable("PLC", "10.0.0.1"), secret("mqtt", "sesame"))
    return world.put(manifest())


def _runs(world: World, release: Release, device: Device) -> Device:
    made = world.document(release, device, json.dumps(world.one(release, device).binding))
    return world.now_runs(device, release, made)


def _filled(world: World, device: Device, release: Release | None = None) -> Filled:
    return world.database.read_now("filled", queries.filled, device, release)


def _differing(filled: Filled) -> dict[str, tuple[str | None, str | None]]:
    return {row.name: (row.runs, row.value) for row in filled.rows if row.differs}


def test_a_device_that_has_what_is_set_differs_in_nothing(world: World, release: Release) -> None:
    device = _runs(world, release, world.stand())
    assert _differing(_filled(world, device)) == {}


def test_what_was_set_since_differs_a_rotated_secret_by_its_version(world: World, release: Release) -> None:
    device = _runs(world, release, world.stand())
    old, new = world.one(release, device).entries["secret/mqtt"].id, world.set(at(device), secret("mqtt", "barley"))
    world.set(world.site, variable("RATE", "11"))
    assert _differing(_filled(world, device)) == {"RATE": ("10", "11"), "mqtt": (old, new[0].id)}
    rows = {row.name: row for row in _filled(world, device).rows}
    assert (rows["RATE"].place, rows["mqtt"].place, rows["LOGS"].default) == (world.site, at(device), True)


def test_another_release_differs_in_what_it_declares_anew(world: World, release: Release) -> None:
    device = _runs(world, release, world.stand())
    more = (*PRESS, declared.Variable(name="SITE", default="Visby"), declared.Variable(name="OWNER"))
    later = world.put(manifest(version="2", variables=more), number=2)
    found = _filled(world, device, later)
    assert _differing(found) == {"SITE": (None, "Visby")}
    assert [row.lack for row in found.rows if row.name == "OWNER"] == ["The variable OWNER has no value."]


def test_a_device_that_runs_no_known_release_has_to_be_asked_for_one(world: World, release: Release) -> None:
    for device in (world.stand(), world.stand(active="sha256:" + "9" * 64)):
        with pytest.raises(ConflictError) as refused:
            _filled(world, device)
        assert refused.value.code == "values.no_release"
        assert {row.runs for row in _filled(world, device, release).rows} == {None}


def test_those_who_run_a_release_that_declares_it_use_it(world: World, release: Release) -> None:
    device = world.now_runs(world.stand(), release)
    world.now_runs(world.stand(scope=world.area), release)
    world.now_runs(world.stand(scope=world.other), release)
    world.now_runs(world.stand(trust=Trust.RETIRED), release)
    key, other = Key("", Kind.VARIABLE, "RATE"), Key("pump-line", Kind.VARIABLE, "RATE")

    def uses(place: str, scope: str, *keys: Key) -> list[Use]:
        return world.database.read_now("uses", queries.uses, place, scope, keys)

    assert uses(world.org, world.org, key) == [Use("press-line", "1", 3)]
    assert uses(world.site, world.site, key, other) == [Use("press-line", "1", 2)]
    assert uses(at(device), world.site, key) == [Use("press-line", "1", 1)]
    assert uses(world.org, world.org, other) == []
    assert uses(world.org, world.org, Key("", Kind.FILE, "RATE")) == []
