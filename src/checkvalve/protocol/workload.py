# SPDX-License-Identifier: Apache-2.0
"""What a release says: the manifest that people sign, the plane lists and a device runs.

A manifest is canonical JSON (RFC 8785) and its SHA-256 is the release's digest: bytes that are not exactly those which
`write` gives are no manifest. Every image is named by its OCI *config* digest (an engine's image id); durations are
whole milliseconds. Every field of its version is written, so that a later default changes no digest.

Version 1 has no values, and nothing of the host. A release that needs neither is still written in it (`oldest`): its
digest is what it was, and agents of before run it. Texts are literal in version 1, and `Template`s are in version 2.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError
from checkvalve.protocol.declared import MOST, File, Placed, Secret, Variable
from checkvalve.protocol.part import (
    DIGEST,
    LABEL,
    NAME,
    Digest,
    Label,
    Milliseconds,
    Name,
    Part,
    PortNumber,
    Size,
    Template,
    Text,
)
from checkvalve.protocol.reach import Allowed, Bind, Device, Limits, Log, Ulimit

__all__ = ["DIGEST", "LABEL", "NAME", "Digest", "Name", "Part", "Text"]

VERSION: Literal[2] = 2
LARGEST = 256 * 1024  # bytes of a manifest, and of the compose file that it was made of


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
    ipv4: Template = ""
    ipv6: Template = ""
    mac: Template = ""


class Port(Part, frozen=True):
    """A port of the container, published on the host's `address` (empty: all of them)."""

    target: PortNumber
    published: PortNumber
    address: Template = ""
    protocol: Literal["tcp", "udp"] = "tcp"


class Service(Part, frozen=True):
    """One container. A `oneshot` runs to its end, and is right when it ends with `exit`."""

    image: Digest
    kind: Literal["service", "oneshot"] = "service"
    exit: Annotated[int, Meta(ge=0, le=255)] = 0
    each_switch: bool = False
    rerun_on_rollback: bool = False
    command: tuple[Template, ...] | None = None  # None: the image's own
    entrypoint: tuple[Template, ...] | None = None
    environment: dict[Text, Template] = msgspec.field(default_factory=dict)
    labels: dict[Text, Text] = msgspec.field(default_factory=dict)
    user: Text = ""
    working_dir: Text = ""
    hostname: Template = ""
    init: bool = False
    read_only: bool = False
    no_new_privileges: bool = False
    cap_drop: tuple[Text, ...] = ()
    tmpfs: tuple[Text, ...] = ()  # paths; from version 2 on with options, as `/run:size=64m,mode=1777`
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
    # ---- Since version 2. ----
    healthy_first: tuple[Name, ...] = ()  # of `after`: those that must be healthy
    files: tuple[Placed, ...] = ()
    secrets: tuple[Placed, ...] = ()
    devices: tuple[Device, ...] = ()
    binds: tuple[Bind, ...] = ()
    host_network: bool = False
    extra_hosts: dict[Text, Template] = msgspec.field(default_factory=dict)  # name -> address
    cap_add: tuple[Text, ...] = ()
    group_add: tuple[Text, ...] = ()
    sysctls: dict[Text, Template] = msgspec.field(default_factory=dict)
    ulimits: dict[Text, Ulimit] = msgspec.field(default_factory=dict)
    limits: Limits = Limits()
    log: Log = Log()
    privileged: bool = False


class Volume(Part, frozen=True):
    """Data that outlives a container: `keep` it on a rollback, or return to the `snapshot` taken before the switch."""

    policy: Literal["keep", "snapshot"] = "keep"


class Network(Part, frozen=True):
    """A network of the release; an `internal` one leads nowhere else.

    Since version 2: macvlan and ipvlan are on the host's interface `parent`; a fixed `subnet` cannot exist twice.
    """

    internal: bool = False
    driver: Literal["bridge", "macvlan", "ipvlan"] = "bridge"
    parent: Template = ""
    subnet: Template = ""
    gateway: Template = ""
    range: Template = ""  # addresses of the subnet that the engine may give


class Gate(Part, frozen=True):
    """What a device must see before it commits: after `start_grace` all healthy, and so for `soak` on end."""

    start_grace_ms: Milliseconds = 30_000
    soak_ms: Milliseconds = 120_000
    max_restarts: Annotated[int, Meta(ge=0, le=100)] = 0


