# SPDX-License-Identifier: Apache-2.0
"""Which services of a file does the release have?

Rules: 1. as in compose, a service with `profiles` is left out unless one of them is enabled; who was left out is said;
2. what is left out is not looked at, and what depends on it is told (`order`); 3. a profile that is enabled and stands
nowhere is a slip of the hand, and refused.
"""

import re
from collections.abc import Collection
from dataclasses import replace

from checkvalve.server.supply.composed import Findings, Problem
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief, nearest

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_FORM = "Use letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first."


def enabled(services: Place, profiles: Collection[str]) -> tuple[Place, frozenset[str]]:
    """Return the services of the release, and the names of those that are left out."""
    said = {
        key: _said(place.at("profiles")) if place.node.kind is Kind.MAP else () for key, place in services.entries()
    }
    _meant(services.found, profiles, {one for each in said.values() for one in each})
    out = frozenset(key for key, each in said.items() if each and not set(each) & set(profiles))
    if not out:
        return services, out
    services.found.note(f"Left out, for their profiles are not enabled: {brief(', '.join(sorted(out)), 300)}.")
    left = {key: entry for key, entry in services.node.entries.items() if key not in out}
    return replace(services, node=replace(services.node, entries=left)), out


def _said(place: Place | None) -> tuple[str, ...]:
    if place is None:
        return ()
    return tuple(place.each(lambda item: item.matching(_PROFILE, "name of a profile", _FORM)) or ())


def _meant(found: Findings, profiles: Collection[str], there: Collection[str]) -> None:
    """Rule 3."""
    for one in sorted(set(profiles) - set(there)):
        words = f"No service has the profile {brief(one) or '(empty)'}."
        instead = nearest(one, there) or "Enable one that stands in `profiles` of a service."
        found.problems.append(Problem(1, "profiles", "compose.reference", words, instead))
