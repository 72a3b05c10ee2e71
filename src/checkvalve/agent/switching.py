# SPDX-License-Identifier: Apache-2.0
"""What comes next between the first change of a container and the commit (walk attempt, 8 to 14)?

The order is what makes it safe to be cut short anywhere: 1. networks, volumes, images and containers of the new slot,
none of them started. What cannot be while an old network is (`exclusive`) waits until the old containers have stopped
and that network has gone: `stop-first`; 2. the old containers' restart policy becomes `no`, all of them; 3. only then
are they stopped, and kept; 4. volumes that ask for it are copied while nothing writes to them; 5. the new containers
start in the order of their dependencies, oneshots end, and who has to be healthy first is (`readiness`); what ended is
written down once, so that it is never run again for this release; 6. the gate watches (`health`); what exited is
started again while `max_restarts` allows, for the engine restarts nothing before the commit; 7. the pointer is
replaced. Whatever goes wrong before that turns back; a container that ran and is gone does too, for what it was doing
is not known; 8. after the pointer names the attempt, it is committed, whatever else has happened.
"""

from collections.abc import Mapping

from checkvalve.agent import exclusive, findings, health, readiness, recover
from checkvalve.agent.findings import Finding, Tally
from checkvalve.agent.lift import laid, networks, volumes
from checkvalve.agent.readiness import Pending
from checkvalve.agent.situation import Situation, blobs, calm, note, strangers
from checkvalve.agent.steps import (
    Commit,
    Container,
    CopyVolume,
    Create,
    Do,
    DropNetwork,
    Failure,
    Load,
    Look,
    MakeVolume,
    Move,
    Note,
    Ran,
    Slot,
    Start,
    Step,
    ran,
)
from checkvalve.protocol.exchange import State

_LOST = Failure("slot.lost", "What was staged for this attempt is not on the disk any more.")


def move(situation: Situation) -> Move:
    """Return the next move in SWITCHING or VERIFYING."""
    if recover.committed(situation.position, situation.active):  # rule 8
        return Note(State.COMMITTED)
    if situation.failure is not None:
        return note(State.ROLLING_BACK, situation.failure)
    slot = situation.staged
    if slot is None:
        return note(State.ROLLING_BACK, _LOST)
    if situation.position.state is State.VERIFYING:
        return _verified(situation, slot)
    return _created(situation, slot) or _old_stopped(situation, slot) or _started(situation, slot)


def _created(situation: Situation, slot: Slot) -> Move | None:
    """Return rule 1's next move, None when the new slot is whole."""
    observed = situation.observed
    steps: list[Step] = [*networks(slot, observed), *laid(slot, observed)]
    steps += volumes(slot, observed, but=list(slot.copies))
    for config, image in slot.manifest.images.items():
        if config not in observed.images:
            if not blobs(image).keys() <= situation.held:
                return note(State.ROLLING_BACK, Failure("image.lost", f"The engine has lost the image {image.name}."))
            steps.append(Load(image))
    if steps:
        return Do(tuple(steps))
    here = findings.own(slot, observed)
    missing = [name for name in findings.order(slot) if name not in here and _wanted(situation, slot, name)]
    found = [Finding(name, findings.MISSING, f"{name} ran, and its container is gone") for name in missing]
    if gone := [each for each in found if _tally(situation, slot, each.service).starts]:
        return note(State.ROLLING_BACK, health.failure(gone))
    waits = exclusive.in_the_way(slot, observed)
    if possible := [name for name in missing if not _networks(slot, name) & waits.keys()]:
        return Do(tuple(Create(slot, name) for name in possible))
    if waits:
        return _cleared(situation, slot, frozenset().union(*waits.values()))
    wrong = [
        Finding(name, findings.IMAGE, f"{name} was made of {each.image[:19]}, not {each_wanted[:19]}")
        for name, each in sorted(here.items())
        if each.image != (each_wanted := slot.manifest.services[name].image)
    ]
    return note(State.ROLLING_BACK, health.failure(wrong)) if wrong else None


def _cleared(situation: Situation, slot: Slot, networks: frozenset[str]) -> Do:
    """Return the next move towards these networks being gone, which the old slot's containers are on."""
    steps = calm(strangers(slot, situation.observed), situation)
    return Do(steps or tuple(DropNetwork(name) for name in sorted(networks)))


def _old_stopped(situation: Situation, slot: Slot) -> Move | None:
    """Return the next move of rules 2 to 4."""
    if steps := calm(strangers(slot, situation.observed), situation):
        return Do(steps)
    observed = situation.observed
    image = next(iter(sorted(slot.manifest.images)))
    copies: list[Step] = [
        CopyVolume(source, target, image) if source in observed.volumes else MakeVolume(target)
        for target, source in sorted(slot.copies.items())
        if target not in observed.volumes
    ]
    return Do(tuple(copies)) if copies else None


