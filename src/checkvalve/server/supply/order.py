# SPDX-License-Identifier: Apache-2.0
"""In which order do services start, and is there one?

Rules: 1. a service starts after those it depends on have started; 2. what depends on a oneshot starts when that has
ended as it must: nothing else would make sense of a migration, and only a oneshot ends; 3. healthy is waited for where
the file asks for it, of what can be healthy: a check or a probe says so, or the image's own check, which the file does
not show; 4. a circle has no order; 5. what a profile left out is waited for only where the file says `required: false`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from checkvalve.protocol import workload
from checkvalve.server.supply import keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

ENDED = "service_completed_successfully"
HEALTHY = "service_healthy"
STARTED = "service_started"
_LIST = "Write a list of service names."
_CONDITIONS = f"Write {STARTED}, {HEALTHY} or {ENDED}."


@dataclass(frozen=True, slots=True)
class Checked:
    """Of the services of a file: those that end, those that a check or probe finds healthy, and those that none can."""

    oneshots: Collection[str]
    checked: Collection[str]
    unchecked: Collection[str]  # their check is switched off, and they have no probe


def after(place: Place | None, services: Collection[str], out: Collection[str] = ()) -> tuple[str, ...]:
    """Return the services that start before this one, by name. `out` are those that a profile left out (rule 5)."""
    if place is None or not place.is_a(Kind.LIST, Kind.MAP, instead=_LIST):
        return ()
    found = set()
    for key, item in _written(place):
        if key in out:
            required = item.at("required") if item.node.kind is Kind.MAP else None
            if required is None or required.boolean() is not False:
                words = f"{brief(key)} is in a profile that is left out."
                item.refuse("reference", words, "Enable its profile with --profile, or write `required: false`.")
        elif key not in services:
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
        condition, required = item.at("condition"), item.at("required")
        if condition is None:
            item.refuse("missing", "The dependency does not say its condition.", _CONDITIONS)
        elif (said := condition.text()) not in (None, STARTED, HEALTHY, ENDED):
            condition.refuse("value", f"{brief(said or '') or 'Empty text'} is no condition.", _CONDITIONS)
        if required is not None:
            required.boolean()
    return list(place.entries())


def checked(services: Mapping[str, workload.Service]) -> Checked:
    """Return which of the services can be healthy."""
    off = workload.Check(test=("NONE",)).test
    said = {name: one.check.test != off for name, one in services.items() if one.check is not None}
    probed = {name for name, one in services.items() if one.probes}
    return Checked(
        oneshots={name for name, one in services.items() if one.kind == "oneshot"},
        checked=probed | {name for name, asks in said.items() if asks},
        unchecked={name for name, asks in said.items() if not asks} - probed,
    )


def healthy(place: Place | None, services: Collection[str]) -> tuple[str, ...]:
    """Return those of `services` that must be healthy before this one starts, by name."""
    return tuple(sorted(key for key, _ in _conditions(place, HEALTHY) if key in services))


def unseen(place: Place | None, checked: Checked) -> set[str]:
    """Return those awaited as healthy that only the image's own check can tell; refuse what cannot be (rule 3)."""
    found = set()
    for key, condition in _conditions(place, HEALTHY):
        if key in checked.oneshots:
            condition.refuse("value", f"{brief(key)} is a oneshot: it ends.", f"Write `condition: {ENDED}`.")
        elif key in checked.unchecked:
            words = f"Nothing says that {brief(key)} is healthy: its check is switched off."
            condition.refuse("value", words, "Give it a `healthcheck`, or `x-checkvalve.probes`.")
        elif key not in checked.checked:
            found.add(key)
    return found


def ends(place: Place | None, services: Collection[str], oneshots: Collection[str]) -> set[str]:
    """Return those whose end is waited for in so many words; refuse it of `services` that do not end (rule 2)."""
    said = set()
    for key, condition in _conditions(place, ENDED):
        said.add(key)
        if key in services and key not in oneshots:
            words = f"{brief(key)} does not end: it is no oneshot."
            condition.refuse("value", words, f"Write `condition: {STARTED}`, or make it `kind: oneshot`.")
    return said


def _conditions(place: Place | None, wanted: str) -> list[tuple[str, Place]]:
    """Return the names that have this condition, and where it stands."""
    if place is None or place.node.kind is not Kind.MAP:
        return []
    said = [(key, item.at("condition")) for key, item in place.entries() if item.node.kind is Kind.MAP]
    return [(key, at) for key, at in said if at is not None and at.node.text == wanted]


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
