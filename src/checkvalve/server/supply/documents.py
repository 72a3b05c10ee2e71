# SPDX-License-Identifier: Apache-2.0
"""What the documents inside an archive of images say, as far as it decides anything.

OCI image specification 1.1 (layout, index, manifest, config), Docker's image manifest version 2 schema 2, and the
manifest.json of docker save. Fields that decide nothing are not read. Go writes `null` for an empty list.
"""

from msgspec import Struct, field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"

_DOCKER = "application/vnd.docker."
MANIFESTS = frozenset({MANIFEST, _DOCKER + "distribution.manifest.v2+json"})
INDEXES = frozenset({"application/vnd.oci.image.index.v1+json", _DOCKER + "distribution.manifest.list.v2+json"})
CONFIGS = frozenset({CONFIG, _DOCKER + "container.image.v1+json"})
_DOCKER_TAR = _DOCKER + "image.rootfs.diff.tar"
LAYERS = frozenset({TAR, TAR + "+gzip", TAR + "+zstd", _DOCKER_TAR, _DOCKER_TAR + ".gzip", _DOCKER_TAR + ".zstd"})
_ELSEWHERE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
FOREIGN = frozenset(
    {_ELSEWHERE, _ELSEWHERE + "+gzip", _ELSEWHERE + "+zstd", _DOCKER + "image.rootfs.foreign.diff.tar.gzip"}
)

ATTESTS = "vnd.docker.reference.type"
NAME = "io.containerd.image.name"
REF = "org.opencontainers.image.ref.name"


class Platform(Struct, frozen=True):
    """For what an index says that an entry is."""

    os: str = ""
    architecture: str = ""


class Descriptor(Struct, frozen=True, rename="camel"):
    """What points to a blob."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    urls: tuple[str, ...] | None = None

    @property
    def attests(self) -> bool:
        """Whether it speaks of another image instead of being one (BuildKit's attestation storage)."""
        return self.platform == Platform("unknown", "unknown") or ATTESTS in (self.annotations or {})

    @property
    def called(self) -> tuple[str, ...]:
        """The name its annotations give it; containerd's is the full one."""
        said = self.annotations or {}
        name = said.get(NAME) or said.get(REF)
        return (name,) if name else ()


class Document(Struct, frozen=True, rename="camel"):
    """An index if it has `manifests`, else a manifest. What has both is neither: two readers would see two images."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    manifests: tuple[Descriptor, ...] | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None

    def __post_init__(self) -> None:
        if self.schema_version != 2:
            raise ValueError("its schema version is not 2")
        if self.manifests is not None and (self.config is not None or self.layers is not None):
            raise ValueError("it is an index and a manifest at once")
        if self.media_type not in (MANIFESTS if self.manifests is None else INDEXES) | {""}:
            raise ValueError("its media type is not that of its content")


class Layout(Struct, frozen=True, rename="camel"):
    """The file oci-layout."""

    image_layout_version: str


class Saved(Struct, frozen=True, rename="pascal"):
    """One image of a docker archive."""

    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None


class RootFs(Struct, frozen=True):
    """What an image's file system is made of; the digests are those of the unpacked layers."""

    type: str = field(name="type")
    diff_ids: tuple[str, ...] | None = None


class Config(Struct, frozen=True):
    """What runs, and on what."""

    os: str
    architecture: str
    rootfs: RootFs
    variant: str = ""
