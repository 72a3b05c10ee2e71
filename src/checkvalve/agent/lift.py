# SPDX-License-Identifier: Apache-2.0
"""What does a committed slot lack, and what is the next step for each of its services?

Used for the active slot, day by day and on the way back to it. Rules: 1. each service goes on by itself as far as it
can, so that what cannot be mended holds up nothing else; 2. a service starts after those it depends on that are on
their way; one whose way has just failed holds up nobody, nor does one that should be healthy first and is not in time
(`readiness`), which is told then; 3. day by day, what has exited runs again only if its policy says so, later and
later; on the way back everything is started, once; 4. a policy is set once the container runs: one that does not run
and has another policy than declared was put down by a switch, and has to run; 5. a oneshot is not run again: a
committed slot's have ended as they must. On the way back those that ask for it are (`rerun_on_rollback`); 6. a
container that is broken, runs another image, or has lost a network is made anew, once; with `rebuild` everything that
has to be started is: the engine's own files may be damaged; 7. an image that the engine has lost is loaded from the
device's own blobs, and fetched again only if those are lost too; 8. a network that cannot be while another one is
(`exclusive`) is made once that has gone: those who ask have stopped by then what does not belong to the slot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from checkvalve.agent import exclusive, findings, health, readiness
from checkvalve.agent.readiness import Pending
from checkvalve.agent.situation import GOING, RUNS, Situation, blobs, pause
from checkvalve.agent.steps import (
    Container,
    Create,
    DropNetwork,
    Lay,
    Load,
    MakeNetwork,
    MakeVolume,
    Observed,
    Policy,
    Remove,
    Slot,
    Start,
    Step,
    Stop,
    Wrong,
    policy_of,
)
from checkvalve.protocol.workload import Service

LONG_RUN = 600.0  # seconds after which an exit counts as the first one again


@dataclass(frozen=True)
class Lift:
    """`steps` may be taken at once; `wait` is seconds until there may be more; `wrong` is what they will not mend.

    With `probing` it waits for what only probes can tell.
    """

    steps: tuple[Step, ...] = ()
    fetch: Mapping[str, int] = field(default_factory=dict)  # blobs without which an image cannot be had
    wait: float | None = None
    wrong: tuple[Wrong, ...] = ()
    probing: bool = False


@dataclass(frozen=True)
class _Way:
    """A service's own next step; `start` waits for those it depends on, and `busy` makes its dependents wait."""

    steps: tuple[Step, ...] = ()
    start: Step | None = None
    fetch: Mapping[str, int] = field(default_factory=dict)
    wait: float | None = None
    wrong: Wrong | None = None
    busy: bool = False


def lift(situation: Situation, slot: Slot, *, returning: bool = False, rebuild: bool = False) -> Lift:
    """Return what brings the slot closer to what its manifest says; an empty one if nothing is lacking."""
    here = findings.own(slot, situation.observed)
    observed = situation.observed
    steps: list[Step] = [*cleared(slot, observed), *networks(slot, observed)]
    steps += [*volumes(slot, observed), *laid(slot, observed)]
    fetch: dict[str, int] = {}
    waits: list[float] = []
    wrong: list[Wrong] = []
    busy: set[str] = set()
    vain = situation.vain
    ill = _ill(situation, slot)
    young = {name: each for name, each in ill.items() if each.left > 0}
    probing = False
    for name in findings.order(slot):
        way = _way(_Case(situation, slot, name, here.get(name), returning, rebuild))
        service = slot.manifest.services[name]
        held_up = way.start is not None and any(each in busy for each in service.after)
        if (
            way.start is not None
            and not held_up
            and (first := [young[each] for each in service.healthy_first if each in young])
        ):
            held_up = probing = True
            waits += [min(health.POLL, *(each.left for each in first))]
        steps += way.steps if way.start is None or held_up else (*way.steps, way.start)
        fetch |= way.fetch
        waits += [] if way.wait is None else [way.wait]
        wrong += [] if way.wrong is None else [way.wrong]
        own = [each for each in (*way.steps, way.start) if each is not None and not isinstance(each, Policy)]
        if way.busy or (own and not all(each in vain for each in own)):
            busy.add(name)
    if not returning:
        wrong += [_told(each) for each in ill.values() if each.left <= 0]
    once = [each for index, each in enumerate(steps) if each not in steps[:index]]
    return Lift(tuple(once), fetch, min(waits, default=None), tuple(wrong), probing)


