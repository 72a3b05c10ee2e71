# SPDX-License-Identifier: Apache-2.0
"""Is something wrong with this device, and what is to be done? One sentence, then what follows from it.

Rules: 1. the worst that is known comes first, as `fleet.condition` has it; 2. a device that is well is looked at twice:
a container that is not well, and a trouble that it reports of itself, come before `healthy`; 3. `healthy` is said of
what the engine calls healthy, of each container, and of nothing else; 4. a container that ended is not well if its
release says that it is to keep running; where that is not known, it is not judged; 5. one that runs again and crashed
is not well until the device has seen none of it for a day; what else is not well with it is said beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from checkvalve.protocol.exchange import State, Status, Workload
from checkvalve.server.fleet.model import Condition, Device
from checkvalve.server.web import texts
from checkvalve.server.web.pages import crash_view, fleet_view, times
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View

ENDED = frozenset({"exited", "stopped"})
UP = frozenset({"running", "up"})
_WAITING = frozenset({State.WAITING_WINDOW, State.WAITING_PERMIT, State.WAITING_APPROVAL, State.HELD})


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a device beside its row. `runs`, `previous` and `wants` are what releases are called.

    `kinds` are the services of its active release by whether they are to keep running, as far as that is known.
    """

    device: Device
    status: Status | None
    condition: Condition
    runs: str
    previous: str
    wants: str
    kinds: Mapping[str, bool]


def say(view: View, known: Known) -> Data:
    """Return the headline with what to do."""
    name, shape = _which(known)
    values = _values(view, known)
    return {**_said(name, shape, values, known), "detail": _detail(view, known), "is": name}


def wrong(box: Workload, kinds: Mapping[str, bool]) -> str:
    """Return the shape of a container that is not well, or nothing (rules 4 and 5)."""
    if box.health == "unhealthy":
        return "bad"
    if box.state in ENDED:
        return "bad" if box.crashes or kinds.get(box.service, False) else ""
    return "" if box.state in UP and not box.crashes else "warn"


def _which(known: Known) -> tuple[str, str]:
    """Return the name of what is said, and its shape (rules 1, 2)."""
    device, how = known.device, known.condition
    match how:
        case Condition.WELL:
            return _well(known)
        case Condition.CHANGING:
            return device.state.value, fleet_view.ATTEMPTS[device.state]
        case Condition.FAILED:
            return device.state.value, fleet_view.ATTEMPTS[device.state]
        case _:
            return how.value, fleet_view.SHAPES[how]


def _well(known: Known) -> tuple[str, str]:
    status = known.status
    if status is None:
        return "empty", "unknown"
    if any(wrong(box, known.kinds) for box in status.workloads):
        return "wrong", "bad"
    if status.code:
        return "trouble", "warn"
    if status.observe:
        return ("observe" if status.active else "observe_none"), "info"
    if not status.active:
        return "idle", "done"
    if not status.workloads:
        return "unseen", "unknown"
    running = [box for box in status.workloads if box.state not in ENDED]
    healthy = bool(running) and all(box.health == "healthy" for box in running)
    return ("healthy" if healthy else "running"), "ok"  # rule 3


def _said(name: str, shape: str, values: Mapping[str, str], known: Known) -> Data:
    boxes = len(known.status.workloads) if known.status else 0
    said = texts.count(f"device.is_{name}", boxes, **values) if name in {"healthy", "running"} else ""
    following, why = _next(name, values, known)
    return {
        "sentence": said or texts.say(f"device.is_{name}", **values),
        "next_shape": shape,
        "next": following,
        "next_why": why,
    }


def _next(name: str, values: Mapping[str, str], known: Known) -> tuple[str, str]:
    if name in {"healthy", "running", "unseen"}:
        back = "device.next_well_back" if known.previous else "device.next_well_alone"
        return texts.say("device.next_well"), texts.say(back, **values)
    if name == "observe_none":
        name = "observe"
    if known.condition is Condition.CHANGING:
        waits = known.device.state in _WAITING
        return texts.say("device.next_waiting" if waits else "device.next_doing"), values["said"]
    return texts.say(f"device.next_{name}", **values), texts.say(f"device.next_{name}_why", **values)


def _values(view: View, known: Known) -> dict[str, str]:
    device, status = known.device, known.status
    bad = [box for box in status.workloads if wrong(box, known.kinds)] if status else []
    bad.sort(key=lambda box: -box.crashes)
    shut_out = known.condition in {Condition.QUARANTINED, Condition.RETIRED}
    reason = device.trust_reason if shut_out else status.reason if status else ""
    return {
        "name": plainly(device.name),
        "reason": plainly(reason) or texts.say("device.no_reason"),
        "said": plainly(reason),
        "runs": known.runs or texts.say("device.nothing"),
        "previous": known.previous,
        "wants": known.wants or texts.say("device.the_release"),
        "when": times.relative(device.seen_at or device.joined_at, view.now),
        "every": times.span(timedelta(seconds=device.interval)),
        "crashing": texts.count("device.crashing", device.crashing),
        "wrong": texts.count("device.wrong", len(bad)),
        "boxes": "; ".join(f"{plainly(box.service)}: {_how(view, device, box)}" for box in bad[:6]),
    }


def _how(view: View, device: Device, box: Workload) -> str:
    plain = box.health or box.state
    again = box.state in UP and box.health != "unhealthy"
    died = crash_view.crashed(box, device.offset, view.now)
    return died if died and again else ", ".join(filter(None, (plainly(plain), died)))


def _detail(view: View, known: Known) -> str:
    device, where = known.device, view.where(known.device.scope)
    if device.seen_at is None:
        return texts.say("device.detail_never", where=where)
    name = "device.detail" if fleet_view.is_heard(view, device) else "device.detail_silent"
    return texts.say(name, where=where, when=times.relative(device.seen_at, view.now))
