# SPDX-License-Identifier: Apache-2.0
"""Importing, naming, listing and removing images; and which image a name means."""

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from checkvalve.ids import ImageId
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.supply import queries, resolve
from checkvalve.server.supply.composed import Reference
from checkvalve.server.supply.model import Image
from tests.conftest import NOON
from tests.server.supply.world import AMD, ARM, World, digest, found, source


@pytest.fixture
def plant(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_an_imported_image_is_there_with_its_names_and_blobs_and_one_entry(plant: World) -> None:
    brought = found("historian:2.4", "registry.example/historian:2.4")
    (image,) = plant.bring(brought)
    assert plant.image(image.id) == image
    assert (image.found, image.scope, image.made_by, image.used_by) == (brought, plant.org, plant.maker, 0)
    (entry,) = plant.entries()
    assert (entry.action, entry.subject, entry.scope) == ("image.import", f"image:{image.id}", plant.org)
    assert entry.facts["images"] == [
        {"config": brought.config.digest, "id": image.id, "names": list(brought.names), "platform": AMD}
    ]


def test_an_image_that_is_there_keeps_its_id_and_gains_the_names(plant: World) -> None:
    (image,) = plant.bring(found("historian:2.4"))
    (again,) = plant.bring(found("historian:latest", content="historian:2.4"))
    assert again.id == image.id
    assert again.found.names == ("historian:2.4", "historian:latest")


def test_an_image_that_came_twice_in_one_archive_is_one(plant: World) -> None:
    images = plant.bring(found("a:1", content="same"), found("b:1", content="same"))
    assert [image.found.names for image in images] == [("a:1", "b:1")]


def test_a_layer_that_is_in_an_image_twice_is_kept_twice_and_counted_once(plant: World) -> None:
    (image,) = plant.bring(found("a:1", layers=("base", "empty", "empty")))
    assert [layer.digest for layer in plant.image(image.id).found.layers][1:] == [digest("layer empty")] * 2
    assert image.found.size == 500 + 300 + 2 * 10_000


def test_a_name_is_moved_by_a_later_import_on_its_platform_only(plant: World) -> None:
    old, arm = plant.bring(found("historian:2.4", content="old"), found("historian:2.4", platform=ARM))
    (new,) = plant.bring(found("historian:2.4", content="new"))
    names = {image.id: plant.image(image.id).found.names for image in (old, arm, new)}
    assert names == {old.id: (), arm.id: ("historian:2.4",), new.id: ("historian:2.4",)}
    assert plant.entries()[0].facts["moved"] == [{"from": old.id, "name": "historian:2.4"}]


def test_each_scope_has_its_own_image_of_the_same_content(plant: World) -> None:
    (ours,) = plant.bring(found("historian:2.4"))
    (theirs,) = plant.bring(found("historian:2.4"), scope=plant.foreign)
    assert ours.id != theirs.id
    assert ours.found == theirs.found


def test_an_import_into_a_place_that_is_not_there_changes_nothing(plant: World) -> None:
    plant.refused("scope.not_found", plant.bring, found("a:1"), scope="/nowhere/")
    plant.refused("image.none", plant.bring)


def test_a_list_shows_what_may_be_seen_newest_first_by_pages_and_by_name(plant: World) -> None:
    first, second = plant.bring(found("historian:2.4"), found("historian:2.5"))
    (other,) = plant.bring(found("bridge:1"), scope=plant.site)
    (foreign,) = plant.bring(found("historian:2.4"), scope=plant.foreign)

    def listed(*scopes: str, name: str = "", before: str = "", limit: int = 100) -> list[ImageId]:
        seen = Visibility(scopes)
        asked = plant.database.read_now(
            "images", lambda tx: queries.images(tx, seen, limit=limit, before=before, name=name)
        )
        return [image.id for image in asked]

    assert listed("/") == [foreign.id, other.id, second.id, first.id]
    assert listed(plant.org) == [other.id, second.id, first.id]
    assert listed(plant.site) == [other.id]
    assert listed(plant.org, name="historian") == [second.id, first.id]
    assert listed(plant.org, name="historian:2.4") == [first.id]
    assert listed(plant.org, name="hist") == []
    assert listed(plant.org, limit=1) == [other.id]
    assert listed(plant.org, before=second.id) == [first.id]
    plant.refused(
        "image.not_found", plant.database.read_now, "image", queries.image, foreign.id, Visibility((plant.org,))
    )


def test_a_removed_image_is_gone_with_its_names_and_its_claim_to_blobs(plant: World) -> None:
    shared, gone = plant.bring(found("a:1", layers=("base",)), found("b:1", layers=("base", "own")))
    plant.remove(gone.id)
    kept = plant.database.read_now("kept", queries.kept)
    assert kept == {shared.found.config.digest, shared.found.manifest.digest, digest("layer base")}
    assert plant.entries()[0].facts["before"] == {
        "config": gone.found.config.digest,
        "id": gone.id,
        "names": ["b:1"],
        "platform": AMD,
    }
    plant.refused("image.not_found", plant.remove, gone.id)


def test_an_image_that_a_release_runs_stays_until_the_release_is_discarded(plant: World) -> None:
    plant.install()
    (image,) = plant.bring(found("historian:2.4"))
    (theirs,) = plant.bring(found("historian:2.4"), scope=plant.foreign)
    plant.made(source())
    assert (plant.image(image.id).used_by, plant.image(theirs.id).used_by) == (1, 0)
    plant.refused("image.used", plant.remove, image.id)
    plant.remove(theirs.id)
    plant.discard(plant.open().id)
    assert plant.remove(image.id).used_by == 0


def test_a_name_that_moves_changes_no_release(plant: World) -> None:
    plant.install()
    plant.bring(found("historian:2.4", content="old"))
    release = plant.made(source())
    plant.bring(found("historian:2.4", content="new"))
    assert plant.release(release.id) == release
    assert plant.made(source(version="2")).digest != release.digest


# Which image a name means


def _image(scope: str, *names: str, content: str = "", platform: str = AMD) -> Image:
    return Image(ImageId(scope + content), scope, found(*names, content=content, platform=platform), "", NOON)


def _chosen(reference: Reference, *offered: Image, names: Sequence[str] = ()) -> str:
    images, problems = resolve.images([reference], offered, names)
    assert [(one.line, one.path) for one in problems] == [(7, "services.web.image")] * len(problems)
    return problems[0].code if problems else images[reference].config


def _named(text: str, digest: str = "") -> Reference:
    return Reference(text, digest, 7, "services.web.image")


PLANE, ORG, SITE = "/", "/a/", "/a/b/"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_nearest_scope_that_knows_the_name_decides(order: Sequence[int]) -> None:
    images = [_image(scope, "a:1", content=scope) for scope in (PLANE, ORG, SITE)]
    offered = [images[index] for index in order]
    assert _chosen(_named("a:1"), *offered) == images[2].found.config.digest
    assert _chosen(_named("a:1"), *(one for one in offered if one.scope != SITE)) == images[1].found.config.digest


@pytest.mark.parametrize("which", ["config", "manifest"])
def test_a_pinned_digest_is_the_image_s_config_or_its_manifest_whatever_name_stands_before_it(which: str) -> None:
    old, new = _image(SITE, content="old"), _image(SITE, "a:1", content="new")
    pin: str = getattr(old.found, which).digest
    assert _chosen(_named("any", pin), old, new) == old.found.config.digest
    assert _chosen(_named("a:1", pin), new) == "image.unknown"


def test_a_name_for_several_platforms_is_ambiguous_and_the_remedy_names_them() -> None:
    amd, arm = _image(SITE, "a:1", content="x"), _image(SITE, "a:1", content="y", platform=ARM)
    assert _chosen(_named("a:1"), arm, amd) == "image.ambiguous"
    _, (problem,) = resolve.images([_named("a:1")], [arm, amd], [])
    assert f"a:1@{amd.found.config.digest} ({AMD}), a:1@{arm.found.config.digest} ({ARM})" in problem.instead
    assert _chosen(_named("a:1"), amd, _image(ORG, "a:1", content="y", platform=ARM)) == amd.found.config.digest


def test_a_name_nobody_imported_is_unknown_and_names_alike_are_told() -> None:
    assert _chosen(_named("historian:2.4"), _image(SITE, "bridge:1")) == "image.unknown"
    _, (problem,) = resolve.images([_named("historian:2.4")], [], ["bridge:1", "historian:2.3"])
    assert "historian:2.3" in problem.instead
    assert "bridge" not in problem.instead


def test_what_an_image_is_called_in_a_release_does_not_depend_on_the_order_of_services() -> None:
    image, names = _image(SITE, "a:1", "b:1", content="x"), [_named("b:1"), _named("a:1")]
    for order in (names, names[::-1]):
        images, _ = resolve.images(order, [image], [])
        assert {one.name for one in images.values()} == {"a:1"}


def test_an_image_of_a_neighbouring_site_is_not_offered(plant: World) -> None:
    plant.bring(found("historian:2.4"), scope=plant.other)
    assert [problem.code for problem in plant.checked(source()).problems] == ["image.unknown"]
    plant.bring(found("historian:2.4"), scope="/")
    assert plant.checked(source()).problems == ()