def networks(slot: Slot, observed: Observed) -> Iterator[Step]:
    """Yield a step for each network that the slot lacks and can have now."""
    waiting = exclusive.in_the_way(slot, observed)
    for name, network in slot.manifest.networks.items():
        if slot.network(name) not in observed.networks and slot.network(name) not in waiting:
            yield MakeNetwork(slot.network(name), network.internal, network)


def cleared(slot: Slot, observed: Observed) -> Iterator[Step]:
    """Yield a step for each network that has to go before the slot's own can be made (rule 8)."""
    for name in sorted(frozenset[str]().union(*exclusive.in_the_way(slot, observed).values())):
        yield DropNetwork(name)


def laid(slot: Slot, observed: Observed) -> Iterator[Step]:
    """Yield a step if the slot's files and secrets are not in place: a start of the device empties its memory."""
    if slot.places and slot.attempt not in observed.laid:
        yield Lay(slot)


def volumes(slot: Slot, observed: Observed, but: Sequence[str] = ()) -> Iterator[Step]:
    """Yield a step for each volume that the slot lacks, `but` some."""
    for name in slot.volumes.values():
        if name not in observed.volumes and name not in but:
            yield MakeVolume(name)


@dataclass(frozen=True)
class _Case:
    situation: Situation
    slot: Slot
    name: str
    container: Container | None
    returning: bool
    rebuild: bool

    @property
    def service(self) -> Service:
        return self.slot.manifest.services[self.name]

    @property
    def tally(self) -> findings.Tally:
        return self.situation.watching.tally(self.slot.container(self.name))

    @property
    def in_vain(self) -> bool:
        """Tell whether a start of it was among what failed last: it may be the one that did."""
        return Start(self.slot.container(self.name)) in self.situation.vain


def _way(case: _Case) -> _Way:
    container = case.container
    if case.service.kind == "oneshot" and not (case.returning and case.service.rerun_on_rollback):  # rule 5
        loud = container is not None and container.policy != "no" and container.state not in GOING
        return _Way(steps=(Policy(container.name, "no"),)) if container is not None and loud else _Way()
    if container is None:
        return _made(case)
    if (way := _anew(case, container)) is not None:
        return way
    way = _run_again(case, container) if case.service.kind == "oneshot" else _kept_up(case, container)
    if way.start is not None and _unlaid(case):
        return _Way(busy=True)
    policy = policy_of(case.service)
    settled = container.state in RUNS or case.service.kind == "oneshot" or not _has_to_run(case, container)
    if container.policy != policy and settled and not way.steps and way.start is None:  # rule 4
        return replace(way, steps=(Policy(container.name, policy),))
    return way


def _made(case: _Case) -> _Way:
    """Return the way to a container that is not there."""
    slot, observed = case.slot, case.situation.observed
    image = slot.manifest.images[case.service.image]
    if image.config not in observed.images:  # rule 7
        missing = {digest: size for digest, size in blobs(image).items() if digest not in case.situation.held}
        if not missing:
            return _Way(steps=(Load(image),))
        words = f"the image of {case.name} is gone from the engine, and the device's own copy of it is not whole"
        return _Way(fetch=missing, wrong=Wrong(case.name, "image.lost", words))
    if (
        _lacks_network(case)
        or _unlaid(case)
        or any(slot.volumes.get(each.volume) not in observed.volumes for each in case.service.mounts)
    ):
        return _Way(busy=True)  # it is on its way: `lift` has every network and volume made
    return _Way(steps=(Create(slot, case.name),))


