# SPDX-License-Identifier: Apache-2.0
"""Archives of images made by hand, the same bytes every time: docker archives, OCI layouts, and broken ones of both."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from checkvalve.server.supply import documents

Members = list[tuple[tarfile.TarInfo, bytes]]


def sha(data: bytes) -> str:
    """Return `sha256:` and the digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dumps(value: object) -> bytes:
    """Return JSON as Go writes it: compact."""
    return json.dumps(value, separators=(",", ":")).encode()


def file(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member with content."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def other(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """Return a member without content: a link, a folder, a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return the members as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def layer(**files: bytes) -> bytes:
    """Return a layer: a plain tar of `files`."""
    return tar(file(name, data) for name, data in sorted(files.items()))


def packed(data: bytes, how: str) -> bytes:
    """Return `data` packed with nothing, gzip or zstd."""
    match how:
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "zstd":
            return zstandard.ZstdCompressor().compress(data)
        case _:
            return data


@dataclass
class Image:
    """An image by hand. `config` changes fields of its config; `manifest` those of its OCI manifest."""

    layers: list[bytes] = field(default_factory=lambda: [layer(base=b"base"), layer(app=b"app")])
    names: list[str] = field(default_factory=lambda: ["historian:2.4"])
    packing: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def config_bytes(self) -> bytes:
        """Return the config; its digest is the image's identity."""
        said = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [sha(one) for one in self.layers]},
        }
        return dumps(said | self.config)

    @property
    def id(self) -> str:
        """Return the digest of its config."""
        return sha(self.config_bytes)

    @property
    def blobs(self) -> list[bytes]:
        """Return its layers as they are in the archive."""
        return [packed(one, self.packing) for one in self.layers]

    @property
    def manifest_bytes(self) -> bytes:
        """Return its OCI manifest."""
        suffix = f"+{self.packing}" if self.packing else ""
        said = {
            "schemaVersion": 2,
            "mediaType": documents.MANIFEST,
            "config": descriptor(self.config_bytes, documents.CONFIG),
            "layers": [descriptor(blob, documents.TAR + suffix) for blob in self.blobs],
        }
        return dumps(said | self.manifest)


def descriptor(data: bytes, media_type: str, **more: object) -> dict[str, Any]:
    """Return what points to `data`."""
    return {"mediaType": media_type, "digest": sha(data), "size": len(data), **more}


def docker(
    images: list[Image], *, links: bool = True, without: Iterable[str] = (), form: int = tarfile.GNU_FORMAT
) -> bytes:
    """Return what `docker save` wrote before version 25; a layer that occurs twice is a link the second time."""
    members: Members = []
    listed: list[dict[str, Any]] = []
    where: dict[str, str] = {}
    for number, image in enumerate(images):
        paths = []
        for index, blob in enumerate(image.blobs):
            path = f"{number:02}{index:062}/layer.tar"
            paths.append(path)
            first = where.setdefault(sha(blob), path)
            if first != path and links:
                members.append(other(path, tarfile.SYMTYPE, f"../{first}"))
            else:
                members.append(file(path, blob))
        config = image.id.removeprefix("sha256:") + ".json"
        members.append(file(config, image.config_bytes))
        listed.append({"Config": config, "RepoTags": image.names or None, "Layers": paths})
    members.append(file("manifest.json", dumps(listed)))
    return tar([member for member in members if member[0].name not in set(without)], form)


def blobs_of(images: Iterable[Image]) -> dict[str, bytes]:
    """Return all blobs of the images by digest."""
    return {sha(data): data for image in images for data in [image.config_bytes, image.manifest_bytes, *image.blobs]}


def index_of(images: Iterable[Image]) -> dict[str, Any]:
    """Return an index that names the images as BuildKit and containerd do."""
    entries = []
    for image in images:
        for name in image.names or [""]:
            named = {"annotations": {documents.NAME: name, documents.REF: name.rpartition(":")[2]}} if name else {}
            entries.append(descriptor(image.manifest_bytes, documents.MANIFEST, **named) | image.entry)
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}


INDEX = "application/vnd.oci.image.index.v1+json"


def layout(
    blobs: Mapping[str, bytes],
    index: object,
    *,
    mark: bytes = b'{"imageLayoutVersion":"1.0.0"}',
    more: Members | None = None,
) -> bytes:
    """Return an OCI layout as a tar."""
    members = [other("blobs", tarfile.DIRTYPE), other("blobs/sha256", tarfile.DIRTYPE)]
    members += [file("blobs/sha256/" + digest.removeprefix("sha256:"), data) for digest, data in sorted(blobs.items())]
    return tar([*members, file("index.json", dumps(index)), file("oci-layout", mark), *(more or [])])


def oci(*images: Image) -> bytes:
    """Return an OCI archive of the images."""
    return layout(blobs_of(images), index_of(images))
