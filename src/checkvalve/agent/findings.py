# SPDX-License-Identifier: Apache-2.0
"""What is not right with a slot at one look, service by service, in sentences for those who run the plant.

A finding is final if waiting cannot mend it. Which rule each one comes from says `health`, which folds looks together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from checkvalve.agent.steps import Container, Observed, Slot
from checkvalve.agent.steps import ran as ran_name
from checkvalve.protocol.workload import ExecProbe, HttpProbe, Probe, Service, TcpProbe

EXITED, UNHEALTHY, RESTARTS, PROBE = "gate.exited", "gate.unhealthy", "gate.restarts", "gate.probe"
MISSING, FOREIGN, IMAGE, STARTING = "gate.missing", "gate.foreign", "gate.image", "gate.starting"
ONESHOT, LATE = "gate.oneshot", "gate.late"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not right."""

    service: str
    code: str
    sentence: str  # begins with the service's name, ends without a full stop
    final: bool = False
    unasked: bool = False  # nobody has looked yet whether it is right


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done to one container since the watch began. `at` is when it last began to run, as far as is known."""

    creates: int = 0
    starts: int = 0
    restarts: int = 0  # starts of what had run before
    at: float | None = None

    def began(self, now: float, *, again: bool) -> "Tally":
        """Return the tally after a start."""
        return replace(self, starts=self.starts + 1, restarts=self.restarts + again, at=now)


@dataclass(frozen=True, slots=True)
class Looked:
    """One look, and what is remembered of those before."""

    slot: Slot
    observed: Observed
    probes: Mapping[str, str]  # `service#index` -> "" or why not
    ran: frozenset[str]
    tallies: Mapping[str, Tally]
    healthy: frozenset[str]  # services that were healthy at some look
    base: float  # from when on the grace counts
    now: float
    soaking: bool  # everything was right before this look


def own(slot: Slot, observed: Observed) -> dict[str, Container]:
    """Return the slot's containers that its manifest names, under the names they must have, by service."""
    services = slot.manifest.services
    return {
        each.service: each
        for each in observed.containers
        if each.attempt == slot.attempt and each.service in services and each.name == slot.container(each.service)
    }


def key(service: str, index: int) -> str:
    """Return what names a probe: the service, and which of its probes."""
    return f"{service}#{index}"


def said(probe: Probe) -> str:
    """Return a probe in a few words: `http:8080/ready`, `tcp:5432`, `exec:pg_isready`."""
    match probe:
        case HttpProbe(port=port, path=path):
            return f"http:{port}{path}"
        case TcpProbe(port=port):
            return f"tcp:{port}"
        case ExecProbe(command=command):
            return f"exec:{' '.join(command)}"[:200]


def grace(slot: Slot) -> float:
    """Return how many seconds the whole slot may take to become right."""
    services = [each for each in slot.manifest.services.values() if each.kind == "service"]
    return max((own_grace(slot, each) for each in services), default=slot.manifest.gate.start_grace_ms / 1000)


def own_grace(slot: Slot, service: Service) -> float:
    """Return how many seconds one service may take."""
    own = service.start_grace_ms
    return (slot.manifest.gate.start_grace_ms if own is None else own) / 1000


def ended(slot: Slot, name: str, container: Container | None, ran: frozenset[str]) -> bool:
    """Tell whether a oneshot has done what it is for: in this slot, or before if once for the release is enough."""
    service = slot.manifest.services[name]
    if container is not None and container.started and container.state == "exited":
        return container.exit_code == service.exit
    return not service.each_switch and ran_name(slot, name) in ran


def all_of(looked: Looked) -> tuple[Finding, ...]:
    """Return everything that is not right, services in the order they start in."""
    slot = looked.slot
    here = own(slot, looked.observed)
    found: list[Finding] = []
    for name in order(slot):
        found += _of(looked, name, here.get(name))
    found += [
        Finding(each.service, FOREIGN, f"{each.name} is here, and the release does not name it", final=True)
        for each in looked.observed.containers
        if each.attempt == slot.attempt and here.get(each.service) != each
    ]
    return tuple(found)


