# SPDX-License-Identifier: Apache-2.0
"""The archive that an engine loads: written piece by piece, of blobs that are hashed on their way."""

import io
import json
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent.engine import archive
from checkvalve.errors import CheckvalveError, InvalidError
from checkvalve.protocol.workload import Image, Layer
from checkvalve.server.blobs.contents import Limits
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.web.uploads import bring
from tests.agent.engine import images
from tests.agent.engine.benches import opener
from tests.parts import archives

NAME = "checkvalve/d:1"


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {}
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
        return found


def written(built: images.Built, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    return members(b"".join(archive.pieces(built.image, NAME, opener(built.blobs), without)))


def test_it_is_a_docker_archive_and_an_oci_layout_in_one() -> None:
    built = images.image(1)
    found = written(built)
    assert list(found)[-1] == "manifest.json"  # nothing is loaded of an archive that ends before
    [listed] = json.loads(found["manifest.json"])
    assert listed["RepoTags"] == [NAME]
    assert archives.sha(found[listed["Config"]]) == built.image.config
    assert [archives.sha(found[path]) for path in listed["Layers"]] == [layer.digest for layer in built.image.layers]
    [entry] = json.loads(found["index.json"])["manifests"]
    assert entry["digest"] == archive.manifest_digest(built.image)
    manifest = json.loads(found["blobs/sha256/" + entry["digest"].removeprefix("sha256:")])
    assert manifest["config"]["digest"] == built.image.config
    assert [(each["digest"], each["size"]) for each in manifest["layers"]] == [
        (layer.digest, layer.size) for layer in built.image.layers
    ]


@pytest.mark.parametrize("packing", ["gzip", "", "zstd"])
def test_the_plane_that_imports_it_finds_the_same_image(packing: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    built = images.image(1, packing)
    data = b"".join(archive.pieces(built.image, NAME, opener(built.blobs)))
    [found] = bring(io.BytesIO(data), Blobs(tmp_path_factory.mktemp("blobs")), Limits(total=64 << 20)).found
    assert found.config.digest == built.image.config
    assert [layer.digest for layer in found.layers] == [layer.digest for layer in built.image.layers]


def test_layers_that_the_engine_holds_are_left_out_and_still_named() -> None:
    built = images.image(1)
    shared = built.image.layers[0].digest
    found = written(built, (shared,))
    path = "blobs/sha256/" + shared.removeprefix("sha256:")
    assert path not in found
    assert json.loads(found["manifest.json"])[0]["Layers"][0] == path


def test_a_layer_that_occurs_twice_is_written_once() -> None:
    built = images.image(1)
    first = built.image.layers[0]
    twice = Image(
        **{name: getattr(built.image, name) for name in built.image.__struct_fields__ if name != "layers"},
        layers=(first, first, built.image.layers[1]),
    )
    data = b"".join(archive.pieces(twice, NAME, opener(built.blobs)))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    assert len(json.loads(members(data)["manifest.json"])[0]["Layers"]) == 3


@given(st.data())
def test_a_blob_with_other_bytes_ends_the_archive_before_its_list_of_contents(data: st.DataObject) -> None:
    config, layer = b'{"rootfs":{}}', b"a layer of some bytes"
    said = Layer(digest=archives.sha(layer), size=len(layer), media_type="x.tar", diff_id=archives.sha(layer))
    image = Image(
        config=archives.sha(config), config_size=len(config), manifest=said.digest, name="", platform="", layers=(said,)
    )
    blobs = {image.config: config, said.digest: layer}
    which = data.draw(st.sampled_from(sorted(blobs)))
    wrong = data.draw(st.binary(max_size=64).filter(lambda value: value != blobs[which]))
    pieces = archive.pieces(image, NAME, opener(blobs | {which: wrong}))
    out = bytearray()
    with pytest.raises(InvalidError) as raised:
        out.extend(_joined(pieces, out))
    assert raised.value.code == "engine.load"
    assert b"manifest.json" not in out


def _joined(pieces: Iterator[bytes], out: bytearray) -> bytes:
    for piece in pieces:
        out.extend(piece)
    return b""


def test_a_blob_that_is_not_there_is_told_as_such() -> None:
    built = images.image(1)
    with pytest.raises(CheckvalveError) as raised:
        list(archive.pieces(built.image, NAME, opener({})))
    assert raised.value.code == "blob.missing"


@pytest.mark.parametrize("extra", [0, 3, 512])
def test_a_large_blob_is_never_held_whole(extra: int) -> None:
    layer = bytes(5 * archive.PIECE + extra)
    said = Layer(digest=archives.sha(layer), size=len(layer), media_type="x.tar", diff_id=archives.sha(layer))
    image = Image(config=archives.sha(b"{}"), config_size=2, manifest=said.digest, name="", platform="", layers=(said,))
    pieces = list(archive.pieces(image, NAME, opener({image.config: b"{}", said.digest: layer})))
    assert max(map(len, pieces)) <= archive.PIECE + 512
    assert min(map(len, pieces)) > 0  # an empty piece would end a body that is sent in chunks
    assert members(b"".join(pieces))["blobs/sha256/" + said.digest.removeprefix("sha256:")] == layer