def _anew(case: _Case, container: Container) -> _Way | None:
    """Return the way to another container in the place of this one, None if it may stay (rule 6)."""
    runs = container.state in RUNS
    if container.state in GOING:
        return _Way(steps=(Remove(container.name),))
    if container.image != case.service.image:
        if case.tally.creates:
            words = f"{case.name} runs the image {container.image[:19]}, not {case.service.image[:19]}"
            return _Way(wrong=Wrong(case.name, findings.IMAGE, words))
        return _Way(steps=(Stop(container.name, case.service.stop_grace_ms) if runs else Remove(container.name),))
    stale = _lacks_network(case) or _off_network(case, container) or (case.rebuild and case.tally.creates == 0)
    return _Way(steps=(Remove(container.name),)) if stale and not runs and _has_to_run(case, container) else None


def _kept_up(case: _Case, container: Container) -> _Way:
    """Return the way of a service to running (rule 3)."""
    if container.state in {"running", "restarting"}:
        return _Way()
    if container.state == "paused":
        return _Way(steps=(Stop(container.name, case.service.stop_grace_ms),))
    if case.returning:
        return _Way() if case.tally.starts and not case.in_vain else _Way(start=Start(container.name))
    if not _has_to_run(case, container):
        return _Way()
    tally = case.tally
    due = (tally.at or 0.0) + pause(tally.starts - 1)
    if not tally.starts or tally.at is None or case.situation.now >= due:
        return _Way(start=Start(container.name))
    left = due - case.situation.now
    words = f"{case.name} exited with code {container.exit_code} and is started again in {left:.0f} s"
    return _Way(wait=left, wrong=Wrong(case.name, findings.EXITED, words))


def _has_to_run(case: _Case, container: Container) -> bool:
    """Tell whether a service that does not run is to be started (rules 3 and 4)."""
    put_down = container.policy != policy_of(case.service)
    if case.returning or put_down or not container.started:
        return True
    if case.service.restart == "on-failure":
        return container.exit_code != 0
    return case.service.restart != "no"


def _run_again(case: _Case, container: Container) -> _Way:
    """Return the way of a oneshot that runs on the way back (rule 5)."""
    if container.state in {"running", "restarting", "paused"}:
        late = case.tally.at is not None and case.situation.now >= case.tally.at + _grace(case)
        words = f"{case.name} has not ended within {_grace(case):.0f} s"
        return _Way(wrong=Wrong(case.name, findings.LATE, words)) if late else _Way(busy=True, wait=1.0)
    if not case.tally.starts or case.in_vain:
        return _Way(start=Start(container.name))
    if container.exit_code == case.service.exit and container.started:
        return _Way()
    words = f"{case.name} ended with code {container.exit_code}, not with {case.service.exit}"
    return _Way(wrong=Wrong(case.name, findings.ONESHOT, words))


def _ill(situation: Situation, slot: Slot) -> dict[str, Pending]:
    """Return who runs, is not healthy, and should be before others start."""
    here = findings.own(slot, situation.observed)
    found = {
        name: readiness.pending(slot, name, here[name], situation.watching, situation.now)
        for name in sorted(readiness.waited_for(slot) & here.keys())
        if here[name].state == "running" and slot.manifest.services[name].kind == "service"
    }
    return {name: each for name, each in found.items() if each is not None}


def _told(late: Pending) -> Wrong:
    return Wrong(late.finding.service, late.finding.code, f"{late.finding.sentence}; they wait no longer")


def _lacks_network(case: _Case) -> bool:
    return not _networks(case) <= case.situation.observed.networks


def _off_network(case: _Case, container: Container) -> bool:
    """Tell whether it was taken off a network: another one may be there under the same name."""
    return container.networks is not None and not _networks(case) <= container.networks


def _networks(case: _Case) -> set[str]:
    return {case.slot.network(each.network) for each in case.service.networks}


def _unlaid(case: _Case) -> bool:
    return next(laid(case.slot, case.situation.observed), None) is not None


def _grace(case: _Case) -> float:
    return findings.own_grace(case.slot, case.service)
