# SPDX-License-Identifier: Apache-2.0
"""Lists of devices, what people say of one, and what each is to run."""

from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import queries, writes
from checkvalve.server.fleet.model import Device, Trust, Wanted
from tests.server.fleet.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _listed(world: World, seen: str = "/", limit: int | None = None, after: str = "", **wanted: object) -> list[str]:
    found: list[Device] = world.database.read_now(
        "devices",
        queries.devices,
        Visibility((seen,)),
        limit=limit,
        after=after,
        **wanted,  # type: ignore[arg-type]
    )
    counted = world.database.read_now("count", queries.count, Visibility((seen,)), **wanted)  # type: ignore[arg-type]
    assert after or limit or counted == len(found)
    return [device.name for device in found]


def test_devices_are_listed_by_name_in_any_case_and_then_by_id(world: World) -> None:
    for name, scope in (("pump", world.site), ("Anna", world.site), ("PUMP", world.area), ("älv", world.site)):
        world.stand(name, scope)
    assert _listed(world) == ["Anna", "pump", "PUMP", "älv"]


def test_a_list_goes_on_where_it_ended(world: World) -> None:
    devices = [world.stand(name, scope) for name in "cab" for scope in (world.site, world.area)]
    ids = {device.id: device for device in devices}
    had: list[str] = []
    while True:
        found = world.database.read_now(
            "devices", queries.devices, queries.EVERYWHERE, limit=2, after=had[-1] if had else ""
        )
        if not found:
            break
        had += [device.id for device in found]
    assert had == sorted(ids, key=lambda ident: (ids[DeviceId(ident)].name, ident))
    assert _listed(world, after="nothing") == []


def test_a_list_holds_what_may_be_seen_and_lies_in_the_place_asked_for(world: World) -> None:
    for name, scope in (("s", world.site), ("a", world.area), ("o", world.other), ("f", world.foreign)):
        world.stand(name, scope)
    assert _listed(world, world.org) == ["a", "o", "s"]
    assert _listed(world, world.site) == ["a", "s"]
    assert _listed(world, world.org, scope=world.area) == ["a"]
    assert _listed(world, world.area, scope=world.org) == ["a"]
    assert _listed(world, world.org, scope=world.foreign) == []
    assert world.database.read_now("none", queries.devices, Visibility(())) == []


def test_all_tags_asked_for_must_be_there_whole(world: World) -> None:
    world.stand("one", tags=["press", "line=3"])
    world.stand("two", tags=["press-2", "line_3"])
    world.stand("three")
    assert _listed(world, tags=("press",)) == ["one"]
    assert _listed(world, tags=("press", "line=3")) == ["one"]
    assert _listed(world, tags=("press", "line_3")) == []
    assert _listed(world, tags=("line_3",)) == ["two"]
    assert _listed(world, tags=("line%3",)) == []
    assert _listed(world, tags=('press","line=3',)) == []


def test_a_list_is_narrowed_by_trust(world: World) -> None:
    for trust in Trust:
        world.stand(trust.value, trust=trust)
    for trust in Trust:
        assert _listed(world, trust=trust) == [trust.value]
    assert len(_listed(world, trust=None)) == 4


def test_text_finds_names_tags_and_ids_and_takes_no_sign_as_a_pattern(world: World) -> None:
    pump = world.stand("Pump House", tags=["line=3"])
    world.stand("100% ready")
    world.stand("under_score")
    world.stand("underXscore")
    assert _listed(world, text="pUMP h") == ["Pump House"]
    assert _listed(world, text="line=") == ["Pump House"]
    assert _listed(world, text=pump.id) == ["Pump House"]
    assert _listed(world, text="0%") == ["100% ready"]
    assert _listed(world, text="r_s") == ["under_score"]
    assert _listed(world, text="\\") == []
    assert _listed(world, text='["') == []
    assert len(_listed(world, text="")) == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.text(st.characters(), max_size=20), tag=st.text(st.characters(), max_size=20))
