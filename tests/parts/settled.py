# SPDX-License-Identifier: Apache-2.0
"""The one oracle of all fault matrices: what a device has come to, whatever happened to it.

Rules: 1. there are three ends and no fourth: all of the release before runs and is healthy, all of the new one does, or
the device is degraded, and its plane has been told; 2. at no moment do containers of two attempts run, or would an
engine that starts again run them; 3. at no moment is there a container of the device, in whatever state, that belongs
to none of its attempts, but for the carriers of a copy, which never run; at the end there is none but those of what
runs; 4. what runs is what the device says that runs, of the images and with the restart policies of its manifest, on
the networks of its manifest and no others; 5. the plane has heard once, and the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from checkvalve.agent import steps
from checkvalve.agent.engine import reading, simulation
from checkvalve.agent.steps import Slot, policy_of
from checkvalve.protocol.exchange import State
from tests.parts import docker

End = Literal["old", "new", "degraded"]


@dataclass(frozen=True)
class Box:
    """A container, whoever made it. `healthy`: running, and no check of its own says otherwise."""

    name: str
    device: str
    attempt: str
    image: str  # config digest
    running: bool
    healthy: bool
    policy: str
    carries: bool = False  # it was made to reach a volume by


@dataclass(frozen=True)
class Shown:
    """What is to be seen of a device from outside and by its own word; `before` is what ran before, "" for nothing."""

    device: str
    attempt: str  # that is judged
    before: str
    state: State
    active: Slot | None
    boxes: tuple[Box, ...]
    networks: frozenset[str]  # of the device
    told: tuple[State, ...]  # ends of the attempt, of which the plane has receipts
    others: frozenset[str] = frozenset()  # containers that were there before the device


class Mixed(BaseException):
    """A law of the oracle does not hold. The agent goes on after every `Exception`, so that this is none."""


def settled(shown: Shown) -> End:
    """Return which of the three ends a device has come to; raise `Mixed` for anything else (rule 1)."""
    never_mixed(shown)
    here = ours(shown)
    match shown.state:
        case State.DEGRADED:
            _law(State.DEGRADED in shown.told, "it is degraded, and nobody has been told")
            return "degraded"
        case State.COMMITTED:
            end: End = "new"
            runs = shown.attempt
        case State.ROLLED_BACK | State.REFUSED:
            end, runs = "old", shown.before
        case state:
            raise Mixed(f"it has not ended, it is {state}")
    active = "" if shown.active is None else shown.active.attempt
    _law(active == runs, f"{active} is active, and not {runs}")
    _whole(shown.active, here)
    used = {} if shown.active is None else shown.active.manifest.networks
    wanted = frozenset(shown.active.network(name) for name in used) if shown.active else frozenset()
    _law(shown.networks == wanted, f"networks are {sorted(shown.networks)}, not {sorted(wanted)}")
    told = tuple(each for each in shown.told if each is not State.DEGRADED)  # which may have been on its way
    _law(told == (shown.state,), f"the plane has heard {shown.told}, and not once {shown.state}")  # rule 5
    return end


def running(shown: Shown) -> End:
    """Return which of the ends the engine shows, whatever the device has come to say of it."""
    never_mixed(shown)
    if shown.state is State.DEGRADED:
        return "degraded"
    _whole(shown.active, [each for each in ours(shown) if each.running])
    return "new" if shown.active is not None and shown.active.attempt == shown.attempt else "old"


def never_mixed(shown: Shown) -> None:
    """Raise `Mixed` if what may never be, not for a moment, is (rules 2 and 3)."""
    here = ours(shown)
    runs = {each.attempt for each in here if each.running}
    loud = {each.attempt for each in here if each.policy != "no"}
    _law(len(runs) <= 1, f"containers of {sorted(runs)} run at once")
    _law(len(loud) <= 1, f"after a start of the engine, containers of {sorted(loud)} would run at once")
    others = [each for each in here if each.attempt not in {shown.attempt, shown.before}]
    unknown = [each.name for each in others if each.running or not each.carries]
    _law(not unknown, f"{unknown} belong to no attempt of this device")


def ours(shown: Shown) -> list[Box]:
    """Return the containers that there would not be without the device."""
    return [each for each in shown.boxes if each.device == shown.device or each.name not in shown.others]


def _whole(slot: Slot | None, here: Iterable[Box]) -> None:
    """See that all of a slot runs and is healthy, and that nothing else is there (rules 3 and 4)."""
    found = {each.name: each for each in here}
    services = {} if slot is None else slot.manifest.services
    names = {} if slot is None else {slot.container(name): each for name, each in services.items()}
    _law(found.keys() <= names.keys(), f"{sorted(found.keys() - names.keys())} are there, and nobody needs them")
    for name, service in names.items():
        box = found.get(name)
        if service.kind == "oneshot":
            _law(box is None or not box.running, f"the job {name} runs")
            continue
        if box is None or not box.healthy:
            raise Mixed(f"{name} does not run well: {box}")
        _law(box.image == service.image, f"{name} runs another image")
        _law(box.policy == policy_of(service), f"{name} has the policy {box.policy}")


def _law(holds: bool, sentence: str) -> None:  # noqa: FBT001 - what was asked
    if not holds:
        raise Mixed(sentence)


# ---- Engines. ----


def of_world(world: simulation.World) -> tuple[Box, ...]:
    """Return the containers of a simulated engine."""
    return tuple(
        Box(
            name=each.name,
            device=each.device,
            attempt=each.attempt,
            image=each.image,
            running=each.status == "running",
            healthy=each.status == "running" and simulation.health(each, world.now) != "unhealthy",
            policy=each.policy,
        )
        for each in world.boxes.values()
    )


def of_docker(engine: docker.Engine) -> tuple[Box, ...]:
    """Return the containers of a real engine, as it shows them now."""
    names = [each["Id"] for each in engine.ask("/containers/json?all=1")]
    said = [engine.ask(f"/containers/{name}/json") for name in names]
    return tuple(_of_docker(each) for each in said if "Id" in each)  # one may be gone meanwhile


def _of_docker(said: Mapping[str, Any]) -> Box:
    state, labels = said["State"], said["Config"].get("Labels") or {}
    health = (state.get("Health") or {}).get("Status", "")
    runs = state["Status"] in {"running", "restarting", "paused"}
    return Box(
        name=said["Name"].lstrip("/"),
        device=labels.get(steps.DEVICE, ""),
        attempt=labels.get(steps.ATTEMPT, ""),
        image=said["Image"],
        running=runs,
        healthy=state["Status"] == "running" and health in {"", "healthy"},
        policy=said["HostConfig"]["RestartPolicy"]["Name"] or "no",
        carries=reading.OF in labels,
    )
