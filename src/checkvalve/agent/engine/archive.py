# SPDX-License-Identifier: Apache-2.0
"""Writes, from blobs and on the fly, the archive that an engine loads an image of.

Rules: 1. it is an OCI layout and a docker archive in one, as Docker 25 and later save it: Docker of any age, its
containerd image store and Podman all read it; 2. layers the engine holds may be left out; 3. blobs are hashed on their
way, and one that is wrong ends the archive before the list of its contents, so that nothing of it is ever loaded;
4. the OCI manifest is made of what the release's manifest says, so that its digest is known beforehand.
"""

import json
import tarfile
from collections.abc import Collection, Iterator, Mapping

from checkvalve.agent.ports import OpenBlob
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError
from checkvalve.protocol.workload import Image

PIECE = 256 * 1024
_BLOCK = 512
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_TAR = "application/vnd.oci.image.layer.v1.tar"


def manifest(image: Image) -> bytes:
    """Return the OCI manifest of the image (rule 4)."""
    layers = [_descriptor(layer.digest, layer.size, _packing(layer.media_type)) for layer in image.layers]
    config = _descriptor(image.config, image.config_size, _CONFIG)
    return _dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers})


def manifest_digest(image: Image) -> str:
    """Return what the containerd image store calls the image."""
    return "sha256:" + digests.sha256_hex(manifest(image))


def pieces(image: Image, name: str, open_blob: OpenBlob, without: Collection[str] = ()) -> Iterator[bytes]:
    """Yield the archive; `without` are digests of layers to leave out (rule 2).

    Raises `InvalidError` (`engine.load`) for a blob that is not what the release says, and what `open_blob` raises.
    """
    sizes = {image.config: image.config_size} | {layer.digest: layer.size for layer in image.layers}
    for digest, size in sizes.items():
        if digest not in without:
            yield from _blob(digest, size, open_blob)
    about = manifest(image)
    yield from _file(_path(manifest_digest(image)), about)
    yield from _file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    entry = _descriptor(manifest_digest(image), len(about), _MANIFEST)
    entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    yield from _file("index.json", _dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}))
    layers = [_path(layer.digest) for layer in image.layers]
    listed = [{"Config": _path(image.config), "RepoTags": [name], "Layers": layers}]
    yield from _file("manifest.json", _dumps(listed))
    yield bytes(2 * _BLOCK)


def folder(name: str, files: Mapping[str, str]) -> Iterator[bytes]:
    """Yield a tar of a folder that holds these texts by path."""
    top = tarfile.TarInfo(name)
    top.type, top.mode = tarfile.DIRTYPE, 0o755
    yield top.tobuf(tarfile.GNU_FORMAT)
    for path, text in sorted(files.items()):
        yield from _file(f"{name}/{path.lstrip('/')}", text.encode())
    yield bytes(2 * _BLOCK)


def packed_with_zstd(image: Image) -> bool:
    """Tell whether a layer is packed in a way that older engines cannot unpack."""
    return any(layer.media_type.endswith("zstd") for layer in image.layers)


def _blob(digest: str, size: int, open_blob: OpenBlob) -> Iterator[bytes]:
    yield _header(_path(digest), size)
    running = digests.Running()
    with open_blob(digest) as file:
        while piece := file.read(PIECE):
            running.update(piece)
            if running.size > size:
                break
            yield piece
    if running.size != size or running.hexdigest() != digest.removeprefix("sha256:"):  # rule 3
        raise InvalidError(
            "engine.load",
            f"The blob {digest} on this device is not what the release says.",
            "The device fetches it again with the next deploy.",
        )
    if size % _BLOCK:
        yield bytes(-size % _BLOCK)


def _file(path: str, data: bytes) -> Iterator[bytes]:
    yield _header(path, len(data)) + data + bytes(-len(data) % _BLOCK)


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _path(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _packing(media_type: str) -> str:
    """Return OCI's word for the packing of a layer, whoever's word the release has."""
    for ends, packing in (("gzip", "+gzip"), ("zstd", "+zstd")):
        if media_type.endswith(ends):
            return _TAR + packing
    return _TAR


def _descriptor(digest: str, size: int, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