def _never_fails(world: World, text: str, tag: str) -> None:
    wanted: Wanted = {"text": text, "tags": (tag,)}
    world.database.read_now("any", queries.devices, queries.EVERYWHERE, after=tag, **wanted)


def test_whatever_is_typed_a_search_answers(world: World) -> None:
    world.stand("edge")
    _never_fails(world)


@pytest.mark.parametrize("ident", ["", "x", "0" * 26, "a\0b", "\ud800"])
def test_a_device_that_is_not_there_is_not_found(world: World, ident: str) -> None:
    for question in (queries.device, queries.standing):
        with pytest.raises(NotFoundError) as caught:
            world.database.read_now("device", question, DeviceId(ident))
        assert caught.value.code == "device.not_found"


def test_a_device_elsewhere_is_not_there(world: World) -> None:
    device = world.stand()
    with pytest.raises(NotFoundError):
        world.database.read_now("device", queries.device, device.id, Visibility((world.other,)))


def test_a_device_gets_another_name_other_tags_and_another_place(world: World) -> None:
    device = world.stand("edge", tags=["old"])
    world.later(minutes=1)
    after = world.describe(device.id, "Press 7", ["press", "line=3"], world.area)
    assert world.device(device.id) == after
    assert (after.name, after.tags, after.scope, after.changed_at) == (
        "Press 7",
        ("line=3", "press"),
        world.area,
        world.now,
    )
    [entry] = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("device.describe", f"device:{device.id}", world.site)
    assert entry.facts == {
        "after": {"name": "Press 7", "scope": world.area, "tags": ["line=3", "press"]},
        "before": {"name": "edge", "scope": world.site, "tags": ["old"]},
    }


def test_what_is_not_said_anew_stays(world: World) -> None:
    device = world.stand("edge", tags=["old"])
    assert world.describe(device.id, tags=[]).name == "edge"
    assert world.describe(device.id, "Edge").tags == ()
    assert world.describe(device.id, scope=world.other).name == "Edge"
    assert world.describe(device.id).scope == world.other


def test_two_devices_of_a_place_never_have_one_name(world: World) -> None:
    one, other, away = world.stand("one"), world.stand("other"), world.stand("ONE", world.area)
    world.refused("device.name_taken", world.describe, other.id, "One")
    world.refused("device.name_taken", world.describe, away.id, None, None, world.site)
    assert world.describe(away.id, "third", None, world.site).scope == world.site
    world.retire(one.id)
    assert world.describe(other.id, "One").name == "One"


def test_a_device_stays_in_its_organisation_and_below_a_site(world: World) -> None:
    device = world.stand()
    world.refused("device.scope", world.describe, device.id, None, None, world.org)
    world.refused("device.scope", world.describe, device.id, None, None, "/")
    world.refused("device.elsewhere", world.describe, device.id, None, None, world.foreign)
    world.refused("scope.not_found", world.describe, device.id, None, None, "/nowhere/")


def test_a_device_with_a_name_or_tag_that_is_none_stays_as_it_is(world: World) -> None:
    device = world.stand()
    world.refused("device.name", world.describe, device.id, " ")
    world.refused("tag.form", world.describe, device.id, None, ["A"])
    world.retire(device.id)
    world.refused("device.already_retired", world.describe, device.id, "x")


def test_a_device_is_assigned_one_attempt_at_a_time(world: World) -> None:
    device, release = world.stand(), world.release()
    assert world.database.read_now("assignment", queries.assignment, device.id) is None
    assert world.standing_of(device.id).wanted == ""
    first = world.assign(device.id, release)
    second = world.assign(device.id)
    assert first.attempt != second.attempt
    assert world.database.read_now("assignment", queries.assignment, device.id) == second
    assert world.standing_of(device.id).wanted == second.attempt


def test_an_assignment_taken_away_is_gone_once(world: World) -> None:
    device = world.stand()
    world.assign(device.id)
    assert world.database.write_now("unassign", writes.unassign, device.id)
    before = world.rows()
    assert not world.database.write_now("unassign", writes.unassign, device.id)
    assert world.rows() == before
    assert world.database.read_now("assignment", queries.assignment, device.id) is None
