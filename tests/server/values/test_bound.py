# SPDX-License-Identifier: Apache-2.0
"""What fills a release on devices, and what it lacks there."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from checkvalve import clock
from checkvalve.protocol import declared, workload
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.supply.model import Release
from checkvalve.server.values.model import Bound, Kind
from tests.server.values.world import World, at, file, manifest, secret, variable


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.fixture
def release(world: World) -> Release:
    return world.put(manifest())


def _said(bound: Bound) -> list[tuple[str, str]]:
    return [(lack.name, lack.code) for lack in bound.lacks]


def test_a_release_that_leaves_nothing_open_is_complete_everywhere(world: World) -> None:
    plain = world.put(
        manifest("plain", variables=(), files=(), secrets=(), services={"s": workload.Service(image=_image())})
    )
    device = world.stand()
    world.set(world.org, variable("PLC", "10.0.0.1"))
    assert world.one(plain, device) == Bound({})


def test_the_nearest_value_fills_the_release_and_what_nobody_set_has_its_default(
    world: World, release: Release
) -> None:
    here, beside, away = world.stand(scope=world.area), world.stand(scope=world.area), world.stand(scope=world.other)
    world.set(world.org, variable("PLC", "10.0.0.1"), variable("RATE", "1"), secret("mqtt", "one for all"))
    world.set(world.area, variable("PLC", "10.0.0.2"), variable("RATE", "3", "press-line"))
    world.set(at(here), variable("PLC", "10.0.0.3"), variable("RATE", "2"), variable("UNKNOWN", "x"))
    found = world.bound(release, here, beside, away)
    texts = {
        device.id: {name: entry.content for name, entry in found[device.id].entries.items() if "secret" not in name}
        for device in (here, beside, away)
    }
    assert texts[here.id] == {"variable/PLC": b"10.0.0.3", "variable/RATE": b"2"}
    assert texts[beside.id] == {"variable/PLC": b"10.0.0.2", "variable/RATE": b"3"}
    assert texts[away.id] == {"variable/PLC": b"10.0.0.1", "variable/RATE": b"1"}
    assert [each.lacks for each in found.values()] == [()] * 3


def test_what_is_missing_and_what_does_not_fit_is_told_for_each_name(world: World, release: Release) -> None:
    device = world.stand()
    assert _said(world.one(release, device)) == [("PLC", "values.missing"), ("mqtt", "values.missing")]
    world.set(world.org, variable("PLC", "the pump"), variable("RATE", "fast"), secret("mqtt", "x"))
    lacks = world.one(release, device).lacks
    assert [(lack.kind, lack.name, lack.code) for lack in lacks] == [
        (Kind.VARIABLE, "PLC", "values.misfit"),
        (Kind.VARIABLE, "RATE", "values.misfit"),
    ]
    assert "'the pump'" in lacks[0].sentence


def test_a_value_that_leads_a_bind_astray_is_told_with_its_name(world: World, release: Release) -> None:
    device = world.stand()
    world.set(world.org, variable("PLC", "10.0.0.1"), variable("LOGS", "/var/log/../../etc"), secret("mqtt", "x"))
    assert _said(world.one(release, device)) == [("LOGS", "values.path")]


def test_more_than_a_document_holds_is_told_before_the_start(world: World) -> None:
    many = tuple(declared.File(name=f"f{number}") for number in range(20))
    release = world.put(manifest("large", variables=(), files=many, secrets=(), services=_bare()))
    device = world.stand()
    world.set(world.org, *(file(each.name, "x" * declared.LARGEST_FILE) for each in many[:15]))
    world.set(world.org, *(file(each.name, "x") for each in many[15:]))
    assert world.one(release, device).lacks == ()
    world.set(world.org, *(file(each.name, "x" * declared.LARGEST_FILE) for each in many[15:]))
    assert [code for _, code in _said(world.one(release, device))] == ["values.size"]


def test_the_identity_of_what_is_bound_is_that_of_the_document_made_of_it(world: World, release: Release) -> None:
    device = world.stand()
    world.set(world.org, variable("PLC", "10.0.0.1"), secret("mqtt", "sesame"), file("tags.csv", "a,b\n"))
    bound = world.one(release, device)
    made = world.document(release, device, _binding(bound))
    assert made.identity == bound.identity
    world.set(world.org, variable("PLC", "10.0.0.1"), variable("RATE", "11"))
    assert world.one(release, device).identity != made.identity


@pytest.mark.slow
def test_ten_thousand_devices_are_bound_each_to_its_own(world: World, release: Release) -> None:
    first, count = world.stand(), 10_000
    rows = world.many_like(first, count)
    world.set(world.org, variable("PLC", "10.0.0.1"), secret("mqtt", "sesame"))
    own = [
        {
            "id": world.new_id(),
            "place": f"device:{ident}",
            "scope": first.scope,
            "line": "",
            "kind": "variable",
            "name": "PLC",
            "content": f"10.1.{number // 256}.{number % 256}".encode(),
            "current": True,
            "made_by": "",
            "made_at": world.now,
            "note": "",
        }
        for number, ident in enumerate(rows[:-1])
    ]
    world.database.write_now("own", lambda tx: tx.run_all(sa.insert(schema.value_entries), own))
    devices = world.all_devices()
    assert len(devices) == count + 1
    began = clock.monotonic()
    found = world.bound(release, *devices)
    print(f"bound {len(found)} devices in {(clock.monotonic() - began) * 1000:.0f} ms")
    assert not any(each.lacks for each in found.values())
    plain = {each.entries["variable/PLC"].content for each in found.values()}
    assert len(plain) == count
    assert found[first.id].entries["variable/PLC"].content == b"10.0.0.1"


def _image() -> str:
    return next(iter(manifest().images))


def _bare() -> dict[str, workload.Service]:
    return {"s": workload.Service(image=_image())}


def _binding(bound: Bound) -> str:
    return json.dumps(bound.binding)