def order(slot: Slot) -> list[str]:
    """Return the services' names in the order they start in, those that start together by name."""
    left = {name: set(service.after) for name, service in sorted(slot.manifest.services.items())}
    ordered: list[str] = []
    while left:
        free = [name for name, after in left.items() if not after & left.keys()]
        for name in free or list(left):  # a circle has no order: `release create` refuses it
            del left[name]
            ordered.append(name)
    return ordered


def _of(looked: Looked, name: str, container: Container | None) -> Iterator[Finding]:
    service = looked.slot.manifest.services[name]
    if container is None:
        if service.kind == "service" or not ended(looked.slot, name, None, looked.ran):
            yield Finding(name, MISSING, f"{name} has no container", final=True)
    elif container.image != service.image:
        words = f"{name} runs the image {container.image[:19]}, not {service.image[:19]}"
        yield Finding(name, IMAGE, words, final=True)
    elif service.kind == "oneshot":
        yield from _oneshot(looked, name, container)
    else:
        yield from _service(looked, name, container)


def _oneshot(looked: Looked, name: str, container: Container) -> Iterator[Finding]:
    if ended(looked.slot, name, container, looked.ran):
        return
    service = looked.slot.manifest.services[name]
    if container.started and container.state == "exited":
        words = f"{name} ended with code {container.exit_code}{_after(looked, container)}, not with {service.exit}"
        yield Finding(name, ONESHOT, words, final=True)
    else:
        yield Finding(name, LATE, f"{name} has not ended within {_seconds(own_grace(looked.slot, service))}")


def _service(looked: Looked, name: str, container: Container) -> Iterator[Finding]:
    slot = looked.slot
    most = slot.manifest.gate.max_restarts
    restarts = container.restarts + looked.tallies.get(container.name, Tally()).restarts
    if restarts > most:
        yield Finding(name, RESTARTS, f"{name} was restarted {restarts} times; {most} are allowed", final=True)
    if container.state != "running":
        yield _down(looked, name, container, spent=restarts >= most)
    else:
        yield from _health(looked, name, container)
        yield from _probes(looked, name, slot.manifest.services[name])


def _down(looked: Looked, name: str, container: Container, *, spent: bool) -> Finding:
    if container.state in {"exited", "dead"} and container.started:
        words = f"{name} exited with code {container.exit_code}{_after(looked, container)}"
        return Finding(name, EXITED, words, final=spent)
    if container.state == "created":
        return Finding(name, LATE, f"{name} was not started within {_seconds(grace(looked.slot))}")
    return Finding(name, EXITED, f"{name} is {container.state}")


def _health(looked: Looked, name: str, container: Container) -> Iterator[Finding]:
    own = own_grace(looked.slot, looked.slot.manifest.services[name])
    if container.health == "unhealthy":
        was = name in looked.healthy
        words = f"{name} became unhealthy" if was else f"{name} did not become healthy within {_seconds(own)}"
        yield Finding(name, UNHEALTHY, words, final=was or looked.now >= looked.base + own)
    elif container.health == "starting":
        words = f"{name} had no answer from its health check by the end of the watch"
        yield Finding(name, STARTING, words)


def _probes(looked: Looked, name: str, service: Service) -> Iterator[Finding]:
    for index, probe in enumerate(service.probes):
        why = looked.probes.get(key(name, index))
        if why is None:
            yield Finding(name, LATE, f"{name} was not probed with {said(probe)} yet", unasked=True)
        elif why:
            words = f"{name} does not pass {said(probe)}: {why.rstrip('.')}"
            yield Finding(name, PROBE, words, final=looked.soaking)


def _after(looked: Looked, container: Container) -> str:
    tally = looked.tallies.get(container.name, Tally())
    return f" after {_seconds(max(0.0, looked.now - tally.at))}" if tally.starts and tally.at is not None else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
