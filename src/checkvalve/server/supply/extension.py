# SPDX-License-Identifier: Apache-2.0
"""What does `x-checkvalve` say of a service, and of the release?

Rules: 1. `exit`, `each_switch` and `rerun_on_rollback` are about what runs to its end, and refused elsewhere; 2. what
runs to its end restarts never or on failure, and has no probes: its exit code says it; 3. the times of the gate have
bounds: a soak is between a second and a day.
"""

import re
from dataclasses import dataclass
from typing import Literal

from checkvalve.protocol import workload
from checkvalve.server.supply import durations, health, keywords
from checkvalve.server.supply.place import Place

LABEL_FORM = "Use at most 63 letters, digits, `.`, `_`, `+` and `-`, the first and the last a letter or digit."


@dataclass(frozen=True, slots=True)
class Running:
    """How a service runs."""

    kind: Literal["service", "oneshot"] = "service"
    exit: int = 0
    each_switch: bool = False
    rerun_on_rollback: bool = False
    probes: tuple[workload.Probe, ...] = ()
    start_grace_ms: int | None = None


def running(place: Place | None) -> Running:
    """Return what the extension of a service says."""
    if place is None or not place.keys(keywords.X_CONTAINER):
        return Running()
    kind, ends, grace = place.at("kind"), place.at("exit"), place.at("start_grace")
    oneshot = kind is not None and kind.choice(("service", "oneshot")) == "oneshot"
    probes = health.probes(place.at("probes"))
    if oneshot and (at := place.at("probes")) is not None:  # rule 2
        at.refuse("value", "What runs to its end has no probes.", "Take them out; `exit` says how it must end.")
    for key in ("exit", "each_switch", "rerun_on_rollback"):
        if not oneshot and (at := place.at(key)) is not None:  # rule 1
            at.refuse("value", f"`{key}` is about what runs to its end.", "Write `kind: oneshot`, or take it out.")
    return Running(
        kind="oneshot" if oneshot else "service",
        exit=(ends.whole(0, 255) if ends else None) or 0,
        each_switch=yes(place.at("each_switch")),
        rerun_on_rollback=yes(place.at("rerun_on_rollback")),
        probes=probes,
        start_grace_ms=grace.duration(0, durations.DAY) if grace else None,
    )


def yes(place: Place | None) -> bool:
    """Return what a switch says; one that is not there, or wrong, is off."""
    return bool(place.boolean()) if place else False


def gate(place: Place | None) -> workload.Gate:
    """Return what the extension of the release says of its gate."""
    plain = workload.Gate()
    if place is None:
        return plain
    soak, grace, restarts = place.at("soak"), place.at("start_grace"), place.at("max_restarts")
    soaks = soak.duration(durations.SECOND, durations.DAY) if soak else None  # rule 3
    starts = grace.duration(0, durations.DAY) if grace else None
    again = restarts.whole(0, 100) if restarts else None
    return workload.Gate(
        soak_ms=plain.soak_ms if soaks is None else soaks,
        start_grace_ms=plain.start_grace_ms if starts is None else starts,
        max_restarts=plain.max_restarts if again is None else again,
    )


def version(place: Place | None) -> str | None:
    """Return the version that the file gives the release."""
    if place is None:
        return None
    text = place.word(instead="Put it in quotes: '2.4.0'.")
    if text is not None and not re.match(workload.LABEL, text):
        place.refuse("version", "This is no version.", LABEL_FORM)
    return text
