# SPDX-License-Identifier: Apache-2.0
"""Which services of the committed release have died since, how often, and what is to be said of it now?

A fold of looks at the active slot, kept in memory: after a start of the agent it begins with what it sees. Rules: 1. a
service that the engine has restarted has crashed, as often as the engine counts; 2. one that has ended and is not run
again by a policy that would have done so was stopped: by hand, or with the engine. Where no policy would have, the
signals of a stop say the same; else it has exited, and crashed if not with 0; 3. one killed for want of memory has
crashed whatever else is true; 4. one that was healthy and is not any more is told, and has not crashed; 5. what
happens first is told at once. What follows is counted, and told after a minute, then after twice as long each time, at
most after an hour, until an hour was quiet: a loop must fill neither the journal nor the line; 6. a day without a crash
ends the count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from checkvalve.agent import findings
from checkvalve.agent.steps import Container, Observed, Slot

DAY = 86_400.0  # seconds
SOONEST, SELDOM = 60.0, 3_600.0  # seconds between two notes on one service

Kind = Literal["exited", "restarted", "stopped", "unhealthy"]
_UP = frozenset({"running", "restarting", "paused"})
_DOWN = frozenset({"exited", "dead"})
_STOPS = frozenset({130, 137, 143})  # SIGINT, SIGKILL, SIGTERM
_SIGNALS = {132: "illegal instruction", 134: "aborted", 135: "bus error", 136: "bad arithmetic", 137: "killed"}
_SIGNALS |= {139: "segmentation fault", 143: "terminated"}


@dataclass(frozen=True, slots=True)
class Died:
    """What became of one service: `crashes` within a day of each other, `since` is the first (device's Unix ms).

    `exit` is the newest code that was seen. `untold` crashes or events wait to be told of since `first`; `told` is when
    that was done last, and `gap` how long it has to be until the next time, in seconds.
    """

    crashes: int = 0
    since: int = 0
    at: float = 0.0
    exit: int | None = None
    oom: bool = False
    kind: Kind | None = None  # the newest of those that wait to be told
    untold: int = 0
    first: int = 0
    told: float | None = None
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Crashes:
    """What was seen last of the slot's services, and what became of them."""

    attempt: str = ""
    seen: Mapping[str, Container] = field(default_factory=dict)
    died: Mapping[str, Died] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be noted: a code (`service.exited`, …), a sentence, and facts."""

    service: str
    code: str
    sentence: str
    facts: Mapping[str, str | int]


def look(before: Crashes, slot: Slot, observed: Observed, now: float, wall: int) -> Crashes:
    """Return what is known after a look; `now` is seconds of the clock that never jumps, `wall` Unix ms."""
    services = slot.manifest.services
    here = {name: each for name, each in findings.own(slot, observed).items() if services[name].kind == "service"}
    if before.attempt != slot.attempt:
        return Crashes(slot.attempt, here)
    died = {name: each for name, each in before.died.items() if not _over(each, now)}
    for name, each in here.items():
        last = before.seen.get(name)
        if last is None or last.id != each.id:
            continue
        if (happened := _happened(last, each)) is not None:
            kind, count, crashed = happened
            died[name] = _counted(died.get(name, Died()), each, kind, count if crashed else 0, now, wall)
    return Crashes(slot.attempt, {**before.seen, **here}, died)


def due(crashes: Crashes, now: float) -> tuple[Report, ...]:
    """Return what is to be told now (rule 5)."""
    return tuple(_report(name, each) for name, each in sorted(crashes.died.items()) if _due(each, now))


def told(crashes: Crashes, service: str, now: float) -> Crashes:
    """Return what is known once a service's report was noted."""
    each = crashes.died[service]
    gap = min(each.gap * 2, SELDOM) if each.gap else SOONEST
    noted = replace(each, kind=None, untold=0, told=now, gap=gap)
    return replace(crashes, died={**crashes.died, service: noted})


def _happened(last: Container, each: Container) -> tuple[Kind, int, bool] | None:
    """Return what happened between two looks, how often, and whether it was a crash (rules 1 to 4)."""
    more = each.restarts - last.restarts if each.restarts >= last.restarts else each.restarts
    if more > 0:
        return "restarted", more, True
    if last.state in _UP and each.state in _DOWN:
        if _stopped(each):
            return "stopped", 1, False
        return "exited", 1, each.exit_code != 0 or each.oom
    if each.health == "unhealthy" and last.health == "healthy":
        return "unhealthy", 1, False
    return None


def _stopped(each: Container) -> bool:
    if each.oom:
        return False
    again = each.policy in {"always", "unless-stopped"} or (each.policy == "on-failure" and each.exit_code != 0)
    return again or each.exit_code in _STOPS


def _counted(died: Died, each: Container, kind: Kind, crashes: int, now: float, wall: int) -> Died:
    ended = kind != "unhealthy"
    code = each.exit_code if each.state in {"exited", "dead", "restarting"} else each.last_exit
    return replace(
        died,
        crashes=died.crashes + crashes,
        since=(died.since or wall) if crashes else died.since,
        at=now,
        exit=died.exit if code is None or not ended else code,
        oom=each.oom if ended else died.oom,
        kind=kind,
        untold=died.untold + max(crashes, 1),
        first=died.first if died.untold else wall,
        gap=died.gap if now - died.at <= SELDOM else 0.0,
    )


def _over(died: Died, now: float) -> bool:
    return not died.untold and now - died.at > DAY


def _due(died: Died, now: float) -> bool:
    return died.kind is not None and (died.told is None or now - died.told >= died.gap)


def _report(name: str, died: Died) -> Report:
    kind = died.kind or "exited"
    facts: dict[str, str | int] = {"service": name, "restarts": died.untold, "since": died.first}
    if died.crashes:
        facts["crashes"] = died.crashes
    if died.exit is not None and kind != "unhealthy":
        facts["exit"] = died.exit
    if died.oom:
        facts["oom"] = 1
    return Report(name, f"service.{kind}", _sentence(name, kind, died), facts)


def _sentence(name: str, kind: Kind, died: Died) -> str:
    match kind:
        case "unhealthy":
            return f"{name} runs, and its health check fails since."
        case "stopped":
            return f"{name} was stopped, by hand or with the engine{_how(died)}."
        case "exited":
            return f"{name} has ended by itself{_how(died)}, and nothing starts it again."
        case _:
            times = "" if died.untold == 1 else f" {died.untold} times"
            how = _how(died).replace(", ", ", last ", 1) if times else _how(died)
            return f"{name} crashed{times} and was started again{how}."


def _how(died: Died) -> str:
    if died.oom:
        return ", killed because memory ran out"
    if died.exit is None:
        return ""
    name = _SIGNALS.get(died.exit)
    return f", with code {died.exit}" + (f" ({name})" if name else "")
