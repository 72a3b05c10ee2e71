# SPDX-License-Identifier: Apache-2.0
"""What does an engine's answer say, in our words?

Rules: 1. an image is its config digest. The containerd image store calls it by the digest of a manifest instead: there
the name that we gave it at its loading says which it is, and nowhere else; 2. a volume is there when it is whole: one
that has a mark beside it is awaited, or a copy that was cut short; 3. Podman's words for states are put into Docker's;
4. a container is on a network if it is the one of today: Docker knows it by its id since the container's first start;
5. an image that has no name, or only that of one being loaded, is none: it may not all have come to the platter.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from checkvalve.agent import steps
from checkvalve.agent.steps import Container

NEW = "-new"  # end of the name of an image that is being loaded
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


def container(
    said: Mapping[str, Any], images: Mapping[str, str], networks: Mapping[str, str] | None = None
) -> Container:
    """Return a container of its inspection; `images` are config digests by the engine's ids, `networks` ids by name."""
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
        oom=bool(state.get("OOMKilled")),
        networks=None if networks is None else _on(said, networks),
    )


def idle(listed: Mapping[str, Any]) -> bool:
    """Tell whether a container, as it is listed, does not run; one that is being removed does not either."""
    return _STATES.get(str(listed.get("State", ""))) in ("created", "exited", "dead", "removing")


def digest(identity: str) -> str:
    """Return an image's id with its algorithm, which Podman leaves out."""
    return identity if not identity or ":" in identity else f"sha256:{identity}"


def images(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the config digest of each image by the engine's id (rule 1)."""
    return {digest(str(each["Id"])): _config(each) for each in listed}


def whole(listed: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the config digests of the images that are there, as far as their names tell (rule 5)."""
    return frozenset(_config(each) for each in listed if is_whole(each))


def begun(listed: Iterable[Mapping[str, Any]], device: str) -> frozenset[str]:
    """Return the config digests of images that a load by this device has left under the name of one being loaded."""
    form = re.compile(rf"(?:[^/]+/)?checkvalve/{re.escape(device)}:([0-9a-f]{{64}}){re.escape(NEW)}\Z")
    found = (form.match(name) for each in listed for name in names(each))
    return frozenset(f"sha256:{each[1]}" for each in found if each)


def is_whole(each: Mapping[str, Any]) -> bool:
    """Tell whether somebody names an image otherwise than as one that is being loaded (rule 5)."""
    return any(not name.endswith(NEW) for name in names(each))


def names(each: Mapping[str, Any]) -> list[str]:
    """Return the names of an image; of one that has none the digests by which it was pulled."""
    tags, pulled = (
        [str(name) for name in each.get(key) or () if not str(name).startswith("<none>")]
        for key in ("RepoTags", "RepoDigests")
    )
    return tags or pulled


def by_manifest(listed: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether this store calls images by their manifests."""
    return any(_is_manifest(each) for each in listed)


def volumes(listed: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the volumes that are whole (rule 2)."""
    known = list(listed)
    return frozenset(str(each["Name"]) for each in known if not _of(each)) - halves(known)


def halves(listed: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the volumes that have a mark beside them, also where they are not there themselves (rule 2)."""
    return frozenset(of for each in listed if (of := _of(each)))


def _of(volume: Mapping[str, Any]) -> str:
    return str((volume.get("Labels") or {}).get(OF) or "")


def address(said: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
    """Return an address of a container, the first of its networks' by name; empty if it has none.

    One on the host's own network has the host's. Networks that are `hidden` count only where there is no other.
    """
    networks = (said.get("NetworkSettings") or {}).get("Networks") or {}
    if (said.get("HostConfig") or {}).get("NetworkMode") == "host":
        return "127.0.0.1"
    for key in ("IPAddress", "GlobalIPv6Address"):
        for _, each in sorted(networks.items(), key=lambda item: (item[0] in hidden, item[0])):
            if each.get(key):
                return str(each[key])
    return ""


def on(said: Mapping[str, Any]) -> list[str]:
    """Return the names of the networks that a container is on, or was on when it ran."""
    return list(((said.get("NetworkSettings") or {}).get("Networks") or {}).keys())


def _on(said: Mapping[str, Any], networks: Mapping[str, str]) -> frozenset[str]:
    """Rule 4. Podman says a network's name where Docker says its id."""
    there = (said.get("NetworkSettings") or {}).get("Networks") or {}
    known = {name: str(each.get("NetworkID") or "") for name, each in there.items()}
    return frozenset(name for name, its in known.items() if name in networks and its in ("", name, networks[name]))


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
