# SPDX-License-Identifier: Apache-2.0
"""What has a service of the device it runs on, in the words of Docker's API?

Rules: 1. what a release does not say is not in the request, so that a container of before keeps its definition; 2. a
path of the host has to be there and is never made: Docker makes those of `Binds`, but not those of `Mounts`, and Podman
makes both; 3. files
and secrets are mounted one by one and read-only, from where the device has laid them (`places`); 4. logs have a bound
whatever a release says, and Podman keeps them in its own format, one file of that bound; 5. this API knows the hardware
address of a container's first network only, so the attachment that has one comes first; 6. a
device that is not there is found before anything is stopped for a container that needs it.
"""

from collections.abc import Mapping
from typing import Any

from checkvalve.agent import places
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.agent.steps import Slot
from checkvalve.protocol.reach import Limits, Log
from checkvalve.protocol.workload import Attachment, Service

HOST_NETWORK = "host"
_NANO = 1_000_000  # of a CPU, in a thousandth of one

LOGS = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}  # rule 4
PODMAN_LOGS = {"Type": "k8s-file", "Config": {"max-size": "10m"}}
_PLAIN = Log()
_NOWHERE = "/dev/checkvalve-nowhere"


def reach(said: Service) -> dict[str, Any]:
    """Return what is added to the part `HostConfig` of a request (rule 1)."""
    found: dict[str, Any] = {
        "Devices": [
            {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.rights}
            for each in said.devices
        ],
        "ExtraHosts": [f"{name}:{address}" for name, address in sorted(said.extra_hosts.items())],
        "CapAdd": list(said.cap_add),
        "GroupAdd": list(said.group_add),
        "Sysctls": dict(said.sysctls),
        "Ulimits": [
            {"Name": name, "Soft": each.soft, "Hard": each.hard} for name, each in sorted(said.ulimits.items())
        ],
        "Privileged": said.privileged,
        **_limits(said.limits),
    }
    return {key: value for key, value in found.items() if value}


def mounts(slot: Slot, service: str, files: str, secrets: str) -> list[dict[str, Any]]:
    """Return the mounts of paths of the host; `files` and `secrets` are roots as `places` has them."""
    said = slot.manifest.services[service]
    laid = [(places.file(files, slot.attempt, service, each.name), each.target) for each in said.files]
    laid += [(places.secret(secrets, slot.attempt, service, each.name), each.target) for each in said.secrets]
    return [
        *({"Type": "bind", "Source": path, "Target": target, "ReadOnly": True} for path, target in laid),
        *(
            {"Type": "bind", "Source": each.source, "Target": each.target, "ReadOnly": each.read_only}
            for each in said.binds
        ),
    ]


def tmpfs(paths: tuple[str, ...]) -> dict[str, str]:
    """Return what is in memory, path -> options."""
    return {path: options for path, _, options in (each.partition(":") for each in paths)}


def log(said: Log, *, podman: bool) -> dict[str, Any]:
    """Return how a container's log is kept (rule 4)."""
    if said == _PLAIN:
        return PODMAN_LOGS if podman else LOGS
    if said.driver in ("journald", "none"):
        return {"Type": said.driver, "Config": {}}
    size = str(said.size or _PLAIN.size)
    if podman:
        return {"Type": "k8s-file", "Config": {"max-size": size}}
    config = {"max-size": size, "max-file": str(said.files)}
    if said.driver == "local" and said.files == 1:
        config["compress"] = "false"  # Docker packs what it has put aside, and there is nothing then
    return {"Type": said.driver, "Config": config}


def attachments(said: Service) -> list[Attachment]:
    """Return the networks of a service, the one first that its container is made on (rule 5)."""
    return sorted(said.networks, key=lambda each: not each.mac)


def endpoint(service: str, attachment: Attachment) -> dict[str, Any]:
    """Return how a container is on a network."""
    found: dict[str, Any] = {"Aliases": sorted({service, *attachment.aliases})}
    given = {"IPv4Address": attachment.ipv4, "IPv6Address": attachment.ipv6}
    if fixed := {key: value for key, value in given.items() if value}:
        found["IPAMConfig"] = fixed
    if attachment.mac:
        found["MacAddress"] = attachment.mac
    return found


async def reaches(wire: Wire, name: str, body: Mapping[str, Any]) -> None:
    """Return if the devices of the container that was made by this request are there; else `RefusedError`.

    Docker looks for them only at a start. So it is asked for mounts of them in a second container of the same name: it
    looks for the sources of mounts first, and then refuses the name (409), so that nothing comes of it.
    """
    devices = body["HostConfig"].get("Devices", ())
    if not devices:
        return
    mounts = [{"Type": "bind", "Source": each["PathOnHost"], "Target": f"/{at}"} for at, each in enumerate(devices)]
    again = {"Image": body["Image"], "HostConfig": {"NetworkMode": "none", "Mounts": mounts}}
    try:
        await wire.call("POST", "/containers/create", params={"name": name}, body=again)
    except RefusedError as error:
        if error.status != 409:
            raise


async def present(wire: Wire, name: str, body: Mapping[str, Any]) -> None:
    """Return if the paths of the host are there that a request mounts; else `RefusedError`. For Podman.

    It would make folders of those that are not. It makes no device: asked for the path as one, and for another that is
    nowhere, it says which of the two it misses, and nothing comes of it.
    """
    for each in body["HostConfig"]["Mounts"]:
        if each["Type"] != "bind":
            continue
        devices = [
            {"PathOnHost": path, "PathInContainer": f"/{at}", "CgroupPermissions": "r"}
            for at, path in enumerate((each["Source"], _NOWHERE))
        ]
        asked = {"Image": body["Image"], "HostConfig": {"NetworkMode": "none", "Devices": devices}}
        try:
            await wire.call("POST", "/containers/create", params={"name": name}, body=asked)
        except RefusedError as error:
            if f"stat {each['Source']}: no such file" in error.sentence:
                raise


def _limits(said: Limits) -> dict[str, Any]:
    return {
        "Memory": said.memory,
        "MemoryReservation": said.reserved,
        "NanoCpus": said.cpus * _NANO,
        "CpusetCpus": said.cpuset,
        "PidsLimit": said.pids,
        "ShmSize": said.shm,
    }
