# SPDX-License-Identifier: Apache-2.0
"""Does this slot run as its manifest says, and has it done so for long enough (walk attempt, 13)?

A watch is a fold of looks; it is begun when a state is written, and judged as often as one likes. The gate's rules:

1. All services of the manifest are looked at by label, those that exited too; a missing one fails (`gate.missing`), and
   so does a container of the slot that the manifest does not name (`gate.foreign`).
2. A container runs the image that was asked for, by its id (`gate.image`): a tag that moved changes nothing unseen.
3. A oneshot is right when it has ended with its `exit`, or when it ran for this release before and is not run at each
   switch (`gate.oneshot`). Everything else must be running (`gate.exited`); `max_restarts` may be spent on exits, and
   what the engine restarted counts as well (`gate.restarts`).
4. What takes time has `start_grace` from the moment at which all run, anew from each restart: a health check that says
   unhealthy (`gate.unhealthy`, its service's own grace), probes that do not pass yet (`gate.probe`), all others
   (`gate.late`). The release's grace is the longest of its services'.
5. From the moment at which all is right, the soak runs, and one thing wrong in it fails: an exit or a restart too many,
   a service that was healthy and is not, one probe that does not pass, once. An exit that may be spent begins it anew.
6. A health check that is still `starting` holds up nothing, for its first answer may take longer than the grace; at the
   end of the soak it is a failure, once the grace is over too (`gate.starting`).
7. Last known good is judged without soak, without restarts counted and without its oneshots: it proved itself before.
   Whatever is wrong has its grace, and what is `starting` has the soak's time besides. Who was not probed is not wrong
   however late it is, after a long rest or an engine that was silent: it is probed first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from checkvalve.agent import findings
from checkvalve.agent.findings import Finding, Tally
from checkvalve.agent.steps import (
    Container,
    Create,
    DropImage,
    DropNetwork,
    DropVolume,
    Failure,
    Observed,
    Slot,
    Start,
    Step,
    Wrong,
)
from checkvalve.protocol.exchange import State
from checkvalve.protocol.receipt import Seen
from checkvalve.protocol.workload import Probe, Service

POLL = 2.0  # seconds between looks at most
SOONEST = 0.05

_NOTHING: Mapping[str, Tally] = MappingProxyType({})


@dataclass(frozen=True)
class Watch:
    """What looks at one slot have shown so far. Times are seconds of the clock that `now` is of.

    `tallies` are by container name, `probes` by `service#index` (when, and why it did not pass, "" if it did).
    """

    since: float
    looked: bool = False
    up: float | None = None  # since when all services have been started
    right: float | None = None  # since when everything is right: the soak runs
    found: tuple[Finding, ...] = ()  # what was not right at the last look
    tallies: Mapping[str, Tally] = field(default_factory=lambda: _NOTHING)
    probes: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    healthy: frozenset[str] = frozenset()  # services that the engine has called healthy
    dropped: frozenset[str] = frozenset()  # images, networks and volumes that the engine was asked to let go

    def tally(self, container: str) -> Tally:
        """Return what was done to a container since the watch began."""
        return self.tallies.get(container, Tally())


@dataclass(frozen=True, slots=True)
class Due:
    """A probe to run now; its result goes to `look` under `key`."""

    key: str  # `service#index`
    container: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class Waiting:
    """Look again after so many seconds; `why` is what it waits for."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Healthy:
    """All is right, for as long as it must be."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not right, and waiting would not help."""

    failure: Failure


def begin(now: float) -> Watch:
    """Return a watch that has seen nothing."""
    return Watch(since=now)


def noted(watch: Watch | None, state: State, now: float) -> Watch:
    """Return the watch from the moment on at which `state` was written: VERIFYING goes on with that of SWITCHING."""
    return watch if watch is not None and state is State.VERIFYING else begin(now)


def did(watch: Watch, observed: Observed, steps: Sequence[Step], now: float) -> Watch:
    """Fold in steps that were tried, whatever came of them; `observed` is what there was before them."""
    tallies = dict(watch.tallies)
    probes = dict(watch.probes)
    named = {each.name: each for each in observed.containers}
    for step in steps:
        match step:
            case Create(slot, service):
                name = slot.container(service)
                tallies[name] = replace(watch.tally(name), creates=watch.tally(name).creates + 1)
            case Start(name):
                before = named.get(name)
                tallies[name] = watch.tally(name).began(now, again=before is not None and before.started)
                if before is not None:  # what a probe said of the run before says nothing of this one
                    probes = {key: each for key, each in probes.items() if key.partition("#")[0] != before.service}
            case _:
                pass
    dropped = {step.key for step in steps if isinstance(step, DropImage)}
    dropped |= {step.name for step in steps if isinstance(step, DropNetwork | DropVolume)}
    return replace(watch, tallies=tallies, probes=probes, dropped=watch.dropped | dropped)


def look(
    watch: Watch,
    slot: Slot,
    observed: Observed,
    probes: Mapping[str, str],
    ran: frozenset[str],
    now: float,
) -> Watch:
    """Fold in what is seen of `slot` now; `probes` are results of what was due (key -> "" or why not)."""
    here = findings.own(slot, observed)
    tallies = dict(watch.tallies)
    for each in here.values():
        if each.started and each.state != "exited" and watch.tally(each.name).at is None:
            tallies[each.name] = replace(watch.tally(each.name), at=now)
    watch = replace(
        watch,
        tallies=tallies,
        probes={**watch.probes, **{key: (now, why) for key, why in probes.items()}},
        healthy=watch.healthy | {name for name, each in here.items() if each.health == "healthy"},
    )
    if watch.up is None and _all_up(watch, slot, here):
        watch = replace(watch, up=now)
    results = {key: why for key, (_, why) in watch.probes.items()}
    seen = findings.Looked(
        slot, observed, results, ran, watch.tallies, watch.healthy, _base(watch, slot), now, watch.right is not None
    )
    found = findings.all_of(seen)
    holding = [each for each in found if each.code != findings.STARTING]
    return replace(watch, looked=True, found=found, right=_right(watch, holding, now))


