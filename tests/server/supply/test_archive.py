# SPDX-License-Identifier: Apache-2.0
"""Which images an archive holds: docker archives, OCI layouts, both in one, and what is none."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checkvalve import canonical
from checkvalve.errors import InvalidError
from checkvalve.server.blobs.contents import Limits
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.supply import documents
from checkvalve.server.supply.model import Found
from checkvalve.server.web.uploads import Brought, bring
from tests.parts import archives
from tests.parts.archives import Image, descriptor, dumps, file, layer, sha

LIMITS = Limits(total=64 << 20)
BASE = layer(base=b"base")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def brought(blobs: Blobs, data: bytes, limits: Limits = LIMITS) -> Brought:
    with blobs.spool() as spooled:
        spooled.write(data)
        return bring(spooled, blobs, limits)  # type: ignore[arg-type] # IO[bytes] is what BinaryIO says of it


def refused(blobs: Blobs, data: bytes) -> str:
    with pytest.raises(InvalidError) as caught:
        brought(blobs, data)
    assert caught.value.remedy
    assert len(caught.value.sentence) < 1000
    return caught.value.code


def whole(blobs: Blobs, found: Found) -> bool:
    """Tell whether all blobs of an image are there and are what they are called."""
    parts = (found.config, found.manifest, *found.layers)
    return all(len(blobs.read(blob.digest, 1 << 24)) == blob.size for blob in parts)


@pytest.mark.parametrize("packing", ["", "gzip", "zstd"])
@pytest.mark.parametrize("make", [archives.oci, lambda image: archives.docker([image])])
def test_an_image_is_found_by_its_config(blobs: Blobs, packing: str, make: Callable[[Image], bytes]) -> None:
    image = Image(packing=packing)
    got = brought(blobs, make(image))
    [found] = got.found
    assert found.config.digest == image.id
    assert found.names == ("historian:2.4",)
    assert found.platform == "linux/amd64"
    assert [one.diff_id for one in found.layers] == [sha(one) for one in image.layers]
    assert {one.media_type for one in found.layers} == {documents.TAR + (f"+{packing}" if packing else "")}
    assert whole(blobs, found)
    assert (got.added, got.known, got.skipped) == (found.size, 0, ())


def test_a_docker_archive_is_given_the_same_manifest_every_time(blobs: Blobs, tmp_path: Path) -> None:
    data = archives.docker([Image()])
    [found] = brought(blobs, data).found
    manifest = blobs.read(found.manifest.digest, 1 << 20)
    assert canonical.loads(manifest)
    assert msgspec.json.decode(manifest)["mediaType"] == documents.MANIFEST
    again = brought(Blobs(tmp_path / "elsewhere"), gzip.compress(data))
    assert again.found[0].manifest == found.manifest
    [oci] = brought(blobs, archives.layout(archives.blobs_of([Image()]) | {sha(manifest): manifest}, {
        "schemaVersion": 2, "manifests": [descriptor(manifest, documents.MANIFEST)]
    })).found  # fmt: skip
    assert oci.config == found.config


def test_bringing_it_again_adds_nothing(blobs: Blobs) -> None:
    first = brought(blobs, archives.oci(Image()))
    again = brought(blobs, archives.oci(Image()))
    assert (again.added, again.known) == (0, first.added)
    assert again.found == first.found


@pytest.mark.parametrize("links", [True, False])
def test_two_images_share_a_layer(blobs: Blobs, links: bool) -> None:  # noqa: FBT001 (a table of facts)
    one, two = Image([BASE, layer(a=b"1")], ["a:1", "b:1"]), Image([BASE, layer(a=b"2")], [])
    got = brought(blobs, archives.docker([one, two], links=links))
    assert [found.names for found in got.found] == [("a:1", "b:1"), ()]
    assert got.found[0].layers[0] == got.found[1].layers[0]
    assert got.added == sum(found.size for found in got.found) - len(BASE)


def test_a_layer_that_occurs_twice_in_one_image_counts_once(blobs: Blobs) -> None:
    image = Image([BASE, BASE])
    [found] = brought(blobs, archives.docker([image])).found
    assert len(found.layers) == 2
    assert found.size == found.config.size + found.manifest.size + len(BASE)


def test_an_archive_with_both_forms_counts_as_oci_and_has_the_names_of_both(blobs: Blobs) -> None:
    image = Image(names=[])
    saved = [
        {"Config": "blobs/sha256/" + image.id[7:], "RepoTags": ["historian:2.4", "historian:lts"], "Layers": ["x"]}
    ]
    more = [file("manifest.json", dumps(saved))]
    [found] = brought(blobs, archives.layout(archives.blobs_of([image]), archives.index_of([image]), more=more)).found
    assert found.manifest.digest == sha(image.manifest_bytes)
    assert found.names == ("historian:2.4", "historian:lts")


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        ({documents.NAME: "docker.io/library/historian:2.4", documents.REF: "2.4"}, ("historian:2.4",)),
        ({documents.REF: "localhost/historian:2.4"}, ("historian:2.4",)),
        ({documents.REF: "acme/historian"}, ("acme/historian:latest",)),
        ({documents.REF: "2.4"}, ()),
        ({documents.REF: "latest"}, ()),
        ({documents.REF: "No Name"}, ()),
        ({documents.NAME: "historian@" + sha(b"")}, ()),
        ({}, ()),
    ],
)
def test_a_name_is_a_repository_with_a_tag(blobs: Blobs, annotations: dict[str, str], names: tuple[str, ...]) -> None:
    got = brought(blobs, archives.oci(Image(names=[], entry={"annotations": annotations})))
    assert got.found[0].names == names
    assert bool(got.skipped) == bool(annotations and not names)


def nested(depth: int) -> bytes:
    image = Image()
    blobs = archives.blobs_of([image])
    index = archives.index_of([image])
    for _ in range(depth - 1):
        data = dumps(index)
        blobs[sha(data)] = data
        index = {"schemaVersion": 2, "manifests": [descriptor(data, archives.INDEX)]}
    return archives.layout(blobs, index)


def test_indexes_nest_up_to_four_deep(blobs: Blobs) -> None:
    assert brought(blobs, nested(4)).found[0].names == ("historian:2.4",)
    assert refused(blobs, nested(5)) == "image.manifest"


def test_a_platform_that_is_not_there_and_an_attestation_are_left_out_with_a_word(blobs: Blobs) -> None:
    image = Image(entry={"platform": {"os": "linux", "architecture": "amd64"}})
    index = archives.index_of([image])
    arm = {"os": "linux", "architecture": "arm64"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    index["manifests"] += [
        descriptor(b"absent", documents.MANIFEST, platform=arm),
        descriptor(b"x", documents.MANIFEST, platform=unknown),
        descriptor(b"y", documents.MANIFEST, annotations={documents.ATTESTS: "attestation-manifest"}),
        descriptor(b"z", "application/vnd.cncf.helm.chart"),
    ]
    got = brought(blobs, archives.layout(archives.blobs_of([image]), index))
    assert len(got.found) == 1
    assert [word.rpartition(": ")[2] for word in got.skipped] == [
        "not in the archive",
        "an attestation",
        "an attestation",
        "'application/vnd.cncf.helm.chart', which is no image",
    ]
    assert "linux/arm64" in got.skipped[0]


def test_several_platforms_share_the_name_of_their_index(blobs: Blobs) -> None:
    images = [Image(names=[], config={"architecture": kind, "variant": "v8"}) for kind in ("amd64", "arm64")]
    inner = dumps(archives.index_of(images))
    outer = {"schemaVersion": 2, "manifests": [descriptor(inner, archives.INDEX, annotations={documents.REF: "h:1"})]}
    got = brought(blobs, archives.layout(archives.blobs_of(images) | {sha(inner): inner}, outer))
    assert [(one.names, one.platform) for one in got.found] == [
        (("h:1",), "linux/amd64/v8"),
        (("h:1",), "linux/arm64/v8"),
    ]


def test_dockers_media_types_are_taken(blobs: Blobs) -> None:
    docker = "application/vnd.docker."
    image = Image(packing="gzip")
    image.manifest = {
        "mediaType": docker + "distribution.manifest.v2+json",
        "config": descriptor(image.config_bytes, docker + "container.image.v1+json"),
        "layers": [descriptor(blob, docker + "image.rootfs.diff.tar.gzip") for blob in image.blobs],
    }
    image.entry = {"mediaType": docker + "distribution.manifest.v2+json"}
    [found] = brought(blobs, archives.oci(image)).found
    assert found.manifest.media_type == docker + "distribution.manifest.v2+json"


def test_a_layer_that_begins_like_a_text_is_stored_too(blobs: Blobs) -> None:
    image = Image([archives.tar([file("[docs]/a", b"1")]), archives.tar([file("{b}", b"2")])])
    for data in (archives.oci(image), archives.docker([image])):
        [found] = brought(blobs, data).found
        assert whole(blobs, found)


ROOTFS = {"type": "layers", "diff_ids": [sha(one) for one in Image().layers]}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"os": "windows"}, "image.platform"),
        ({"os": ""}, "image.config"),
        ({"os": 7}, "image.config"),
        ({"architecture": "amd64/../x"}, "image.config"),
        ({"architecture": None}, "image.config"),
        ({"variant": "v 8"}, "image.config"),
        ({"rootfs": None}, "image.config"),
        ({"rootfs": {"type": "squash", "diff_ids": []}}, "image.config"),
        ({"rootfs": ROOTFS | {"diff_ids": ["sha256:x", "sha256:y"]}}, "image.config"),
        ({"rootfs": ROOTFS | {"diff_ids": [sha(BASE)]}}, "image.layers"),
        ({"rootfs": ROOTFS | {"diff_ids": None}}, "image.layers"),
        ({"rootfs": ROOTFS | {"diff_ids": [sha(BASE), sha(b"another")]}}, "image.digest"),
        ({"rootfs": ROOTFS | {"diff_ids": ROOTFS["diff_ids"][::-1]}}, "image.digest"),
        ({"x": "y" * (5 << 20)}, "image.config"),
        ({"rootfs": [[[[[[]]]]]]}, "image.config"),
    ],
)
@pytest.mark.parametrize("make", [archives.oci, lambda image: archives.docker([image])])
def test_a_config_that_is_not_right_is_refused(
    blobs: Blobs, config: dict[str, Any], code: str, make: Callable[[Image], bytes]
) -> None:
    assert refused(blobs, make(Image(config=config))) == code


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_packed_layer_that_is_another_is_refused(blobs: Blobs, packing: str) -> None:
    rootfs = ROOTFS | {"diff_ids": [sha(BASE), sha(b"another")]}
    assert refused(blobs, archives.oci(Image(packing=packing, config={"rootfs": rootfs}))) == "image.digest"


def changed(index: int = 0, **fields: object) -> dict[str, Any]:
    layers = [descriptor(one, documents.TAR) for one in Image().layers]
    layers[index] |= fields
    return {"layers": layers}


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ({"schemaVersion": 1}, "image.manifest"),
        ({"manifests": []}, "image.manifest"),
        ({"mediaType": archives.INDEX}, "image.manifest"),
        ({"config": descriptor(b"{}", "application/vnd.oci.empty.v1+json")}, "image.none"),
        ({"artifactType": "application/x"}, "image.none"),
        ({"config": None}, "image.none"),
        ({"config": descriptor(b"absent", documents.CONFIG)}, "image.layers"),
        ({"layers": []}, "image.layers"),
        ({"layers": [descriptor(BASE, documents.TAR)] * 600}, "image.layers"),
        ({"layers": "none"}, "image.manifest"),
        (changed(size=1), "image.manifest"),
        (changed(size="1"), "image.manifest"),
        (changed(digest="sha256:../../x"), "image.manifest"),
        (changed(digest="sha512:" + "a" * 128), "image.manifest"),
        (changed(digest=sha(b"absent")), "image.layers"),
        (changed(urls=["https://example.com/layer"]), "image.layers"),
        (changed(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "image.layers"),
        (changed(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "image.layers"),
        (changed(mediaType="application/vnd.oci.image.layer.v1.tar+encrypted"), "image.layers"),
    ],
)
def test_a_manifest_that_is_not_right_is_refused(blobs: Blobs, manifest: dict[str, Any], code: str) -> None:
    assert refused(blobs, archives.oci(Image(manifest=manifest))) == code


MARK = b'{"imageLayoutVersion":"1.0.0"}'


@pytest.mark.parametrize(
    ("index", "mark", "code"),
    [
        ([], MARK, "image.manifest"),
        ({"schemaVersion": 2}, MARK, "image.manifest"),
        ({"schemaVersion": 2, "manifests": []}, MARK, "image.none"),
        (archives.index_of([Image()]), b'{"imageLayoutVersion":"2.0.0"}', "image.manifest"),
        (archives.index_of([Image()]), b"1.0.0", "image.manifest"),
        ({"schemaVersion": 2, "manifests": [descriptor(b"x", documents.MANIFEST)]}, MARK, "image.manifest"),
        ({"schemaVersion": 2, "manifests": [descriptor(BASE, documents.MANIFEST)]}, MARK, "image.manifest"),
        ({"schemaVersion": 2, "manifests": [descriptor(b"x", "text/plain")] * 1001}, MARK, "image.manifest"),
    ],
)
def test_a_layout_that_is_not_right_is_refused(blobs: Blobs, index: object, mark: bytes, code: str) -> None:
    assert refused(blobs, archives.layout(archives.blobs_of([Image()]), index, mark=mark)) == code


@pytest.mark.parametrize(
    "text", [b"{", b"[" * 100_000, b'[{"Config":1}]', b"[{}]", b'{"a":1}', b'["\xff"]', b"[NaN]", b"x"]
)
def test_a_docker_archive_without_a_right_list_is_refused(blobs: Blobs, text: bytes) -> None:
    assert refused(blobs, archives.tar([file("manifest.json", text)])) == "image.manifest"


def test_a_docker_archive_without_its_parts_is_refused(blobs: Blobs) -> None:
    image = Image()
    assert refused(blobs, archives.docker([image], without=[image.id[7:] + ".json"])) == "image.config"
    assert refused(blobs, archives.docker([image], without=["0" * 64 + "/layer.tar"])) == "image.layers"
    assert refused(blobs, archives.docker([image], without=["manifest.json"])) == "image.none"
    assert refused(blobs, archives.docker([])) == "image.none"


def test_a_layer_packed_with_something_else_is_refused(blobs: Blobs) -> None:
    image = Image([b"\xfd7zXZ\x00" + bytes(20)])
    assert refused(blobs, archives.docker([image])) == "image.layers"


def test_two_images_of_one_name_and_platform_are_refused(blobs: Blobs) -> None:
    assert refused(blobs, archives.docker([Image(), Image([BASE])])) == "image.name"


def test_the_same_image_listed_twice_is_one_with_both_names(blobs: Blobs) -> None:
    got = brought(blobs, archives.docker([Image(names=["a:1"]), Image(names=["b:1", "a:1"])], links=True))
    assert [one.names for one in got.found] == [("a:1", "b:1")]


def test_many_entries_for_one_image_are_read_once(blobs: Blobs) -> None:
    image = Image(names=[f"n:{number}" for number in range(1000)])
    assert len(brought(blobs, archives.oci(image)).found[0].names) == 1000


def test_what_all_layers_unpack_to_has_a_limit(blobs: Blobs) -> None:
    image = Image([bytes(3 << 20), bytes((3 << 20) + 1)], packing="gzip")
    with pytest.raises(InvalidError) as caught:
        brought(blobs, archives.oci(image), Limits(total=1 << 20))
    assert caught.value.code == "archive.size"
