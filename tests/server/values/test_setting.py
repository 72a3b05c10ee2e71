# SPDX-License-Identifier: Apache-2.0
"""Setting values: one deed with one entry, nothing for what is so already, and refusals that change nothing."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from checkvalve.errors import CheckvalveError
from checkvalve.protocol import declared, values
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import Trust
from checkvalve.server.values import locking, queries
from checkvalve.server.values.model import Kind, Wanted
from tests.server.values.world import KEY, World, at, file, manifest, secret, variable


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_one_deed_sets_several_and_leaves_one_entry_that_names_them(world: World) -> None:
    world.set(world.site, variable("RATE", "1"))
    before = len(world.entries())
    made = world.set(
        world.site, variable("RATE", "2"), secret("mqtt", "sesame", "press-line"), file("a", "b"), note="MOC-9"
    )
    assert len(world.entries()) == before + 1
    entry = world.entries()[0]
    assert (entry.action, entry.subject, entry.scope) == (
        "values.set",
        f"scope:{world.site.split('/')[-2]}",
        world.site,
    )
    changed: Any = entry.facts["changed"]
    said = {each["name"]: each for each in changed}
    assert said["RATE"]["before"] == values.digest(b"1")
    assert said["RATE"]["after"] == values.digest(b"2")
    assert (said["mqtt"]["before"], said["mqtt"]["after"], said["mqtt"]["line"]) == (None, "set", "press-line")
    assert [said[one.key.name]["entry"] for one in made] == [one.id for one in made]
    assert {(one.key.name, one.content) for one in world.current()} == {("RATE", b"2"), ("mqtt", b""), ("a", b"b")}


def test_what_is_set_already_is_nothing_secrets_too(world: World) -> None:
    wanted = (variable("RATE", "1"), secret("mqtt", "sesame"), file("a", ""))
    first = world.set(world.site, *wanted)
    assert len(first) == 3
    assert world.set(world.site, *wanted) == []
    assert world.entries()[0].facts["changed"] == []
    assert {one.id for one in world.current()} == {one.id for one in first}


def test_what_is_taken_away_is_gone_and_stays_in_the_history(world: World) -> None:
    world.set(world.site, variable("RATE", "1"))
    world.later(seconds=1)
    world.set(world.site, variable("RATE", None), variable("NEVER", None))
    assert world.current() == []
    assert [(one.key.name, one.content) for one in world.history()] == [("RATE", None), ("RATE", b"1")]
    world.set(world.site, variable("RATE", "1"))
    assert len(world.current()) == 1


def test_a_line_of_releases_and_all_lines_are_two_values(world: World) -> None:
    world.set(world.site, variable("RATE", "1"), variable("RATE", "2", "press-line"))
    assert len(world.current()) == 2
    assert [one.content for one in world.current(line="press-line")] == [b"2"]
    assert [one.content for one in world.current(line="")] == [b"1"]


NOT_SET = {
    "no change": ((), "values.changes"),
    "too many": (tuple(variable(f"V{number}", "1") for number in range(101)), "values.changes"),
    "one twice": ((variable("V", "1"), variable("V", None)), "values.twice"),
    "a name with a dash": ((variable("V-1", "1"),), "values.name"),
    "a name with a NUL": ((variable("V\0", "1"),), "values.name"),
    "a path as the name of a file": ((file("../passwd", "1"),), "values.name"),
    "a line that is none": ((variable("V", "1", "press line"),), "values.line"),
    "too long a variable": ((variable("V", "x" * 4_097),), "values.long"),
    "too large a file": ((file("f", "é" * 40_000),), "values.long"),
    "too large a secret": ((secret("s", "x" * 16_385),), "values.long"),
    "an empty secret": ((secret("s", ""),), "values.empty"),
    "a NUL": ((file("f", "a\0b"),), "values.text"),
    "half a character": ((file("f", "\ud800"),), "values.text"),
}


@pytest.mark.parametrize("case", NOT_SET)
def test_what_has_no_form_is_refused_whole(world: World, case: str) -> None:
    wanted, code = NOT_SET[case]
    before = world.rows()
    with pytest.raises(CheckvalveError) as refused:
        world.set(world.site, *wanted, *([variable("GOOD", "1")] if 0 < len(wanted) < 100 else []))
    assert refused.value.code == code
    assert world.rows() == before


def test_the_largest_that_may_be_is_set(world: World) -> None:
    world.set(world.site, variable("V", "é" * 4_096), file("f", "x" * 65_536), secret("s", "x" * 16_384))
    assert len(world.current()) == 3


def test_where_no_value_can_be_none_is_set(world: World) -> None:
    retired = world.stand(trust=Trust.RETIRED)
    wrong = {
        "/": "values.place",
        f"/{world.new_id()}/": "scope.not_found",
        "": "scope.not_found",
        "/\0/": "scope.not_found",
        f"device:{world.new_id()}": "device.not_found",
        "device:\0": "device.not_found",
        at(retired): "device.already_retired",
    }
    before = world.rows()
    for place, code in wrong.items():
        with pytest.raises(CheckvalveError) as refused:
            world.set(place, variable("V", "1"))
        assert refused.value.code == code, place
    assert world.rows() == before


def test_a_value_of_a_line_is_held_against_its_published_releases(world: World) -> None:
    world.put(manifest(version="1"))
    with pytest.raises(CheckvalveError) as refused:
        world.set(world.site, variable("PLC", "the pump", "press-line"))
    assert refused.value.code == "values.misfit"
    assert "press-line 1" in refused.value.sentence
    world.set(world.site, variable("PLC", "the pump"), variable("PLC", "10.0.0.1", "press-line"))
    world.put(manifest(version="2", variables=_texts()), number=2)
    world.set(world.site, variable("PLC", "the pump", "press-line"))
    world.set(world.other, variable("UNDECLARED", "anything", "press-line"))


@pytest.mark.parametrize("wanted", [variable("mqtt", "sesame", "press-line"), file("mqtt", "sesame", "press-line")])
def test_what_a_line_declares_as_a_secret_is_not_kept_as_anything_else(world: World, wanted: Wanted) -> None:
    world.put(manifest(version="1"))
    before = world.rows()
    with pytest.raises(CheckvalveError) as refused:
        world.set(world.site, wanted)
    assert refused.value.code == "values.misfit"
    assert "mqtt is a secret of press-line 1" in refused.value.sentence
    assert "sesame" not in f"{refused.value.sentence}{refused.value.remedy}"
    assert world.rows() == before
    world.set(world.site, secret("mqtt", "sesame", "press-line"))
    world.set(world.other, Wanted(wanted.key, None))


def test_releases_of_other_places_and_those_not_published_say_nothing_of_a_value(world: World) -> None:
    world.put(manifest(version="1"), scope=world.other)
    world.put(manifest(version="2"), state="drafted", number=2)
    world.set(world.site, variable("PLC", "the pump", "press-line"))
    with pytest.raises(CheckvalveError):
        world.set(world.org, variable("PLC", "the pump", "press-line"))


def test_trying_a_secret_without_setting_it_tells_nothing_of_it(world: World) -> None:
    world.set(world.site, secret("mqtt", "sesame"))

    def tried(guess: str) -> int:
        wanted = (secret("mqtt", guess),)
        return len(world.database.read_now("try", queries.changes, world.site, world.site, wanted))

    assert tried("sesame") == tried("a wrong guess") == 1


def test_a_secret_is_set_anew_where_the_old_one_no_longer_opens(world: World) -> None:
    world.set(world.site, secret("mqtt", "sesame"), key=bytes(32))
    again = world.set(world.site, secret("mqtt", "sesame"))
    kept = world.database.read_now("kept", queries.by_id, [again[0].id])[again[0].id]
    assert locking.unlocked(KEY, kept) == b"sesame"


def test_the_values_of_a_device_are_where_it_stands_now(world: World) -> None:
    device = world.stand(scope=world.area)
    world.set(at(device), variable("RATE", "1"))
    assert [one.scope for one in world.history([world.area])] == [world.area]
    world.describe(device.id, scope=world.other)
    assert world.history([world.area]) == []
    assert len(world.history([world.other])) == 1


def test_a_list_is_read_in_stretches_and_by_every_filter(world: World) -> None:
    device = world.stand()
    for number in range(5):
        world.set(world.site, variable(f"V{number}", "1"))
    world.set(at(device), secret("mqtt", "sesame", "press-line"))
    world.set(world.foreign, variable("V0", "1"))
    seen, before = [], ""
    while found := world.history([world.org], limit=2, before=before):
        seen += [one.key.name for one in found]
        before = found[-1].id
    assert seen == ["mqtt", "V4", "V3", "V2", "V1", "V0"]
    assert [one.key.name for one in world.current(kind=Kind.SECRET)] == ["mqtt"]
    assert [one.key.name for one in world.current(place=at(device))] == ["mqtt"]
    assert [one.place for one in world.current(name="V0", scope=world.org)] == [world.site]
    assert world.current(name="\0") == world.current(place="\0") == world.history([]) == []


PLANTED = "plant3d-s3cret-7f"


def test_a_planted_secret_is_nowhere_in_the_database_its_entries_or_its_lists(world: World, tmp_path: Path) -> None:
    device, release = world.stand(), world.put(manifest())
    world.set(world.org, secret("mqtt", PLANTED), variable("PLC", "10.0.0.1"))
    world.set(at(device), secret("mqtt", PLANTED), note="the new broker")
    world.set(at(device), secret("mqtt", PLANTED + " rotated"))
    world.set(at(device), secret("mqtt", None))
    bound = world.one(release, device)
    world.document(release, device, json.dumps(bound.binding))
    shown = [*world.current(), *world.history(), *(repr(one.facts) + one.data.decode() for one in world.entries())]
    assert PLANTED not in repr(shown)
    assert PLANTED not in repr(bound)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(PLANTED.encode() in file.read_bytes() for file in files)
    assert PLANTED not in repr(world.rows())


def _texts() -> tuple[declared.Variable, ...]:
    return tuple(declared.Variable(name=name, default="/var/log") for name in ("PLC", "RATE", "LOGS"))


def test_what_is_wanted_shows_no_content() -> None:
    assert PLANTED not in repr(secret("mqtt", PLANTED))