class Manifest(Part, frozen=True):
    """A whole release. Services, volumes and networks by name, images by config digest."""

    name: Name
    version: Label
    services: Annotated[dict[Name, Service], Meta(min_length=1, max_length=100)]
    images: dict[Digest, Image]
    networks: dict[Name, Network] = msgspec.field(default_factory=dict)
    volumes: dict[Name, Volume] = msgspec.field(default_factory=dict)
    gate: Gate = Gate()
    variables: Annotated[tuple[Variable, ...], Meta(max_length=MOST)] = ()
    files: Annotated[tuple[File, ...], Meta(max_length=MOST)] = ()
    secrets: Annotated[tuple[Secret, ...], Meta(max_length=MOST)] = ()
    allow: tuple[Allowed, ...] = ()  # since version 2
    host_paths: tuple[Text, ...] = ()  # since version 2: binds are of these or below
    v: Literal[1, 2] = 1

    @property
    def open(self) -> bool:
        """Whether there is anything that values fill."""
        return bool(self.variables or self.files or self.secrets)


# What version 1 does not have. `Manifest`'s variables, files and secrets were there, and empty.
_ADDED: Mapping[str, tuple[str, ...]] = {
    "manifest": ("allow", "host_paths"),
    "services": (
        "healthy_first",
        "files",
        "secrets",
        "devices",
        "binds",
        "host_network",
        "extra_hosts",
        "cap_add",
        "group_add",
        "sysctls",
        "ulimits",
        "limits",
        "log",
        "privileged",
    ),
    "attachments": ("ipv4", "ipv6", "mac"),
    "networks": ("driver", "parent", "subnet", "gateway", "range"),
}

_PLAIN_SERVICE, _PLAIN_ATTACHMENT = Service(image=""), Attachment(network="")


def write(manifest: Manifest) -> bytes:
    """Return the manifest's one sequence of bytes.

    Raises `InvalidError` (`manifest.value`, `manifest.version`, `manifest.dangling`, `manifest.rights`,
    `manifest.size`) for what no device could or may run.
    """
    plain = _plain(manifest)
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

    Raises `InvalidError`: `manifest.size`, `canonical.form`, `manifest.form`, `manifest.dangling`, `manifest.rights`.
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


def oldest(manifest: Manifest) -> Literal[1, 2]:
    """Return the lowest version that has all the fields that this manifest uses."""
    services, networks = manifest.services.values(), manifest.networks.values()
    later = (
        manifest.open,
        bool(manifest.allow or manifest.host_paths),
        any(_uses(one, _PLAIN_SERVICE, "services") for one in services),
        any(_uses(at, _PLAIN_ATTACHMENT, "attachments") for one in services for at in one.networks),
        any(_uses(one, Network(), "networks") for one in networks),
        any(":" in path for one in services for path in one.tmpfs),
    )
    return 2 if any(later) else 1


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
    """Refuse a manifest that names what it does not hold, or takes what it does not allow."""
    files, secrets = {each.name for each in manifest.files}, {each.name for each in manifest.secrets}
    for name, service in manifest.services.items():
        missing = [
            *({service.image} - manifest.images.keys()),
            *({mount.volume for mount in service.mounts} - manifest.volumes.keys()),
            *({attachment.network for attachment in service.networks} - manifest.networks.keys()),
            *(set(service.after) - manifest.services.keys()),
            *(set(service.healthy_first) - set(service.after)),
            *({placed.name for placed in service.files} - files),
            *({placed.name for placed in service.secrets} - secrets),
        ]
        if missing:
            raise InvalidError("manifest.dangling", f"Service {name} names {missing[0]}, which is not there.")
        if service.privileged and "privileged" not in manifest.allow:
            raise InvalidError("manifest.rights", f"Service {name} is privileged, which the release does not allow.")
    for key, image in manifest.images.items():
        if key != image.config or all(service.image != key for service in manifest.services.values()):
            raise InvalidError("manifest.dangling", f"Image {key} is not what a service runs.")


def _plain(manifest: Manifest) -> dict[str, Any]:
    """Return every field of the manifest's version; `InvalidError` (`manifest.version`) if it uses one of a later."""
    plain: dict[str, Any] = msgspec.to_builtins(manifest)
    if manifest.v > 1:
        return plain
    if oldest(manifest) > 1:
        raise InvalidError("manifest.version", "A manifest of version 1 cannot say this.", "Write it in version 2.")
    return _pruned(plain)


def _uses(part: Part, plain: Part, kind: str) -> bool:
    return any(getattr(part, name) != getattr(plain, name) for name in _ADDED[kind])


def _pruned(plain: dict[str, Any]) -> dict[str, Any]:
    """Take out of a manifest as plain values what version 1 does not have."""

    def without(value: dict[str, Any], kind: str) -> None:
        for name in _ADDED[kind]:
            value.pop(name, None)

    without(plain, "manifest")
    for service in plain["services"].values():
        without(service, "services")
        for attachment in service["networks"]:
            without(attachment, "attachments")
    for network in plain["networks"].values():
        without(network, "networks")
    return plain


def _too_large(size: int) -> InvalidError:
    return InvalidError(
        "manifest.size", f"The release is {size} bytes; {LARGEST} is the most.", "Divide it into several releases."
    )
