# SPDX-License-Identifier: Apache-2.0
"""What a real engine saves is brought in under the ids it gives, and what is here can be loaded into it again."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkvalve.server.blobs.contents import Limits
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.supply.model import Found
from checkvalve.server.web.uploads import Brought, bring
from tests.parts import archives, docker
from tests.parts.archives import dumps, file

pytestmark = [pytest.mark.real_parts, pytest.mark.slow]
LIMITS = Limits(total=64 << 20)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.Engine]:
    with docker.running(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def saved(engine: docker.Engine, blobs: Blobs, *names: str) -> Brought:
    path = engine.directory / "saved.tar"
    engine.run("save", "-o", str(path), *names)
    with path.open("rb") as file:
        return bring(file, blobs, LIMITS)


def load_archive(blobs: Blobs, found: Found) -> bytes:
    """Write a docker archive of what is in the blobs."""
    members = [
        file(digest[7:] + "/layer.tar", blobs.read(digest, 64 << 20))
        for digest in dict.fromkeys(layer.digest for layer in found.layers)
    ]
    layers = [layer.digest[7:] + "/layer.tar" for layer in found.layers]
    members.append(file(found.config.digest[7:] + ".json", blobs.read(found.config.digest, 4 << 20)))
    listed = [{"Config": found.config.digest[7:] + ".json", "RepoTags": list(found.names), "Layers": layers}]
    return archives.tar([*members, file("manifest.json", dumps(listed))])


def load(engine: docker.Engine, data: bytes) -> None:
    path = engine.directory / "load.tar"
    path.write_bytes(data)
    engine.run("load", "-i", str(path))


def test_an_image_has_the_id_the_engine_gives_it_and_comes_back_as_the_same(
    engine: docker.Engine, blobs: Blobs
) -> None:
    name = "acme/historian:2.4"
    identity = engine.build(name, {"version": b"2.4"})
    [found] = saved(engine, blobs, name).found
    assert found.config.digest == identity
    assert found.names == (name,)
    assert found.platform.startswith("linux/")
    engine.run("image", "rm", name)
    load(engine, load_archive(blobs, found))
    assert engine.image_id(name) == identity
    assert engine.run("run", "--rm", "--network", "none", name, "/bin/busybox", "cat", "/files/version") == "2.4"


def test_two_images_in_one_archive_share_their_layer(engine: docker.Engine, blobs: Blobs) -> None:
    ids = {
        "base:1": engine.build("base:1", {"a": b"1"}),
        "left:1": engine.build("left:1", {"b": b"2"}, base="base:1"),
        "right:1": engine.build("right:1", {"c": b"3"}, base="base:1"),
    }
    got = saved(engine, blobs, "left:1", "right:1")
    assert {found.names[0]: found.config.digest for found in got.found} == {
        name: ids[name] for name in ("left:1", "right:1")
    }
    left, right = got.found
    assert left.layers[:2] == right.layers[:2]
    assert got.added == left.size + right.size - sum(layer.size for layer in left.layers[:2])
    again = saved(engine, blobs, "base:1", "left:1")
    assert {found.config.digest for found in again.found} == {ids["base:1"], ids["left:1"]}
    [base] = [found for found in again.found if found.names == ("base:1",)]
    assert again.added == base.config.size + base.manifest.size


def test_an_image_made_by_hand_is_taken_by_the_engine_under_the_same_id(engine: docker.Engine, blobs: Blobs) -> None:
    image = archives.Image(names=["hand:1"], packing="gzip")
    [found] = bring(io.BytesIO(archives.oci(image)), blobs, LIMITS).found
    load(engine, load_archive(blobs, found))
    assert engine.image_id("hand:1") == found.config.digest == image.id


def test_the_engine_leaves_nothing_behind(tmp_path: Path) -> None:
    before = docker.traces(tmp_path)
    with docker.running(tmp_path) as engine:
        engine.build("historian:1", {"a": b"1"})
        engine.run("run", "-d", "--stop-timeout", "1", "historian:1", "/bin/busybox", "sleep", "1000")
        namespace = engine.namespace
        assert len(docker.processes(namespace)) > 3
        assert docker.traces(tmp_path) == before
    assert docker.processes(namespace) == set()
    assert docker.traces(tmp_path) == before
