# SPDX-License-Identifier: Apache-2.0
"""What does an engine's answer say, in our words?

Rules: 1. an image is its config digest. The containerd image store calls it by the digest of a manifest instead: there
the name that we gave it at its loading says which it is, and nowhere else; 2. a volume is there when it is whole: one
that has a mark beside it is awaited, or a copy that was cut short; 3. Podman's words for states are put into Docker's.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from checkvalve.agent import steps
from checkvalve.agent.steps import Container

OF = "checkvalve.mark"  # label of a mark: the volume it is about
State = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]

_STATES: dict[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "paused",
    "restarting": "restarting",
    "removing": "removing",
    "exited": "exited",
    "dead": "dead",
    # Rule 3.
    "configured": "created",
    "initialized": "created",
    "stopping": "running",
    "stopped": "exited",
}
_HEALTH: dict[str, Literal["starting", "healthy", "unhealthy"]] = {
    "starting": "starting",
    "healthy": "healthy",
    "unhealthy": "unhealthy",
}
_NAMED = re.compile(r"(?:[^/]+/)?checkvalve/[a-z0-9._-]+:([0-9a-f]{64})\Z")
_NEVER = "0001-01-01"


def image_name(device: str, config: str) -> str:
    """Return the name that an image has in the engine: of the device that loaded it, so that each drops its own."""
    return f"checkvalve/{device}:{config.removeprefix('sha256:')}"


def container(said: Mapping[str, Any], images: Mapping[str, str]) -> Container:
    """Return a container of its inspection; `images` are config digests by the engine's ids."""
    state = said.get("State") or {}
    labels = (said.get("Config") or {}).get("Labels") or {}
    health = (state.get("Health") or {}).get("Status") or ""
    host = said.get("HostConfig") or {}
    image = digest(str(said.get("Image", "")))
    return Container(
        id=str(said["Id"]),
        name=str(said.get("Name", "")).lstrip("/"),
        service=labels.get(steps.SERVICE, ""),
        attempt=labels.get(steps.ATTEMPT, ""),
        release=labels.get(steps.RELEASE, ""),
        image=images.get(image, image),
        state=_STATES.get(str(state.get("Status", "")), "dead"),
        exit_code=int(state.get("ExitCode") or 0),
        health=_HEALTH.get(health, ""),
        restarts=int(said.get("RestartCount") or 0),
        policy=str((host.get("RestartPolicy") or {}).get("Name") or "no"),
        started=not str(state.get("StartedAt") or _NEVER).startswith(_NEVER),
    )


def digest(identity: str) -> str:
    """Return an image's id with its algorithm, which Podman leaves out."""
    return identity if not identity or ":" in identity else f"sha256:{identity}"


def images(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the config digest of each image by the engine's id (rule 1)."""
    return {digest(str(each["Id"])): _config(each) for each in listed}


def by_manifest(listed: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether this store calls images by their manifests."""
    return any(_is_manifest(each) for each in listed)


def volumes(listed: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the volumes that are whole (rule 2)."""
    marked: set[str] = set()
    names: set[str] = set()
    for each in listed:
        of = (each.get("Labels") or {}).get(OF)
        (marked if of else names).add(str(of or each["Name"]))
    return frozenset(names - marked)


def address(said: Mapping[str, Any]) -> str:
    """Return an address of a container, the first of its networks' by name; empty if it has none."""
    networks = (said.get("NetworkSettings") or {}).get("Networks") or {}
    for key in ("IPAddress", "GlobalIPv6Address"):
        for _, each in sorted(networks.items()):
            if each.get(key):
                return str(each[key])
    return ""


def _is_manifest(each: Mapping[str, Any]) -> bool:
    found = [str(one).rpartition("@")[2] for one in each.get("RepoDigests") or ()]
    return digest(str(each["Id"])) in found


def _config(each: Mapping[str, Any]) -> str:
    if _is_manifest(each):
        for name in each.get("RepoTags") or ():
            found = _NAMED.match(str(name))
            if found:
                return f"sha256:{found[1]}"
    return digest(str(each["Id"]))
