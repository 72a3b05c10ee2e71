# SPDX-License-Identifier: Apache-2.0
"""What a release says: the manifest that people sign, the plane lists and a device runs.

A manifest is canonical JSON (RFC 8785) and its SHA-256 is the release's digest: bytes that are not exactly those which
`write` gives are no manifest. Every image is named by its OCI *config* digest (an engine's image id); durations are
whole milliseconds. Every field is written, so that a later default changes no digest.
"""

from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError

VERSION: Literal[1] = 1
LARGEST = 256 * 1024  # bytes of a manifest, and of the compose file that it was made of

NAME = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z"  # of a release, service, volume, network
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?\Z"  # of a version
DIGEST = r"^sha256:[0-9a-f]{64}\Z"

Name = Annotated[str, Meta(pattern=NAME)]
Label = Annotated[str, Meta(pattern=LABEL)]
Digest = Annotated[str, Meta(pattern=DIGEST)]
Text = Annotated[str, Meta(max_length=32_768, pattern=r"^[^\x00]*\Z")]
Milliseconds = Annotated[int, Meta(ge=0, le=7 * 86_400_000)]
Size = Annotated[int, Meta(ge=0, le=2**53 - 1)]
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


class Part(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of what a manifest holds."""


class Layer(Part, frozen=True):
    """A blob a device fetches; `diff_id` is the digest of it unpacked, which the image's config names."""

    digest: Digest
    size: Size
    media_type: Text
    diff_id: Digest


class Image(Part, frozen=True):
    """An image. `config` is its identity; `manifest` is where it came from, and `name` is what people called it."""

    config: Digest
    config_size: Size
    manifest: Digest
    name: Text
    platform: Text  # os/architecture[/variant], as `linux/amd64`
    layers: tuple[Layer, ...]


class Check(Part, frozen=True):
    """The engine's own health check. `test` begins with CMD or CMD-SHELL; NONE alone switches the image's off."""

    test: tuple[Text, ...]
    interval_ms: Milliseconds = 30_000
    timeout_ms: Milliseconds = 30_000
    retries: Annotated[int, Meta(ge=1, le=1_000)] = 3
    start_period_ms: Milliseconds = 0


class HttpProbe(Part, frozen=True, tag_field="kind", tag="http"):
    """Passes when a GET inside the service's network answers with `status`."""

    port: PortNumber
    path: Text = "/"
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    every_ms: Milliseconds = 2_000
    timeout_ms: Milliseconds = 5_000


class TcpProbe(Part, frozen=True, tag_field="kind", tag="tcp"):
    """Passes when a connection is accepted."""

    port: PortNumber
    every_ms: Milliseconds = 2_000
    timeout_ms: Milliseconds = 5_000


class ExecProbe(Part, frozen=True, tag_field="kind", tag="exec"):
    """Passes when the command ends with 0 inside the container."""

    command: tuple[Text, ...]
    every_ms: Milliseconds = 2_000
    timeout_ms: Milliseconds = 5_000


Probe = HttpProbe | TcpProbe | ExecProbe


class Mount(Part, frozen=True):
    """A volume of the release inside a container."""

    volume: Name
    target: Text
    read_only: bool = False


class Attachment(Part, frozen=True):
    """A network a service is on; its own name is an alias always."""

    network: Name
    aliases: tuple[Text, ...] = ()


class Port(Part, frozen=True):
    """A port of the container, published on the host's `address` (empty: all of them)."""

    target: PortNumber
    published: PortNumber
    address: Text = ""
    protocol: Literal["tcp", "udp"] = "tcp"


class Service(Part, frozen=True):
    """One container. A `oneshot` runs to its end, and is right when it ends with `exit`."""

    image: Digest
    kind: Literal["service", "oneshot"] = "service"
    exit: Annotated[int, Meta(ge=0, le=255)] = 0
    each_switch: bool = False
    rerun_on_rollback: bool = False
    command: tuple[Text, ...] | None = None  # None: the image's own
    entrypoint: tuple[Text, ...] | None = None
    environment: dict[Text, Text] = {}
    labels: dict[Text, Text] = {}
    user: Text = ""
    working_dir: Text = ""
    hostname: Text = ""
    init: bool = False
    read_only: bool = False
    no_new_privileges: bool = False
    cap_drop: tuple[Text, ...] = ()
    tmpfs: tuple[Text, ...] = ()
    restart: Literal["no", "on-failure", "unless-stopped", "always"] = "unless-stopped"
    stop_signal: Text = ""
    stop_grace_ms: Milliseconds = 10_000
    check: Check | None = None  # None: the image's own
    probes: tuple[Probe, ...] = ()
    start_grace_ms: Milliseconds | None = None  # None: the release's
    mounts: tuple[Mount, ...] = ()
    networks: tuple[Attachment, ...] = ()
    ports: tuple[Port, ...] = ()
    after: tuple[Name, ...] = ()  # services that have started, and oneshots that have ended, before this one starts


class Volume(Part, frozen=True):
    """Data that outlives a container: `keep` it on a rollback, or return to the `snapshot` taken before the switch."""

    policy: Literal["keep", "snapshot"] = "keep"


class Network(Part, frozen=True):
    """A network of the release; an `internal` one leads nowhere else."""

    internal: bool = False


class Gate(Part, frozen=True):
    """What a device must see before it commits: after `start_grace` all healthy, and so for `soak` on end."""

    start_grace_ms: Milliseconds = 30_000
    soak_ms: Milliseconds = 120_000
    max_restarts: Annotated[int, Meta(ge=0, le=100)] = 0


class Declared(Part, frozen=True):
    """A variable, file or secret that values will fill. None can be declared yet; their place is here."""

    name: Name


class Manifest(Part, frozen=True):
    """A whole release. Services, volumes and networks by name, images by config digest."""

    name: Name
    version: Label
    services: Annotated[dict[Name, Service], Meta(min_length=1, max_length=100)]
    images: dict[Digest, Image]
    networks: dict[Name, Network] = {}
    volumes: dict[Name, Volume] = {}
    gate: Gate = Gate()
    variables: Annotated[tuple[Declared, ...], Meta(max_length=0)] = ()
    files: Annotated[tuple[Declared, ...], Meta(max_length=0)] = ()
    secrets: Annotated[tuple[Declared, ...], Meta(max_length=0)] = ()
    v: Literal[1] = VERSION


def write(manifest: Manifest) -> bytes:
    """Return the manifest's one sequence of bytes.

    Raises `InvalidError` (`manifest.value`, `manifest.dangling`, `manifest.size`) for what no device could run.
    """
    plain = msgspec.to_builtins(manifest)
    try:
        msgspec.convert(plain, Manifest)
    except msgspec.ValidationError as error:
        raise InvalidError("manifest.value", f"This release cannot be written down: {error}.") from error
    _whole(manifest)
    data = canonical.dumps(cast("canonical.Json", plain))
    if len(data) > LARGEST:
        raise _too_large(len(data))
    return data


def read(data: bytes) -> Manifest:
    """Return the manifest of its bytes.

    Raises `InvalidError`: `manifest.size`, `canonical.form`, `manifest.form`, `manifest.dangling`.
    """
    if len(data) > LARGEST:
        raise _too_large(len(data))
    value = canonical.loads(data)
    try:
        manifest = msgspec.convert(value, Manifest)
    except msgspec.ValidationError as error:
        raise InvalidError(
            "manifest.form", f"These bytes are no manifest of a release: {error}.", "Make the release anew."
        ) from error
    _whole(manifest)
    if write(manifest) != data:
        raise InvalidError("manifest.form", "A field of the manifest is missing.", "Make the release anew.")
    return manifest


def digest(data: bytes) -> str:
    """Return `sha256:` and 64 hex digits of a manifest's bytes: what names the release for ever."""
    return "sha256:" + digests.sha256_hex(data)


def target(scope: str, name: str, digest_: str) -> str:
    """Return the path under which a release made in `scope` is listed: `ORG/name/HEX.json`, or `name/HEX.json`.

    The organisation is part of it, so that a device can tell a release of another's.
    """
    organisation = scope.strip("/").split("/")[0]
    return "/".join(filter(None, (organisation, name, digest_.removeprefix("sha256:") + ".json")))


def line(scope: str, name: str) -> str:
    """Return what a floor is set for: all releases of one name in one organisation, `ORG/name` or `name`."""
    return target(scope, name, "").rpartition("/")[0]


def _whole(manifest: Manifest) -> None:
    """Refuse a manifest that names what it does not hold."""
    for name, service in manifest.services.items():
        missing = [
            *({service.image} - manifest.images.keys()),
            *({mount.volume for mount in service.mounts} - manifest.volumes.keys()),
            *({attachment.network for attachment in service.networks} - manifest.networks.keys()),
            *(set(service.after) - manifest.services.keys()),
        ]
        if missing:
            raise InvalidError("manifest.dangling", f"Service {name} names {missing[0]}, which is not there.")
    for key, image in manifest.images.items():
        if key != image.config or all(service.image != key for service in manifest.services.values()):
            raise InvalidError("manifest.dangling", f"Image {key} is not what a service runs.")


def _too_large(size: int) -> InvalidError:
    return InvalidError(
        "manifest.size", f"The release is {size} bytes; {LARGEST} is the most.", "Divide it into several releases."
    )
