# SPDX-License-Identifier: Apache-2.0
"""Where does a service keep its data?

Rules: 1. data lies in volumes that the release names, so that a device knows what to keep and what to snapshot: a path
of the host and a volume without a name are refused; 2. a path in the container is absolute, has no `..`, and is the
target of one thing only; 3. the order in the file means nothing, so mounts are kept in the order of their targets.
"""

import re
from collections.abc import Collection

from checkvalve.protocol import workload
from checkvalve.server.supply import keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

_NAMED = "Declare a volume below the top-level `volumes`, and mount it by name: `data:/var/lib/app`."
_BIND = f"A release has no files of the host. {_NAMED}"
_PATH = re.compile(r"/[^\x00-\x1f\x7f:]+\Z")
_ABSOLUTE = "Write an absolute path in the container, without `..` and without a colon."


def volumes(place: Place | None) -> dict[str, workload.Volume]:
    """Return the volumes that the release declares."""
    if place is None or not place.is_a(Kind.MAP, instead="Write the name of each volume, and a colon."):
        return {}
    return {key: _volume(below) for key, below in place.entries() if named(below, key)}


def named(place: Place, key: str) -> bool:
    """Tell whether `key` may be the name of a service, volume or network."""
    if re.match(workload.NAME, key):
        return True
    place.refuse(
        "name",
        f"{brief(key) or 'Empty text'} is no name here.",
        "Use lower-case letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first and last.",
    )
    return False


def _volume(place: Place) -> workload.Volume:
    if place.empty or not place.keys(keywords.VOLUME):
        return workload.Volume()
    extension = place.at("x-checkvalve")
    policy = extension.at("policy") if extension and extension.keys(keywords.X_VOLUME) else None
    snapshot = policy is not None and policy.choice(("keep", "snapshot")) == "snapshot"
    return workload.Volume(policy="snapshot" if snapshot else "keep")


def mounts(place: Place | None, declared: Collection[str]) -> tuple[workload.Mount, ...]:
    """Return what a service mounts."""
    if place is None or not place.is_a(Kind.LIST, instead="Write a list: `- data:/var/lib/app`."):
        return ()
    found: dict[str, workload.Mount] = {}
    for item in place.items():
        mount = _long(item) if item.node.kind is Kind.MAP else _short(item)
        if mount is None:
            continue
        if mount.volume not in declared:
            item.refuse(
                "reference",
                f"No volume {brief(mount.volume)} is declared.",
                f"Add `{brief(mount.volume)}:` below `volumes`.",
            )
        elif mount.target in found:  # rule 2
            item.refuse("value", f"Two things are mounted at {brief(mount.target)}.", "Keep one of them.")
        else:
            found[mount.target] = mount
    return tuple(found[target] for target in sorted(found))


def temporary(place: Place | None, taken: Collection[str]) -> tuple[str, ...]:
    """Return the paths of a service that lie in memory; `taken` are targets of its mounts."""
    if place is None or not place.is_a(Kind.LIST, Kind.TEXT, instead="Write a path, or a list of paths."):
        return ()
    found: set[str] = set()
    for item in place.items() if place.node.kind is Kind.LIST else (place,):
        text = item.text()
        target = _target(item, text) if text is not None else None
        if target is None:
            continue
        if target in found or target in taken:
            item.refuse("value", f"Two things are mounted at {brief(target)}.", "Keep one of them.")
        found.add(target)
    return tuple(sorted(found))


def _short(item: Place) -> workload.Mount | None:
    text = item.text(instead=_NAMED)
    if text is None:
        return None
    source, *rest = text.split(":")
    if source.startswith((".", "/", "~")) or "\\" in text:
        if rest or not source.startswith("/"):
            item.refuse("unsupported", f"{brief(source)} is a path of the host.", _BIND)  # rule 1
        else:
            item.refuse("unsupported", "This volume has no name.", _NAMED)
        return None
    if not 1 <= len(rest) <= 2 or not source:
        item.refuse("value", f"{brief(text) or 'Empty text'} is no volume and path.", _NAMED)
        return None
    if len(rest) == 2 and rest[1] not in ("ro", "rw"):
        item.refuse("unsupported", f"A mount cannot say {brief(rest[1])}.", "Write `ro`, `rw`, or nothing.")
        return None
    target = _target(item, rest[0])
    return workload.Mount(volume=source, target=target, read_only=rest[1:] == ["ro"]) if target else None


def _long(item: Place) -> workload.Mount | None:
    if not item.keys(keywords.MOUNT):
        return None
    kind = item.at("type")
    if kind is None:
        item.refuse("missing", "The mount does not say what it is.", "Write `type: volume`.")
        return None
    match kind.text():
        case None:
            return None
        case "volume":
            pass
        case "tmpfs":
            kind.refuse("unsupported", "A tmpfs stands elsewhere.", "Write the path into `tmpfs` of the service.")
            return None
        case other:
            kind.refuse("unsupported", f"A mount of type {brief(other)} is not taken.", _BIND)
            return None
    source, target, only = item.at("source"), item.at("target"), item.at("read_only")
    if source is None:
        item.refuse("unsupported", "This volume has no name.", _NAMED)
    if target is None:
        item.refuse("missing", "The mount has no target.", "Write the path in the container as `target`.")
    volume, path = source.text() if source else None, target.text() if target else None
    path = _target(target, path) if target and path is not None else None
    read_only = only.boolean() if only else False
    return workload.Mount(volume=volume, target=path, read_only=read_only or False) if volume and path else None


def _target(place: Place, text: str) -> str | None:
    if _PATH.match(text) is None or ".." in text.split("/") or not text.strip("/"):
        place.refuse("value", f"{brief(text) or 'Empty text'} is no path to mount at.", _ABSOLUTE)
        return None
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
