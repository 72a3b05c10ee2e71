# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases, for a person who is about to sign one of them?

Rules: 1. the order is the release's own: version, gate, services, networks, volumes, images, and in each by name;
2. what was added or taken out is one line, whatever it holds; 3. a duration is shown as people write it, an image by
its name and the first 12 digits of its identity; 4. equal manifests have no difference, and unequal ones have at least
one; where what is left out is all that differs, nothing is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from checkvalve import canonical
from checkvalve.protocol import workload
from checkvalve.server.supply import durations
from checkvalve.server.supply.composed import Difference
from checkvalve.server.supply.sentences import brief, joined

LONGEST = 400  # characters of one side
_MILLISECONDS = "_ms"
_IDENTITY = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_KEYED = {"mounts": "target", "networks": "network"}  # lists that are told apart by a field, not by their place


def between(before: workload.Manifest | None, after: workload.Manifest) -> list[Difference]:
    """Return what differs, in reading order (rule 1); without `before`, what is there."""
    old, new = _plain(before) if before else {}, _plain(after)
    found = [
        *_values("name", old.get("name"), new["name"]),
        *_values("version", old.get("version"), new["version"]),
        *_fields("gate", _part(old, "gate"), _part(new, "gate")),
    ]
    for kind in ("services", "networks", "volumes"):
        found += _parts(kind, _part(old, kind), _part(new, kind))
    same = _part(old, "images").keys() & _part(new, "images").keys()
    for key in sorted(same):  # another image is a line of its service; this is one that came another way
        found += _fields(
            joined("images", key), cast("Plain", _part(old, "images")[key]), cast("Plain", _part(new, "images")[key])
        )
    return found


Plain = Mapping[str, object]


def _plain(manifest: workload.Manifest) -> Plain:
    """Return the manifest with each service's image in words (rule 3)."""
    plain = cast("dict[str, object]", msgspec.to_builtins(manifest))
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
            yield Difference(path, _named(old.get(name)), _named(new.get(name)))
        else:
            yield from _fields(path, cast("Plain", old[name]), cast("Plain", new[name]))


def _named(part: object) -> str:
    """Return a service, network or volume in a few words."""
    match part:
        case None:
            return ""
        case {"image": str(image), "kind": str(kind)}:
            return f"{kind} of {_shown('image', image)}"
        case {"policy": str(policy)}:
            return f"volume ({policy})"
        case _:
            return "internal network" if part == {"internal": True} else "network"


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
    if old != new:
        yield _line(path, path, old, new)


def _shown(key: str, value: object) -> str:
    """Return a value as one line."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() if key.endswith(_MILLISECONDS):
            return durations.shown(value)
        case str() if key == "image":
            return brief(_IDENTITY.sub(r"\1", value), LONGEST)
        case int() | str():
            return brief(str(value), LONGEST)
        case _:
            return brief(json.dumps(_worded(value), ensure_ascii=False), LONGEST)


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
