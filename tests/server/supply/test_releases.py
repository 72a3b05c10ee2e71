# SPDX-License-Identifier: Apache-2.0
"""What a compose file becomes, the numbers of a line, and which release a text names."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.ids import ReleaseId
from checkvalve.protocol import workload
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.supply import queries
from checkvalve.server.supply.model import Release, State
from tests.server.supply.world import World, found, source, started


@pytest.fixture
def plant(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return started(database, new_id, now)


def test_a_release_holds_the_manifest_its_digest_and_the_file_it_was_made_of(plant: World) -> None:
    release = plant.made(source())
    assert plant.release(release.id) == release
    manifest = workload.read(release.manifest)
    assert (release.name, release.version, release.number, release.state) == ("press-line", "1", 1, State.DRAFTED)
    assert (release.digest, release.source) == (workload.digest(release.manifest), source())
    assert [image.name for image in manifest.images.values()] == ["historian:2.4"]
    assert release.size == 500 + 2 * 10_000
    (entry,) = plant.entries("release.create")
    assert (entry.subject, entry.scope) == (f"release:{release.id}", plant.site)
    assert entry.facts["digest"] == release.digest
    assert entry.facts["images"] == dict.fromkeys(manifest.images, "historian:2.4")
    assert len(entry.data) < 2_000


def test_name_and_version_beside_the_file_count_more_than_the_file(plant: World) -> None:
    release = plant.made(source(), name="other", version="7")
    assert (release.name, release.version) == ("other", "7")


def test_layers_that_images_share_are_counted_once(plant: World) -> None:
    plant.bring(found("bridge:1", layers=("base", "bridge")))
    two = source() + b"services: {}\n"
    two = source().replace(b"x-checkvalve:", b"  bridge:\n    image: bridge:1\nx-checkvalve:")
    assert plant.made(two).size == 2 * 500 + 3 * 10_000


def test_numbers_rise_in_a_line_and_are_never_used_twice(plant: World) -> None:
    first = plant.made(source(version="1"))
    plant.discard(plant.open().id)
    again, other = plant.made(source(version="1")), plant.made(source("bridge", version="1"))
    neighbour = plant.made(source(version="2"), scope=plant.other)
    assert [one.number for one in (first, again, other, neighbour)] == [1, 2, 1, 3]
    assert plant.release(first.id).state is State.DISCARDED


def test_a_line_has_each_version_and_each_release_once(plant: World) -> None:
    release = plant.made(source())
    same = plant.refused("release.same", plant.made, source() + b"# a comment\n")
    taken = plant.refused("release.version_taken", plant.made, source(port=9090), plant.other)
    assert (same.facts, taken.facts) == ({"release": release.id}, {"release": release.id})
    plant.published()
    plant.refused("release.same", plant.made, source())
    plant.bring(found("historian:2.4"), scope=plant.foreign)
    assert plant.made(source(), scope=plant.foreign).number == 1


def test_the_first_thing_that_is_wrong_with_a_file_is_told_with_its_line(plant: World) -> None:
    wrong = source().replace(b"    ports", b"    build: .\n    privileged: true\n    ports")
    error = plant.refused("compose.unsupported", plant.made, wrong)
    assert (error.facts, "(line 5, services.web.build)" in error.sentence) == ({"line": 5, "problems": 2}, True)
    error = plant.refused("image.unknown", plant.made, source(image="nobody:1"))
    assert (error.facts, "(line 4, services.web.image)" in error.sentence) == ({"line": 4, "problems": 1}, True)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"a: [", b"services:\n" + b" x: &a [*a]\n", b"{" * 10_000])
def test_what_is_no_compose_file_changes_nothing(plant: World, data: bytes) -> None:
    rows = plant.rows()
    assert plant.checked(data).problems
    with pytest.raises(Exception, match=r"compose\."):
        plant.made(data)
    assert plant.rows() == rows


def test_without_a_root_of_trust_nothing_can_be_made(
    database: Database, new_id: Callable[[], str], now: datetime
) -> None:
    bare = World(database, new_id, now)
    bare.bring(found("historian:2.4"))
    bare.refused("trust.none", bare.made)
    bare.refused("trust.none", bare.renew)


def test_a_release_of_a_place_that_is_not_there_is_refused(plant: World) -> None:
    plant.refused("scope.not_found", plant.made, source(), "/nowhere/")


def test_a_check_says_what_a_file_would_become_and_changes_nothing(plant: World) -> None:
    before = plant.made(source())
    rows = plant.rows()
    checked = plant.checked(source(version="2", port=9090))
    assert (checked.previous, checked.same, checked.problems) == (before, None, ())
    assert {one.path for one in checked.differences} >= {"version"}
    assert checked.digest == workload.digest(checked.manifest or b"")
    same = plant.checked(source())
    assert (same.same, same.differences) == (before, ())
    taken = plant.checked(source(port=9090))
    assert any("another version" in note for note in taken.notes)
    assert plant.rows() == rows
    assert plant.made(source(version="2", port=9090)).digest == checked.digest


def test_a_release_is_compared_with_the_one_before_that_was_not_discarded(plant: World) -> None:
    first = plant.made(source(version="1"))
    plant.published()
    plant.made(source(version="2"))
    plant.discard(plant.open().id)
    third = plant.made(source(version="3"))
    previous = plant.database.read_now("previous", queries.previous, third)
    assert previous == plant.release(first.id)
    assert plant.database.read_now("previous", queries.previous, first) is None


def test_a_list_shows_what_may_be_seen_newest_first_by_pages_name_and_state(plant: World) -> None:
    plant.bring(found("historian:2.4"), scope="/")
    first, second = plant.made(source()), plant.made(source("bridge"), scope=plant.org)
    plant.published()
    third = plant.made(source(version="2"))

    def listed(*scopes: str, name: str = "", state: State | None = None, before: str = "") -> list[ReleaseId]:
        seen = Visibility(scopes)
        found = plant.database.read_now(
            "releases", lambda tx: queries.releases(tx, seen, limit=2, before=before, name=name, state=state)
        )
        return [one.id for one in found]

    assert listed("/") == [third.id, second.id]
    assert listed("/", before=second.id) == [first.id]
    assert listed(plant.site) == [third.id, first.id]
    assert listed(plant.foreign) == []
    assert listed("/", name="bridge") == [second.id]
    assert listed("/", state=State.DRAFTED) == [third.id]
    plant.refused(
        "release.not_found", plant.database.read_now, "release", queries.release, second.id, Visibility((plant.site,))
    )


# Which release a text names


def test_a_published_release_is_named_by_digest_and_by_version_at_its_scope_and_below(plant: World) -> None:
    release = plant.made(source(), scope=plant.org)
    plant.published()
    ours = plant.release(release.id)
    for scope in (plant.org, plant.site, plant.other):
        assert plant.named(release.ref, scope) == ours
        assert plant.named("press-line@1", scope) == ours
    for scope in ("/", plant.foreign):
        plant.refused("release.unknown", plant.named, release.ref, scope)


@pytest.mark.parametrize("text", ["", "press-line", "press-line@", "@1", "press-line@2", "press\0line@1", "x" * 9_000])
def test_what_names_no_release_is_unknown(plant: World, text: str) -> None:
    plant.made(source())
    plant.published()
    assert len(plant.refused("release.unknown", plant.named, text).sentence) < 1_100


def test_only_what_is_published_and_not_below_its_floor_is_named(plant: World) -> None:
    first = plant.made(source(version="1"))
    plant.refused("release.not_published", plant.named, first.ref)
    second = plant.made(source(version="2"))
    plant.published()
    assert plant.named("press-line@1").id == first.id
    plant.floor(second.id)
    plant.published()
    plant.refused("release.below_floor", plant.named, first.ref)
    assert plant.named("press-line@2") == plant.release(second.id)
    plant.withdraw(second.id)
    plant.published()
    plant.refused("release.withdrawn", plant.named, "press-line@2")
    third = plant.made(source(version="3"))
    plant.discard(plant.open().id)
    plant.refused("release.unknown", plant.named, third.ref)


def test_of_several_the_nearest_counts_whatever_its_state(plant: World) -> None:
    plant.bring(found("historian:2.4"), scope="/")
    above = plant.made(source(), scope="/")
    plant.published()
    here = plant.made(source(port=9090), scope=plant.site)
    plant.published()
    assert plant.named("press-line@1").id == here.id
    assert plant.named("press-line@1", plant.other).id == above.id
    plant.withdraw(here.id)
    plant.published()
    plant.refused("release.withdrawn", plant.named, "press-line@1")


def test_what_is_made_at_once_gets_different_numbers(plant: World) -> None:
    def make(version: int) -> Release:
        return plant.made(source(version=str(version)))

    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(make, range(6)))
    assert sorted(one.number for one in made) == [1, 2, 3, 4, 5, 6]
    assert {change.release.id for change in plant.open().changes} == {one.id for one in made}
    signed = canonical.loads(plant.open().payload)
    assert isinstance(signed, dict)
    targets: Json = signed["targets"]
    assert isinstance(targets, dict)
    assert set(targets) == {one.target for one in made}


def test_of_the_same_release_made_at_once_only_one_is_made(plant: World) -> None:
    def make(_: int) -> str:
        try:
            return plant.made(source()).id
        except Exception as error:  # noqa: BLE001 - the code is the answer
            return str(getattr(error, "code", error))

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(make, range(4)))
    assert answers[1:] == ["release.same"] * 3
    assert len(plant.entries("release.create")) == 1
