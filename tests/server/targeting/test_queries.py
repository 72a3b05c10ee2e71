# SPDX-License-Identifier: Apache-2.0
"""Which devices a selector means in a real database: by place, tag and name, at and below a scope."""

from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from checkvalve import lines
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import Trust
from checkvalve.server.targeting import queries, selector
from tests.parts import stock
from tests.server.fleet.world import World

MEANT: dict[str, list[str]] = {
    "all": ["Filter 1", "Filter 2", "press", "unlisted", "watcher"],
    "site:visby": ["Filter 1", "Filter 2", "watcher"],
    "site:VISBY": ["Filter 1", "Filter 2", "watcher"],
    "site:Sli\u0301te": ["press", "unlisted"],
    "area:north": ["Filter 2"],
    "area:visby": [],
    "site:north": [],
    "site:gotland": [],
    "tag:pump": ["Filter 1", "Filter 2"],
    "tag:line=3": ["Filter 1"],
    "tag:line": [],
    'device:"filter 2"': ["Filter 2"],
    "device:PRESS": ["press"],
    "device:scrapped": [],
    "site:visby not area:north tag:pump": ["Filter 1"],
    "not tag:pump": ["press", "unlisted", "watcher"],
    "area:north or site:sl\u00edte": ["Filter 2", "press", "unlisted"],
    "not all": [],
    "runs:edge-base": ["Filter 1", "Filter 2"],
    "runs:Edge-Base@2.0": ["Filter 2"],
    "runs:edge": [],
    "not runs:edge-base": ["press", "unlisted", "watcher"],
}
OLD, NEW = (f"edge-base@sha256:{digit * 64}" for digit in "12")
UNKNOWN: dict[str, list[str]] = {
    "all": [],
    "site:visby or tag:pump": [],
    "site:visbi tag:pumpe not device:filter": ["site:visbi", "tag:pumpe", "device:filter"],
    "site:north": ["site:north"],
    "tag:scrapped": ["tag:scrapped"],
    "device:scrapped": ["device:scrapped"],
    "runs:edge-base@2.0 or runs:edge-base@3.0": ["runs:edge-base@3.0"],
}


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    """Return an organisation with the sites Visby (area North) and Slite, a device in each place, and one elsewhere."""
    world = World(database, new_id, now)
    for path, name in (
        (world.org, "Gotland"),
        (world.site, "Visby"),
        (world.area, "North"),
        (world.other, "Sl\u00edte"),
    ):
        values = {"name": name, "folded": lines.folded(name)}
        world.run(sa.update(schema.scopes).where(schema.scopes.c.path == path).values(**values))
    world.stand("Filter 1", world.site, ["pump", "line=3"], active=OLD.partition("@")[2])
    world.stand("Filter 2", world.area, ["pump"], active=NEW.partition("@")[2])
    world.stand("unlisted", world.other, active="sha256:" + "9" * 64)
    stock.release(database, new_id(), OLD, now, version="1.0")
    stock.release(database, new_id(), NEW, now, version="2.0", number=2)
    world.stand("press", world.other)
    world.stand("Press", world.foreign, ["pump"])
    world.stand("scrapped", world.site, ["pump"], trust=Trust.RETIRED)
    world.stand("watcher", world.site, trust=Trust.OBSERVE)
    return world


def _meant(world: World, text: str, scope: str = "") -> list[str]:
    expr = selector.parse(text)
    return [each.name for each in world.database.read_now("meant", queries.select, scope or world.org, expr)]


def _unknown(world: World, text: str, scope: str = "") -> list[str]:
    expr = selector.parse(text)
    found = world.database.read_now("unknown", queries.unknown, scope or world.org, expr)
    return [f"{term.key}:{term.value}" for term in found]


def test_devices_are_meant_by_place_tag_and_name(world: World) -> None:
    assert {text: _meant(world, text) for text in MEANT} == MEANT


def test_a_device_is_meant_by_its_id(world: World) -> None:
    device = world.stand("named", world.area)
    assert _meant(world, f"device:{device.id}") == ["named"]


def test_only_what_stands_at_or_below_the_scope_is_meant(world: World) -> None:
    assert _meant(world, "all", world.area) == ["Filter 2"]
    assert _meant(world, "all", world.other) == ["press", "unlisted"]
    assert _meant(world, "device:press", world.site) == []
    assert _meant(world, "all", "/") == ["Filter 1", "Filter 2", "press", "Press", "unlisted", "watcher"]


def test_the_site_above_the_scope_is_known_below_it(world: World) -> None:
    assert _meant(world, "site:visby", world.area) == ["Filter 2"]
    assert _meant(world, "area:north", world.area) == ["Filter 2"]
    assert _meant(world, "site:sl\u00edte", world.area) == []


def test_a_device_that_moved_is_meant_where_it_stands_now(world: World) -> None:
    device = world.stand("mobile", world.site)
    world.describe(device.id, scope=world.other)
    assert _meant(world, "site:sl\u00edte") == ["mobile", "press", "unlisted"]
    assert "mobile" not in _meant(world, "site:visby")


def test_terms_that_nothing_answers_to_are_told(world: World) -> None:
    assert {text: _unknown(world, text) for text in UNKNOWN} == UNKNOWN


def test_a_place_without_devices_is_known_and_one_elsewhere_is_not(world: World) -> None:
    world.retire(world.database.read_now("meant", queries.select, world.other, selector.parse("all"))[0].id)
    assert _unknown(world, "site:sl\u00edte") == []
    assert _unknown(world, "site:visby", world.other) == ["site:visby"]
