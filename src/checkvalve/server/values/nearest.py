# SPDX-License-Identifier: Apache-2.0
"""Which of the values that are set fills a release on a device (walk values, 5)?

Rules: 1. what is set at the device comes before its area, that before the areas above, the site and the organisation;
2. at one place a value for this line of releases comes before one for all lines; 3. a nearer value for all lines comes
before a farther one for this line; 4. what was taken away at a place is as if it had never been set there; 5. values of
other lines, and of places that are not above the device, are nothing to it.
"""

from collections.abc import Iterable, Mapping, Sequence

from checkvalve.server.values.model import DEVICE, Entry, Kind


def places(scope: str, device: str = "") -> tuple[str, ...]:
    """Return where values for a device that stands in `scope` may be set, the nearest first (rule 1)."""
    parts = scope.strip("/").split("/")
    above = tuple("/" + "/".join(parts[:end]) + "/" for end in range(len(parts), 0, -1))
    return (DEVICE + device, *above) if device else above


def named(kind: Kind, name: str) -> str:
    """Return `kind/name`: what a value fills within one release."""
    return f"{kind.value}/{name}"


def winners(near: Sequence[str], line: str, at: Mapping[str, Iterable[Entry]]) -> dict[str, Entry]:
    """Return what fills a release of `line`: `kind/name` -> entry.

    `near` are places, the nearest first; `at` is what is set at places, of any line.
    """
    found: dict[str, Entry] = {}
    for place in reversed(near):
        here = [one for one in at.get(place, ()) if one.content is not None and one.key.line in ("", line)]
        for one in sorted(here, key=lambda one: one.key.line != ""):  # rule 2: the later one stays
            found[named(one.key.kind, one.key.name)] = one
    return found