def _started(situation: Situation, slot: Slot) -> Move:
    """Return rule 5's next move."""
    here = findings.own(slot, situation.observed)
    done = situation.position.ran
    over = [name for name in _oneshots(slot) if findings.ended(slot, name, here.get(name), done)]
    if fresh := [ran(slot, name) for name in over if ran(slot, name) not in done]:
        return Ran(tuple(fresh))
    if wrong := [name for name in _oneshots(slot) if name not in over and _has_ended(here.get(name))]:
        return note(State.ROLLING_BACK, health.failure([_ended_wrong(situation, slot, name) for name in wrong]))
    pending = _pending(situation, slot)
    behind = {name for name, each in here.items() if each.started and name not in _oneshots(slot)} | set(over)
    idle = [name for name in findings.order(slot) if name in here and not here[name].started and name not in over]
    awaited = {name for name in idle for name in slot.manifest.services[name].healthy_first} & pending.keys()
    ready = [name for name in idle if all(each in behind for each in slot.manifest.services[name].after)]
    ready = [name for name in ready if not awaited & set(slot.manifest.services[name].healthy_first)]
    if ready:
        return Do(tuple(Start(here[name].name) for name in ready))
    running = [name for name in _oneshots(slot) if name not in over and here[name].started]
    if running or awaited:
        return _awaited(situation, slot, running, {name: pending[name] for name in sorted(awaited)})
    if idle:  # a circle, which `release create` refuses: better all at once than never
        return Do(tuple(Start(here[name].name) for name in idle))
    return Note(State.VERIFYING)


def _pending(situation: Situation, slot: Slot) -> dict[str, Pending]:
    """Return who has to be healthy before others start, was started, and is not healthy now."""
    here = findings.own(slot, situation.observed)
    found = {
        name: readiness.pending(slot, name, here[name], situation.watching, situation.now)
        for name in readiness.waited_for(slot) & here.keys() - set(_oneshots(slot))
        if here[name].started
    }
    return {name: each for name, each in found.items() if each is not None}


def _awaited(situation: Situation, slot: Slot, oneshots: list[str], pending: Mapping[str, Pending]) -> Move:
    """Return a look at oneshots that run and at who is not healthy yet, for as long as each may take.

    Who has ended instead is started again while `max_restarts` allows it.
    """
    here = findings.own(slot, situation.observed)
    ended = {name: here[name] for name in pending if here[name].state == "exited"}
    if spent := [each for each in situation.watching.found if each.final and each.service in ended]:
        return note(State.ROLLING_BACK, health.failure(spent))
    if ended:
        return Do(tuple(Start(each.name) for each in ended.values()))
    if ill := [each.finding for each in pending.values() if each.left <= 0]:
        return note(State.ROLLING_BACK, health.failure(ill))
    left = {
        name: (tally.at if (tally := _tally(situation, slot, name)).at is not None else situation.now)
        + findings.own_grace(slot, slot.manifest.services[name])
        - situation.now
        for name in oneshots
    }
    late = [
        Finding(name, findings.LATE, f"{name} has not ended within {grace:.0f} s")
        for name in oneshots
        if left[name] <= 0
        for grace in [findings.own_grace(slot, slot.manifest.services[name])]
    ]
    if late:
        return note(State.ROLLING_BACK, health.failure(late))
    return Look(max(health.SOONEST, min([1.0, *left.values(), *(each.left for each in pending.values())])))


def _verified(situation: Situation, slot: Slot) -> Move:
    """Return the next move of rules 6 and 7."""
    if steps := calm(strangers(slot, situation.observed), situation):
        return Do(steps)
    watch = situation.watching
    if not any(each.final for each in watch.found):
        exited = [each for each in watch.found if each.code == findings.EXITED]
        here = findings.own(slot, situation.observed)
        again = [here[each.service] for each in exited if each.service in here]
        if steps := tuple(Start(each.name) for each in again if each.state == "exited"):
            return Do(steps)
    match health.judge(watch, slot, situation.now):
        case health.Healthy():
            return Commit()
        case health.Failed(failure):
            return note(State.ROLLING_BACK, failure)
        case health.Waiting(seconds):
            return Look(seconds)


def _networks(slot: Slot, name: str) -> set[str]:
    return {slot.network(each.network) for each in slot.manifest.services[name].networks}


def _wanted(situation: Situation, slot: Slot, name: str) -> bool:
    service = slot.manifest.services[name]
    return service.kind == "service" or not findings.ended(slot, name, None, situation.position.ran)


def _oneshots(slot: Slot) -> list[str]:
    return [name for name in findings.order(slot) if slot.manifest.services[name].kind == "oneshot"]


def _has_ended(container: Container | None) -> bool:
    return container is not None and container.started and container.state == "exited"


def _ended_wrong(situation: Situation, slot: Slot, name: str) -> Finding:
    code = findings.own(slot, situation.observed)[name].exit_code
    wanted = slot.manifest.services[name].exit
    return Finding(name, findings.ONESHOT, f"{name} ended with code {code}, not with {wanted}", final=True)


def _tally(situation: Situation, slot: Slot, name: str) -> Tally:
    return situation.watching.tally(slot.container(name))
