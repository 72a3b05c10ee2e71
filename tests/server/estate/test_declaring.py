# SPDX-License-Identifier: Apache-2.0
"""What is declared stays; the newest counts; a file counts whole or not at all; who may not see it does not."""

from collections.abc import Callable
from datetime import datetime

import pytest

from checkvalve.errors import ConflictError, InvalidError, NotFoundError
from checkvalve.ids import ScopeId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Scope, ScopeKind, Visibility
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Entry
from checkvalve.server.db.database import Database
from checkvalve.server.estate import decide, managed, queries
from checkvalve.server.estate.model import LONGEST_CLASS, MOST, Cover, Kind, Said, What
from checkvalve.server.estate.naming import Places
from tests.conftest import NOON
from tests.server.estate.world import EVERYWHERE, World
from tests.server.fleet.world import BY


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _entries(world: World) -> list[Entry]:
    everywhere = access_queries.entries_within(EVERYWHERE)
    found = world.database.read_now("entries", lambda tx: audit_queries.latest(tx, everywhere, limit=50))
    return [one for one in found if one.action == "estate.declare"]


def test_the_newest_counts_and_everything_before_stays(world: World) -> None:
    world.declare(world.say(600, note="from the drawings"))
    then = world.now
    world.declare(world.say(640, "plc", note="counted"))
    assert world.numbers() == [("plc", 640)]
    assert world.numbers(at=then) == [("PLC", 600)]
    assert world.numbers(at=world.now.replace(year=2020)) == []
    history = world.database.read_now(
        "history", queries.history, EVERYWHERE, scope=world.site, kind=Kind.DEVICE, class_name=" Plc "
    )
    assert [(one.number, one.note, one.made_by) for one in history] == [
        (640, "counted", BY),
        (600, "from the drawings", BY),
    ]
    older = world.database.read_now("history", queries.history, EVERYWHERE, before=history[0].id)
    assert older == history[1:]


def test_a_kind_and_a_place_are_classes_of_their_own(world: World) -> None:
    world.declare(
        world.say(3), world.say(4, kind=Kind.LEGACY), world.say(5, scope=world.area), world.say(6, scope=world.org)
    )
    assert [one.number for one in world.declared(Visibility((world.site,)))] == [3, 4, 5]
    assert len(world.declared()) == 4


def test_the_number_zero_ends_a_class_and_a_later_one_begins_it_again(world: World) -> None:
    world.declare(world.say(12))
    ended = world.declare(world.say(0))
    assert ended.number(What.ENDED) == 1
    assert world.numbers() == []
    assert world.declare(world.say(0)).real == []
    again = world.declare(world.say(12))
    assert again.number(What.ADDED) == 1
    assert world.numbers() == [("PLC", 12)]


def test_what_says_the_same_writes_no_row_and_leaves_one_entry_each_time(world: World) -> None:
    wanted = (world.say(12), world.say(7, "RTU", Kind.LEGACY))
    first = world.declare(*wanted)
    second = world.declare(*wanted)
    assert (first.number(What.ADDED), second.number(What.UNCHANGED), second.real) == (2, 2, [])
    history = world.database.read_now("history", queries.history, EVERYWHERE)
    assert len(history) == 2
    newest, oldest = _entries(world)
    assert newest.scope == world.site
    assert (oldest.facts["added"], newest.facts["unchanged"], newest.facts["classes"]) == (2, 2, [])


