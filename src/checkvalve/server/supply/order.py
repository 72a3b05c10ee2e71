# SPDX-License-Identifier: Apache-2.0
"""In which order do services start, and is there one?

Rules: 1. a service starts after those it depends on have started; 2. what depends on a oneshot starts when that has
ended as it must: nothing else would make sense of a migration, and only a oneshot ends; 3. no other state is waited
for; 4. a circle has no order.
"""

from collections.abc import Collection, Mapping

from checkvalve.server.supply import keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

ENDED = "service_completed_successfully"
_LIST = "Write a list of service names."
_STARTED = "Write `condition: service_started`; let the program try again until the other side answers."


def after(place: Place | None, services: Collection[str]) -> tuple[str, ...]:
    """Return the services that start before this one, by name."""
    if place is None or not place.is_a(Kind.LIST, Kind.MAP, instead=_LIST):
        return ()
    found = set()
    for key, item in _written(place):
        if key not in services:
            item.refuse(
                "reference", f"There is no service {brief(key)}.", "Name a service of this file, or take it out."
            )
        else:
            found.add(key)
    return tuple(sorted(found))


def _written(place: Place) -> list[tuple[str, Place]]:
    if place.node.kind is Kind.LIST:
        return [(key, item) for item in place.items() if (key := item.text()) is not None]
    for _, item in place.entries():
        if not item.keys(keywords.DEPENDENCY):
            continue
        condition = item.at("condition")
        if condition is None:
            item.refuse("missing", "The dependency does not say its condition.", "Write `condition: service_started`.")
        elif (said := condition.text()) == "service_healthy":  # rule 3
            condition.refuse("unsupported", f"{said} cannot be waited for.", _STARTED)
        elif said not in (None, "service_started", ENDED):
            condition.refuse("value", f"{brief(said or '') or 'Empty text'} is no condition.", _STARTED)
    return list(place.entries())


def ends(place: Place | None, oneshots: Collection[str]) -> set[str]:
    """Return those whose end is waited for in so many words; refuse it of what does not end (rule 2)."""
    if place is None or place.node.kind is not Kind.MAP:
        return set()
    said = set()
    for key, item in place.entries():
        condition = item.at("condition") if item.node.kind is Kind.MAP else None
        if condition is None or condition.node.text != ENDED:
            continue
        said.add(key)
        if key not in oneshots:
            words = f"{brief(key)} does not end: it is no oneshot."
            condition.refuse("value", words, "Write `condition: service_started`, or make it `kind: oneshot`.")
    return said


def circle(waits: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the names of one circle, the first again at its end; nothing if there is none (rule 4)."""
    left = {name: {other for other in others if other in waits} for name, others in waits.items()}
    free = [name for name, others in left.items() if not others]
    behind: dict[str, list[str]] = {}
    for name, others in left.items():
        for other in others:
            behind.setdefault(other, []).append(name)
    while free:
        done = free.pop()
        del left[done]
        for name in behind.get(done, ()):
            left[name].discard(done)
            if not left[name]:
                free.append(name)
    if not left:
        return ()
    walked = [min(left)]
    while walked[-1] not in walked[:-1]:  # everyone left waits for somebody left
        walked.append(min(left[walked[-1]]))
    return tuple(walked[walked.index(walked[-1]) :])
