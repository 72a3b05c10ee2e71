# SPDX-License-Identifier: Apache-2.0
"""May a service start that wants others to be healthy first (`healthy_first`), and how long does it wait for them?

Rules: 1. healthy is who runs, whose health check says so if it has one, and who passed all its probes when last asked;
2. from the moment at which it began to run it has its own grace, and the soak's time besides while its check has given
no answer: the first one may take longer than the grace; 3. before the commit, one that is not healthy by then turns the
attempt back, and one that ends is started again while `max_restarts` allows; 4. of a committed release nobody is kept
down for ever: afterwards it is waited for no longer, and told as long as it is not healthy. One that does not run is
waited for only while it is on its way.
"""

from dataclasses import dataclass

from checkvalve.agent import findings
from checkvalve.agent.findings import Finding
from checkvalve.agent.health import Watch
from checkvalve.agent.steps import Container, Slot


@dataclass(frozen=True, slots=True)
class Pending:
    """Who is waited for: why it is not healthy, and for how many seconds it may still be so."""

    finding: Finding
    left: float


def pending(slot: Slot, name: str, container: Container, watch: Watch, now: float) -> Pending | None:
    """Return what is lacking of a service that was started, None if it is healthy (rules 1 and 2)."""
    service = slot.manifest.services[name]
    finding, extra = _lacking(slot, name, container, watch), 0.0
    if finding is None:
        return None
    if finding.code == findings.STARTING:
        extra = slot.manifest.gate.soak_ms / 1000
    began = watch.tally(container.name).at
    return Pending(finding, (now if began is None else began) + findings.own_grace(slot, service) + extra - now)


def waited_for(slot: Slot) -> frozenset[str]:
    """Return the services that others wait for."""
    return frozenset(name for service in slot.manifest.services.values() for name in service.healthy_first)


def _lacking(slot: Slot, name: str, container: Container, watch: Watch) -> Finding | None:
    if container.state != "running":
        return Finding(name, findings.EXITED, f"{name} is {container.state}, and others wait until it is healthy")
    words = f"{name} is not healthy, and others wait for that"
    if container.health == "unhealthy":
        return Finding(name, findings.UNHEALTHY, words)
    if container.health == "starting":
        return Finding(name, findings.STARTING, words)
    for index, probe in enumerate(slot.manifest.services[name].probes):
        _, why = watch.probes.get(findings.key(name, index), (0.0, "it was not probed yet"))
        if why:
            words = f"{name} does not pass {findings.said(probe)}, and others wait for that: {why.rstrip('.')}"
            return Finding(name, findings.PROBE, words)
    return None
