# SPDX-License-Identifier: Apache-2.0
"""What a service has of the device it runs on: devices, paths, capabilities, limits; and what must be allowed for it.

`allow` stands in the release, so that people see it when they sign. Rules: 1. whoever holds the engine's socket rules
the device, and a directory above the socket holds it, too; 2. `/`, and whatever lies below a process of the host in
`/proc`, is the host's root.
"""

import re
from typing import Annotated, Literal

from msgspec import Meta

from checkvalve.protocol.part import Part, Size, Template, Text

Allowed = Literal["privileged", "engine-socket", "host-root"]
ENGINE_SOCKETS = tuple(
    f"{run}/{name}"
    for run in ("/run", "/var/run")
    for name in ("docker.sock", "docker", "podman", "containerd", "crio")
)
_PROCESS = re.compile(r"/proc/(?:[0-9]+|self|thread-self)(?:/|\Z)")


def within(path: str, root: str) -> bool:
    """Tell whether a normal path is `root` or below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def needed(path: str) -> Allowed | None:
    """Return what must be allowed before a container may have this normal path of the host; None if nothing."""
    if path == "/" or _PROCESS.match(path):  # rule 2
        return "host-root"
    if any(within(path, socket) or within(socket, path) for socket in ENGINE_SOCKETS):  # rule 1
        return "engine-socket"
    return None


class Device(Part, frozen=True):
    """A device of the host, as `/dev/serial/by-id/…`, inside the container. `rights` are of r, w and m."""

    source: Template
    target: Text
    rights: Annotated[str, Meta(pattern=r"^r?w?m?\Z", min_length=1)] = "rwm"


class Bind(Part, frozen=True):
    """A path of the host inside the container; it has to be there, and is never made."""

    source: Template
    target: Text
    read_only: bool = False


class Ulimit(Part, frozen=True):
    """A limit of setrlimit(2), by its name without RLIMIT_; -1 is none."""

    soft: Annotated[int, Meta(ge=-1, le=2**53 - 1)]
    hard: Annotated[int, Meta(ge=-1, le=2**53 - 1)]


class Limits(Part, frozen=True):
    """What a service may use at most; 0 says nothing. `cpus` are thousandths of one, `cpuset` as `0-1,3`."""

    memory: Size = 0  # bytes
    reserved: Size = 0  # bytes that the engine tries to leave it
    cpus: Annotated[int, Meta(ge=0, le=1_024_000)] = 0
    cpuset: Text = ""
    pids: Annotated[int, Meta(ge=0, le=4_194_304)] = 0
    shm: Size = 0  # bytes of /dev/shm


class Log(Part, frozen=True):
    """What the engine keeps of what a service prints. Rotation is the default, and `none` keeps nothing."""

    driver: Literal["json-file", "local", "journald", "none"] = "json-file"
    size: Size = 10 * 1024 * 1024  # bytes of one file
    files: Annotated[int, Meta(ge=1, le=100)] = 3
