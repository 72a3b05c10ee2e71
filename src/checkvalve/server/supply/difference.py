# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases, for a person who is about to sign one of them?

Rules: 1. the order is: version, what it allows, gate, what values fill, services, networks, volumes, images, and in
each by name; 2. what was added or taken out is one line, whatever it holds; 3. a duration is shown as people write it,
an image by its name and the first 12 digits of its identity, a size in its unit, a right as compose writes it; 4. equal
manifests have no difference, and unequal ones have at least one; where what is left out is all that differs, nothing is
left out; 5. a field that says nothing on either side is no line, and texts of two versions are compared as what they
mean.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import msgspec

from checkvalve import canonical
from checkvalve.protocol import filling, workload
from checkvalve.server.supply import durations, sizes
from checkvalve.server.supply.composed import Difference
from checkvalve.server.supply.sentences import brief, joined

LONGEST = 400  # characters of one side
_MILLISECONDS = "_ms"
_IDENTITY = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_KEYED = {  # lists that are told apart by a field, not by their place
    "mounts": "target",
    "networks": "network",
    "binds": "target",
    "devices": "target",
    "files": "target",
    "secrets": "target",
}
_NAMES = ("allow", "host_paths", "cap_add", "cap_drop", "group_add", "after", "healthy_first")
_LIMITS: Mapping[str, Callable[[int], str]] = {
    **dict.fromkeys(("memory", "reserved", "shm", "size"), sizes.shown),
    "cpus": lambda thousandths: f"{thousandths / 1_000:g}",
    "pids": str,
}


def between(before: workload.Manifest | None, after: workload.Manifest) -> list[Difference]:
    """Return what differs, in reading order (rule 1); without `before`, what is there."""
    mixed = before is not None and before.v != after.v
    old, new = _plain(before, lift=mixed) if before else {}, _plain(after, lift=mixed)
    found = [
        line for key in ("name", "version", "allow", "host_paths") for line in _values(key, old.get(key), new[key])
    ]
    found += _fields("gate", _part(old, "gate"), _part(new, "gate"))
    for kind in ("variables", "files", "secrets"):
        found += _parts(kind, _keyed(old.get(kind), "name"), _keyed(new[kind], "name"))
    for kind in ("services", "networks", "volumes"):
        found += _parts(kind, _part(old, kind), _part(new, kind))
    same = _part(old, "images").keys() & _part(new, "images").keys()
    for key in sorted(same):  # another image is a line of its service; this is one that came another way
        found += _fields(
            joined("images", key), cast("Plain", _part(old, "images")[key]), cast("Plain", _part(new, "images")[key])
        )
    if not found and before is not None:  # rule 4
        found += _values("v", before.v, after.v)
    return found


Plain = Mapping[str, object]


def _plain(manifest: workload.Manifest, *, lift: bool) -> Plain:
    """Return the manifest with each service's image in words (rule 3); with `lift` as one of version 2 (rule 5)."""
    plain = cast("dict[str, object]", msgspec.to_builtins(filling.lifted(manifest) if lift else manifest))
    for name, service in manifest.services.items():
        image = manifest.images[service.image]
        cast("dict[str, dict[str, object]]", plain["services"])[name]["image"] = _image(image)
    return plain


def _image(image: workload.Image) -> str:
    return f"{image.name} ({image.config})"


def _part(plain: Plain, key: str) -> Plain:
    return cast("Plain", plain.get(key, {}))


def _parts(kind: str, old: Plain, new: Plain) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        path = joined(kind, name)
        if name not in old or name not in new:  # rule 2
            yield Difference(path, *(_named(kind, one.get(name)) for one in (old, new)))
        else:
            yield from _fields(path, cast("Plain", old[name]), cast("Plain", new[name]))