def probes_due(watch: Watch, slot: Slot, observed: Observed, now: float) -> tuple[Due, ...]:
    """Return the probes whose time has come: those of services that run, each every so often."""
    due = []
    for name, each in findings.own(slot, observed).items():
        if each.state != "running":
            continue
        for index, probe in enumerate(slot.manifest.services[name].probes):
            key = findings.key(name, index)
            last = watch.probes.get(key)
            if last is None or now >= last[0] + probe.every_ms / 1000:
                due.append(Due(key, each.name, probe))
    return tuple(due)


def judge(watch: Watch, slot: Slot, now: float, *, returning: bool = False) -> Waiting | Healthy | Failed:
    """Return what the last look makes of the slot; `returning` for last known good (rule 7)."""
    until = _base(watch, slot) + findings.grace(slot)
    if returning:
        return _returned(watch, slot, until, now)
    final = [each for each in watch.found if each.final]
    if final:
        return Failed(failure(final))
    if watch.right is None:
        return Failed(failure(watch.found)) if now >= until and watch.found else _wait(watch, slot, until, now)
    over = watch.right + slot.manifest.gate.soak_ms / 1000
    if now < over:
        return _wait(watch, slot, over, now)
    if watch.found:  # rule 6: they are `starting`
        return Failed(failure(watch.found)) if now >= until else _wait(watch, slot, until, now)
    return Healthy()


def longest(slot: Slot) -> float:
    """Return how many seconds the gate takes at most if nothing is restarted."""
    return findings.grace(slot) + slot.manifest.gate.soak_ms / 1000


def seen(slot: Slot, observed: Observed, watch: Watch | None) -> tuple[Seen, ...]:
    """Return what a receipt says of each service and of each container that should not be there, without logs."""
    watch = watch or begin(0.0)
    wrong = {each.service: each.sentence for each in watch.found}
    there = observed.of(slot.attempt)
    return tuple(
        _seen(watch, slot, name, there.get(name), wrong.get(name, ""))
        for name in sorted(slot.manifest.services.keys() | there.keys())
    )


def failure(found: Sequence[Finding]) -> Failure:
    """Return all that was found as one failure; its code is that of the first."""
    sentence = "; ".join(each.sentence for each in found)
    return Failure(
        found[0].code,
        sentence[:990] + ".",
        tuple(Wrong(each.service, each.code, each.sentence) for each in found),
    )


def _returned(watch: Watch, slot: Slot, until: float, now: float) -> Waiting | Healthy | Failed:
    services = slot.manifest.services
    found = [
        each
        for each in watch.found
        if each.code not in {findings.RESTARTS, findings.FOREIGN}
        and each.service in services
        and services[each.service].kind != "oneshot"
    ]
    if not watch.looked:
        return Waiting(SOONEST, "Nothing has been seen yet.")
    if not found:
        return Healthy()
    if any(each.unasked for each in found):
        return Waiting(SOONEST, failure(found).sentence)
    if all(each.code == findings.STARTING for each in found):
        until += slot.manifest.gate.soak_ms / 1000
    return Failed(failure(found)) if now >= until else _wait(watch, slot, until, now)


def _wait(watch: Watch, slot: Slot, until: float, now: float) -> Waiting:
    """Return for how long: until the next probe is due, the time is over, or a while has passed."""
    every = [probe.every_ms / 1000 for service in slot.manifest.services.values() for probe in service.probes]
    seconds = min([POLL, until - now, *every])
    why = failure(watch.found).sentence if watch.found else "All is right, and has to stay so for a while."
    return Waiting(max(seconds, SOONEST), why)


def _right(watch: Watch, holding: Sequence[Finding], now: float) -> float | None:
    """Return since when all has been right; what fails the soak leaves it as it was, for `judge` to say so."""
    if any(each.final for each in holding):
        return watch.right
    if holding:
        return None
    return now if watch.right is None else watch.right


def _all_up(watch: Watch, slot: Slot, here: Mapping[str, Container]) -> bool:
    def up(name: str) -> bool:
        each = here.get(name)
        return each is not None and (each.state == "running" or watch.tally(each.name).starts > 0)

    return all(up(name) for name, service in slot.manifest.services.items() if service.kind == "service")


def _base(watch: Watch, slot: Slot) -> float:
    """Return from when on the grace counts (rule 4)."""
    starts = [
        tally.at
        for name in slot.manifest.services
        if (tally := watch.tally(slot.container(name))).at is not None and tally.restarts
    ]
    return max([watch.since if watch.up is None else watch.up, *starts])


def _seen(watch: Watch, slot: Slot, name: str, each: Container | None, wrong: str) -> Seen:
    service: Service | None = slot.manifest.services.get(name)
    if each is None:
        return Seen(service=name, image=service.image if service else "", state="missing", wrong=wrong)
    probes = {
        findings.said(probe): watch.probes[key][1]
        for index, probe in enumerate(service.probes if service else ())
        if (key := findings.key(name, index)) in watch.probes
    }
    return Seen(
        service=name,
        image=each.image,
        state=each.state,
        health=each.health,
        exit=each.exit_code if each.started and each.state in {"exited", "dead"} else None,
        restarts=watch.tally(each.name).restarts + each.restarts,
        probes=probes,
        wrong=wrong,
    )