def test_an_entry_stands_where_all_that_was_declared_lies_and_names_what_changed(world: World) -> None:
    world.declare(world.say(600))
    world.declare(world.say(640), world.say(2, "Gateway", scope=world.org))
    newest = _entries(world)[0]
    assert newest.scope == world.org
    told = newest.facts["classes"]
    assert isinstance(told, list)
    assert told[0] == {
        "after": 640,
        "before": 600,
        "class": "PLC",
        "kind": "device",
        "note": "",
        "scope": world.site,
    }


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Said("/", Kind.DEVICE, "PLC", 1), "estate.place"),
        (Said("", Kind.DEVICE, " ", 1), "estate.class"),
        (Said("", Kind.DEVICE, "x" * (LONGEST_CLASS + 1), 1), "estate.class"),
        (Said("", Kind.DEVICE, "a\nb", 1), "estate.class"),
        (Said("", Kind.DEVICE, "PLC", -1), "estate.number"),
        (Said("", Kind.DEVICE, "PLC", MOST + 1), "estate.number"),
        (Said("", Kind.DEVICE, "PLC", 1, "x" * 1_001), "estate.note"),
    ],
)
def test_what_cannot_be_declared_says_why(said: Said, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        decide.clean(said)
    assert refused.value.code == code


def test_one_wrong_class_lets_nothing_be_declared(world: World) -> None:
    with pytest.raises(InvalidError, match="twice"):
        world.declare(world.say(1), world.say(2, "plc"))
    with pytest.raises(NotFoundError):
        world.declare(world.say(1), world.say(1, scope=world.site[:-2] + "0/"))
    assert world.numbers() == []
    assert _entries(world) == []


def test_a_file_names_places_as_people_do_and_the_second_time_changes_nothing(world: World) -> None:
    name, area = world.name(world.site), world.name(world.area)
    lines = (
        f"{name.upper()},device,PLC,640,",
        f"{area.replace('/', ' / ')},legacy,RTU,7,old",
        f"{world.org},device,X,1,",
    )
    assert world.bring(*lines).number(What.ADDED) == 3
    assert world.bring(*lines).real == []
    assert {one.scope for one in world.declared()} == {world.site, world.area, world.org}


def test_a_file_with_wrong_lines_names_each_of_them_and_declares_nothing(world: World) -> None:
    name = world.name(world.site)
    with pytest.raises(InvalidError) as refused:
        world.bring(
            f"{name},device,PLC,12,",
            "Atlantis,device,PLC,12,",
            f"{name},robot,PLC,12,",
            f"{name},legacy,RTU,1 210,",
            f"{name},DEVICE,plc,13,",
            f"{name},device,=cmd(),13,",
            f"{name},device",
            "/,device,PLC,1,",
        )
    assert refused.value.code == "estate.file"
    assert refused.value.facts == {"wrong": 7, "lines": 8}
    told = refused.value.remedy.split("\n")[1:]
    assert [one.split(":")[0] for one in told] == [f"line {number}" for number in range(3, 10)]
    for number, part in enumerate(("Atlantis", "device or legacy", "digits only", "in line 2", "=", "2 cells", "'/'")):
        assert part in told[number]
    assert world.numbers() == []


def test_of_very_many_wrong_lines_fifty_are_named(world: World) -> None:
    with pytest.raises(InvalidError) as refused:
        world.bring(*(f"Atlantis,device,c{number},1," for number in range(60)))
    told = refused.value.remedy.split("\n")
    assert (len(told), told[-1]) == (52, "and 10 more")


def test_a_place_that_somebody_may_not_declare_at_is_no_place_in_their_file(world: World) -> None:
    line = f"{world.foreign},device,PLC,1,"
    with pytest.raises(InvalidError, match="1 of its 1 lines is wrong"):
        world.bring(line, seen=Visibility((world.org,)))
    assert world.bring(line).number(What.ADDED) == 1
    assert world.declared(Visibility((world.org,))) == []
    assert world.shares(Visibility((world.org,))) == {}


def test_a_place_is_called_by_names_that_find_it_again_or_by_its_path() -> None:
    org, one, two, odd = "0" * 26, "1" * 26, "2" * 26, "3" * 26
    tree = {
        f"/{org}/": "Norra Water",
        f"/{org}/{one}/": "Visby",
        f"/{org}/{two}/": "Malmö",
        f"/{org}/{one}/{odd}/": "Line A",
        f"/{org}/{two}/{odd}/": "Line A",
        f"/{org}/{odd}/": "malmö",
    }
    places = Places(Scope(ScopeId(path.split("/")[-2]), path, "/", ScopeKind.AREA, tree[path], NOON) for path in tree)
    assert all(places.path(places.called(path)) == path for path in tree)
    assert places.called(f"/{org}/{one}/{odd}/") == "Norra Water/Visby/Line A"
    assert places.called(f"/{org}/{odd}/") == f"/{org}/{odd}/"  # its name is Malmö's too
    assert places.path(" visby / line a ") == f"/{org}/{one}/{odd}/"
    with pytest.raises(ConflictError, match="names 2 places"):
        places.path("Line A")
    for text in ("", "Atlantis", "/", f"/{'4' * 26}/", "x" * 10_000):
        with pytest.raises(NotFoundError):
            places.path(text)


def test_an_export_imports_again_and_changes_nothing_whatever_things_are_called(world: World) -> None:
    odd = ("=1+1", "'=1", "+46", "-1", "@home", 'it\'s, "so"', "a;b", "Ångström")
    world.declare(*(world.say(number + 1, name, note=name) for number, name in enumerate(odd)))
    world.declare(world.say(5, "RTU", Kind.LEGACY, world.area, "old"))
    data = world.export()
    assert b"'=1+1" in data
    assert world.bring_bytes(data).real == []
    assert world.bring_bytes(data.replace(b"\r\n", b"\n")).real == []


def test_the_export_of_one_site_names_it_from_the_top_so_that_it_imports_from_anywhere(world: World) -> None:
    world.declare(world.say(5, scope=world.area), world.say(6, scope=world.site))
    narrow = world.export(Visibility((world.site,)))
    assert narrow == world.export()
    assert f"{world.name(world.area)},".encode() in narrow
    assert world.bring_bytes(narrow).real == []


def test_managed_devices_are_those_enrolled_and_let_in_of_the_site_and_its_areas(world: World) -> None:
    world.declare(world.say(3), world.say(9, "RTU", Kind.LEGACY, world.area))
    kept, gone = world.stand(), world.stand(scope=world.area)
    world.stand(scope=world.area)
    world.retire(gone.id)
    here = world.shares()[world.site]
    assert (here.devices, here.legacy, here.managed, here.cover) == (3, 9, 2, Cover.PART)
    assert here.reason == "managed 2 of 3 declared"
    world.quarantine(kept.id)
    assert world.shares()[world.site].managed == 1
    world.declare(world.say(0))
    assert world.shares()[world.site].cover is Cover.UNDECLARED


@pytest.mark.parametrize(
    ("devices", "there", "cover", "says"),
    [
        (0, 0, Cover.NOTHING, "no device declared"),
        (0, 2, Cover.UNDECLARED, "none declared"),
        (640, 0, Cover.NONE, "managed 0 of 640 declared"),
        (640, 18, Cover.PART, "managed 18 of 640 declared"),
        (1_210, 1_210, Cover.WHOLE, "managed 1,210 of 1,210 declared"),
        (2, 3, Cover.MORE, "more are enrolled than were declared"),
    ],
)
def test_what_is_managed_is_told_against_what_was_declared(devices: int, there: int, cover: Cover, says: str) -> None:
    judged, reason = managed.judge(devices, there)
    assert judged is cover
    assert says in reason


def test_areas_count_with_their_site_and_an_organisation_by_itself() -> None:
    assert managed.site("/o/s/a/b/") == "/o/s/"
    assert managed.site("/o/s/") == "/o/s/"
    assert managed.site("/o/") == "/o/"
    shares = managed.shares([], {"/o/s/a/": 2, "/o/s/": 1, "/o/": 4, "/o/t/": 0})
    assert [(one.scope, one.managed) for one in shares] == [("/o/", 4), ("/o/s/", 3)]
    assert managed.totals(shares).places == 0