def _named(kind: str, part: object) -> str:
    """Return a service, network, volume, variable, file or secret in a few words."""
    match kind, part:
        case _, None:
            return ""
        case "services", {"image": str(image), "kind": str(sort)}:
            return f"{sort} of {_shown('image', image)}"
        case "volumes", {"policy": str(policy)}:
            return f"volume ({policy})"
        case "variables", {"kind": str(sort), "default": default}:
            return f"{sort}, {_unset(default)}"
        case "files", {"default": default}:
            return f"file, {'must be set' if default is None else 'has a default'}"
        case "secrets", _:
            return "secret, must be set"
        case "networks", {"driver": str(driver), "internal": bool(internal), "parent": str(on), "subnet": str(subnet)}:
            words = ("internal" if internal else "", "" if driver == "bridge" else driver, "network", subnet)
            return brief(" ".join(filter(None, (*words, on and f"on {on}"))), LONGEST)
        case _:
            return _shown(kind, part)


def _unset(default: object) -> str:
    return "must be set" if default is None else f"{brief(str(default)) or 'empty'} unless it is set"


def _fields(path: str, old: Plain, new: Plain) -> Iterator[Difference]:
    for key in dict.fromkeys([*new, *old]):
        one, other = old.get(key), new.get(key)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _mapped(joined(path, key), one, other)
        elif key in _KEYED:
            yield from _mapped(joined(path, key), _keyed(one, _KEYED[key]), _keyed(other, _KEYED[key]))
        else:
            name = key.removesuffix(_MILLISECONDS)
            yield _line(joined(path, name), key, one, other)


def _line(path: str, key: str, one: object, other: object) -> Difference:
    """Return one line, in full if its sides look alike (rule 4)."""
    sides = (_shown(key, one), _shown(key, other))
    return Difference(path, *sides) if sides[0] != sides[1] else Difference(path, json.dumps(one), json.dumps(other))


def _keyed(parts: object, key: str) -> Plain:
    return {str(part[key]): part for part in cast("list[dict[str, object]]", parts or ())}


def _mapped(path: str, old: Plain, new: Plain) -> Iterator[Difference]:
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            name = key.removesuffix(_MILLISECONDS)
            yield _line(joined(path, name), key, old.get(key), new.get(key))


def _values(path: str, old: object, new: object) -> Iterator[Difference]:
    if old != new and (old or new):  # rule 5
        yield _line(path, path, old, new)


def _shown(key: str, value: object) -> str:
    """Return a value as one line (rule 3)."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() if key.endswith(_MILLISECONDS):
            return durations.shown(value)
        case int() if key in _LIMITS:
            return _LIMITS[key](value) if value else ""
        case str() if key == "image":
            return brief(_IDENTITY.sub(r"\1", value), LONGEST)
        case int() | str():
            return brief(str(value), LONGEST)
        case list() | tuple() if key in _NAMES:
            return brief(", ".join(map(str, value)), LONGEST)
        case _:
            return brief(_reached(value) or json.dumps(_worded(value), ensure_ascii=False), LONGEST)


def _reached(value: object) -> str:
    """Return what a service has of the device, or a file in it, in a few words; its path in the container is told."""
    match value:
        case {"source": str(source), "target": str(), "rights": str(rights)}:
            return f"{source} ({rights})"
        case {"source": str(source), "target": str(), "read_only": bool(only)}:
            return f"{source} (read only)" if only else source
        case {"name": str(name), "target": str(), "mode": int(mode), "uid": int(uid), "gid": int(gid)}:
            return f"{name} ({mode:04o}, {uid}:{gid})"
        case {"soft": int(soft), "hard": int(hard)}:
            return f"{soft} to {hard}"
        case {"network": str(name), "aliases": aliases, "ipv4": str(four), "ipv6": str(six), "mac": str(mac)}:
            also = f"also as {', '.join(aliases)}" if aliases else ""
            return " ".join(filter(None, (name, four, six, mac, also)))
        case _:
            return ""


def _worded(value: object) -> canonical.Json:
    """Return a value with its durations in words."""
    match value:
        case Mapping():
            return {
                key.removesuffix(_MILLISECONDS): durations.shown(part)
                if key.endswith(_MILLISECONDS) and isinstance(part, int)
                else _worded(part)
                for key, part in value.items()
            }
        case list() | tuple():
            return [_worded(part) for part in value]
        case _:
            return cast("canonical.Json", value)
