# SPDX-License-Identifier: Apache-2.0
"""Which container is a service of a slot, in the words of Docker's API?

Rules: 1. what the manifest does not say is the image's own; 2. a service without networks has none: the engine's
default bridge has others on it; 3. the agent restarts until a release is committed, so a container is made with policy
`no`; 4. a volume that is to be a copy stays empty until it is one: the image's files do not go into it; 5. one
definition has one digest, which the container carries, so that another content under its name is seen. What a service
has of its host says `host`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from checkvalve import canonical
from checkvalve.agent import steps
from checkvalve.agent.engine import host
from checkvalve.agent.steps import Slot
from checkvalve.crypto import digests
from checkvalve.protocol.workload import Check, Service

DEFINITION = "checkvalve.definition"
NO_NETWORK = "none"
_MILLISECOND = 1_000_000  # in nanoseconds, which Docker counts in


@dataclass(frozen=True)
class Wanted:
    """A container to be made: its name, the body of the request, and the networks it is put on besides the first."""

    name: str
    body: dict[str, Any]
    definition: str
    attached: dict[str, dict[str, Any]]  # network -> endpoint, of all networks
    copies: tuple[str, ...]  # volumes of it that are to be copies


def wanted(
    slot: Slot,
    service: str,
    *,
    entrypoint: tuple[str, ...] = (),
    podman: bool = False,
    files: str = "",
    secrets: str = "",
) -> Wanted:
    """Return what `Create` makes. `entrypoint` is the image's own, which `needs_entrypoint` says when to look up.

    `files` and `secrets` are the roots of what the device lays out (`places`).
    """
    said = slot.manifest.services[service]
    attached = {slot.network(each.network): host.endpoint(service, each) for each in host.attachments(said)}
    first = host.HOST_NETWORK if said.host_network else next(iter(attached), NO_NETWORK)  # rule 2
    body: dict[str, Any] = {
        "Image": said.image,
        "Env": [f"{name}={value}" for name, value in sorted(said.environment.items())],
        "Labels": said.labels | labels(slot, service),
        "StopTimeout": seconds(said.stop_grace_ms),
        **_command(said, entrypoint),
        **_plain(said),
        "HostConfig": _host(slot, said, first, podman=podman),
        "NetworkingConfig": {"EndpointsConfig": {first: attached[first]} if first in attached else {}},
    }
    body["HostConfig"]["Mounts"] += host.mounts(slot, service, files, secrets)
    if mac := next((each["MacAddress"] for each in attached.values() if "MacAddress" in each), ""):
        body["MacAddress"] = mac
    if said.ports:
        body["ExposedPorts"] = {f"{port.target}/{port.protocol}": {} for port in said.ports}
    if said.check is not None:
        body["Healthcheck"] = _health(said.check)
    defined: list[Any] = [body, list(attached)]
    if fixed := {name: each for name, each in attached.items() if each.keys() != {"Aliases"}}:
        defined.append(fixed)
    definition = digests.sha256_hex(canonical.dumps(cast("canonical.Json", defined)))  # rule 5
    body["Labels"][DEFINITION] = definition
    copies = tuple(sorted({slot.volumes[mount.volume] for mount in said.mounts if _is_copy(slot, mount.volume)}))
    return Wanted(slot.container(service), body, definition, attached, copies)


def labels(slot: Slot, service: str) -> dict[str, str]:
    """Return the labels by which a container of this device is known."""
    return {
        steps.DEVICE: slot.device,
        steps.SERVICE: service,
        steps.ATTEMPT: slot.attempt,
        steps.RELEASE: slot.release,
    }


def needs_entrypoint(service: Service) -> bool:
    """Tell whether the image's entrypoint must be said anew: Docker gives an empty command the image's own else."""
    return service.command == () and service.entrypoint is None


def seconds(milliseconds: int) -> int:
    """Return whole seconds, which Docker counts in here: never fewer than were given."""
    return -(-milliseconds // 1_000)


def _is_copy(slot: Slot, volume: str) -> bool:
    keys: Collection[str] = slot.copies.keys()
    return volume in keys or slot.volumes[volume] in keys


def _command(said: Service, own: tuple[str, ...]) -> dict[str, Any]:
    """Rule 1. An empty entrypoint is `[""]` in Docker's words; with any entrypoint the image's command is not used."""
    found: dict[str, Any] = {}
    entrypoint = own if needs_entrypoint(said) else said.entrypoint
    if entrypoint is not None:
        found["Entrypoint"] = list(entrypoint) or [""]
    if said.command is not None:
        found["Cmd"] = list(said.command)
    return found


def _plain(said: Service) -> dict[str, Any]:
    found = {
        "User": said.user,
        "WorkingDir": said.working_dir,
        "Hostname": said.hostname,
        "StopSignal": said.stop_signal,
    }
    return {key: value for key, value in found.items() if value}


def _host(slot: Slot, said: Service, network: str, *, podman: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "NetworkMode": network,
        "RestartPolicy": {"Name": "no"},  # rule 3
        "LogConfig": host.log(said.log, podman=podman),
        "ReadonlyRootfs": said.read_only,
        "Mounts": [
            {
                "Type": "volume",
                "Source": slot.volumes[mount.volume],
                "Target": mount.target,
                "ReadOnly": mount.read_only,
                "VolumeOptions": {
                    "Labels": {steps.DEVICE: slot.device},
                    "NoCopy": _is_copy(slot, mount.volume),  # rule 4
                },
            }
            for mount in said.mounts
        ],
    }
    if said.init:
        found["Init"] = True
    if said.no_new_privileges:
        found["SecurityOpt"] = ["no-new-privileges"]
    if said.cap_drop:
        found["CapDrop"] = list(said.cap_drop)
    if said.tmpfs:
        found["Tmpfs"] = host.tmpfs(said.tmpfs)
    if said.ports:
        found["PortBindings"] = _bindings(said)
    return found | host.reach(said)


def _bindings(said: Service) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for port in said.ports:
        bound = {"HostIp": port.address, "HostPort": str(port.published)}
        found.setdefault(f"{port.target}/{port.protocol}", []).append(bound)
    return found


def _health(check: Check) -> dict[str, Any]:
    if check.test == ("NONE",):
        return {"Test": ["NONE"]}
    return {
        "Test": list(check.test),
        "Interval": check.interval_ms * _MILLISECOND,
        "Timeout": check.timeout_ms * _MILLISECOND,
        "Retries": check.retries,
        # Nothing would mean the image's own; a millisecond is the least that Docker takes.
        "StartPeriod": max(check.start_period_ms, 1) * _MILLISECOND,
    }
