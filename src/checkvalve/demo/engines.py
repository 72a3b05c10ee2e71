# SPDX-License-Identifier: Apache-2.0
"""What runs the devices' containers: the Docker or Podman of this machine if it can, else an engine that is simulated.

Rules: 1. an engine that answers is tried with a container of the demo's own, so that one that cannot run any (no
cgroups, no bridge) is known before a rollout fails of it; 2. nothing is touched that has neither the demo's label nor
the label of a device of the demo; 3. nothing is published, and subnets come from a block that nothing here uses.
"""

import contextlib
import ipaddress
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from checkvalve import clock
from checkvalve.agent import main as agent
from checkvalve.agent import steps
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.demo import memory, programs, station
from checkvalve.demo.programs import Architecture

# Blocks of private addresses that few people use; each device gets a sixteenth.
_BLOCKS = ("10.213.48.0/22", "172.30.244.0/22", "192.168.236.0/22", "10.117.240.0/22")
MACHINE = programs.MACHINES.get(platform.machine(), "amd64")
_ROUTES = Path("/proc/net/route")
_AT_ONCE = 4
_PATIENCE = 60.0  # seconds

Running = dict[str, str]  # service -> release that runs it


class Engine(Protocol):
    """What runs the containers of all devices."""

    simulated: bool
    kind: str  # Docker, Podman, simulated engine
    architecture: Architecture

    @property
    def address(self) -> str:
        """Return the path of its socket, empty if it has none."""
        ...

    @property
    def sentence(self) -> str:
        """Say what it is, for people."""
        ...

    def words(self, number: int) -> tuple[str, ...]:
        """Return what the agent of the device with this number, from 0, is told."""
        ...

    def running(self, device: str, directory: Path) -> Running:
        """Return what runs of a device now."""
        ...

    def environment(self, device: str, directory: Path, service: str) -> dict[str, str]:
        """Return the environment of a service that runs; nothing if none does."""
        ...

    def cut(self, device: str, directory: Path) -> int:
        """End all containers of a device, as when its power is cut; return how many ran."""
        ...

    def clear(self, mark: str, devices: Iterable[str]) -> int:
        """Remove what has the demo's label with this value, and all that is of these devices; return how much."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


@dataclass
class Pretended:
    """An engine of each device's own, in a file in its directory (`agent.engine.simulated`)."""

    why: str = "it was asked for"
    simulated: bool = True
    kind: str = "simulated engine"
    address: str = ""
    architecture: Architecture = MACHINE

    @property
    def sentence(self) -> str:
        """Say that nothing runs, and why."""
        return (
            f"The containers are simulated ({self.why}): the devices are real processes that decide, write, sign and "
            "dial as they would, on an engine that is played."
        )

    def words(self, number: int) -> tuple[str, ...]:  # noqa: ARG002 - all are the same
        """Return what an agent is told."""
        return ("--engine", "simulated")

    def running(self, device: str, directory: Path) -> Running:  # noqa: ARG002 - one file has one device
        """Return what runs in the device's file."""
        return {each["service"]: each["release"] for each in _boxes(directory)}

    def environment(self, device: str, directory: Path, service: str) -> dict[str, str]:  # noqa: ARG002 - as `running`
        """Return the environment of a service that runs."""
        return next((dict(each["environment"]) for each in _boxes(directory) if each["service"] == service), {})

    def cut(self, device: str, directory: Path) -> int:
        """Start the played engine anew: with the policies that the demo has, nothing runs afterwards."""
        before = len(self.running(device, directory))
        Simulated(device, _no_blob, directory / agent.SIMULATED).restart_daemon()
        return before

    def clear(self, mark: str, devices: Iterable[str]) -> int:  # noqa: ARG002 - it is in the devices' directories
        """Leave it to whoever removes the directories."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


def _boxes(directory: Path) -> list[dict[str, Any]]:
    file = directory / agent.SIMULATED
    boxes = json.loads(file.read_bytes())["boxes"].values() if file.exists() else ()
    return [each for each in boxes if each["status"] == "running"]


@dataclass
class Real:
    """The engine that answers at a socket; `pool` is the block that devices get their subnets of."""

    path: Path
    kind: str  # Docker, Podman
    version: str
    architecture: Architecture
    pool: ipaddress.IPv4Network | None = None
    simulated: bool = False
    secrets: Path | None = None  # where devices have theirs in memory
    _http: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        transport = httpx.HTTPTransport(uds=str(self.path), limits=httpx.Limits(max_connections=_AT_ONCE * 2))
        self._http = httpx.Client(base_url="http://engine", transport=transport, timeout=_PATIENCE, trust_env=False)

    @property
    def address(self) -> str:
        """Return where its socket is."""
        return str(self.path)

    @property
    def sentence(self) -> str:
        """Say what it is, and what the demo does there."""
        return (
            f"The containers run on {self.kind} {self.version} ({self.path}), under the label {station.LABEL}, "
            f"on networks from {self.pool}, with no published port; nothing else there is touched."
        )

    def words(self, number: int) -> tuple[str, ...]:
        """Return what an agent is told: the socket, and its share of the pool."""
        share = "" if self.pool is None else str(list(self.pool.subnets(new_prefix=self.pool.prefixlen + 4))[number])
        lies = () if self.secrets is None else ("--runtime", str(self.secrets / str(number)))
        return ("--engine", "docker", "--socket", f"unix://{self.path}", *lies, "--pool", share)

    def running(self, device: str, directory: Path) -> Running:  # noqa: ARG002 - the engine knows
        """Return what runs with the device's label."""
        labels = [each["Labels"] for each in self._containers(f"{steps.DEVICE}={device}", every=False)]
        return {each.get(steps.SERVICE, ""): each.get(steps.RELEASE, "") for each in labels}

    def environment(self, device: str, directory: Path, service: str) -> dict[str, str]:  # noqa: ARG002 - the same
        """Return the environment of a service that runs with the device's label."""
        found = self._containers(f"{steps.DEVICE}={device}", every=False)
        for each in (one for one in found if one["Labels"].get(steps.SERVICE) == service):
            said = self._http.get(f"/containers/{each['Id']}/json").raise_for_status().json()
            return dict(str(line).split("=", 1) for line in said["Config"]["Env"] or ())
        return {}

    def cut(self, device: str, directory: Path) -> int:  # noqa: ARG002 - the engine knows
        """Kill the device's containers."""
        found = self._containers(f"{steps.DEVICE}={device}", every=False)
        for each in found:
            self._ask("POST", f"/containers/{each['Id']}/kill")
        return len(found)

    def clear(self, mark: str, devices: Iterable[str]) -> int:
        """Remove containers, then the networks and images of the devices that had them (rule 2)."""
        found = {each["Id"]: each for each in self._containers(f"{station.LABEL}={mark}")}
        owners = {*devices, *(each["Labels"].get(steps.DEVICE, "") for each in found.values())} - {""}
        for device in owners:
            found |= {each["Id"]: each for each in self._containers(f"{steps.DEVICE}={device}")}
        networks = [each["Id"] for each in self._listed("/networks") if _of(each, owners, mark)]
        names = [name for each in self._listed("/images/json") for name in each.get("RepoTags") or ()]
        images = [name for name in names if _whose(name) in owners]
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # one kind after the other: they hold each other
            for paths in (
                [f"/containers/{each}?force=1&v=1" for each in found],
                [f"/networks/{each}" for each in networks],
                [f"/images/{each}" for each in images],
            ):
                list(pool.map(lambda path: self._ask("DELETE", path), paths))
        memory.clear(mark)
        return len(found) + len(networks) + len(images)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def tried(self, mark: str) -> str:
        """Run a container to its end on a network of the pool; return why that cannot be, "" if it can (rule 1)."""
        self.pool = _free(self._subnets())
        if self.pool is None:
            return "no block of addresses is free for it"
        self.secrets = memory.made(mark)
        if self.secrets is None:
            return f"there is no memory for secrets at {memory.ROOT}"
        name, labels = f"checkvalve-demo-{clock.new_id()}", {station.LABEL: mark}
        image = f"{name}:trial"
        archive = station.archive({image: programs.ends(self.architecture, 0, 0, "")}, self.architecture, b"")
        address = {"Config": [{"Subnet": str(next(self.pool.subnets(new_prefix=28)))}]}
        mount = {"Type": "bind", "Source": str(self.secrets), "Target": "/secrets"}  # one on another machine has none
        host = {"NetworkMode": name, "Mounts": [mount]}
        body = {"Image": image, "Labels": labels, "HostConfig": host}
        try:
            self._said("POST", "/networks/create", {"Name": name, "Labels": labels, "IPAM": address})
            self._loaded(archive)
            made = self._said("POST", f"/containers/create?name={name}", body)["Id"]
            self._said("POST", f"/containers/{made}/start")
            code = self._said("POST", f"/containers/{made}/wait")["StatusCode"]
        except (httpx.HTTPError, KeyError, ValueError) as error:
            return f"it could not run a container: {str(error)[:300]}"
        finally:
            for path in (f"/containers/{name}?force=1", f"/networks/{name}", f"/images/{image}"):
                self._ask("DELETE", path)
        return "" if code == 0 else f"a container there ended with {code}"

    def _subnets(self) -> list[str]:
        listed = self._listed("/networks")
        return [one.get("Subnet", "") for each in listed for one in (each.get("IPAM") or {}).get("Config") or ()]

    def _containers(self, label: str, *, every: bool = True) -> list[dict[str, Any]]:
        return self._listed("/containers/json", all=int(every), filters=json.dumps({"label": [label]}))

    def _listed(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return list(answer.json() or ())

    def _loaded(self, archive: bytes) -> None:
        headers = {"Content-Type": "application/x-tar"}
        self._http.post("/images/load", content=archive, headers=headers).raise_for_status()

    def _said(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise httpx.HTTPError(answer.text.strip())
        return answer.json() if answer.content else {}

    def _ask(self, method: str, path: str) -> None:
        with contextlib.suppress(httpx.HTTPError):  # what is gone already is what was wanted
            self._http.request(method, path)


def clear(mark: str, devices: Iterable[str], known: str) -> int:
    """Remove what an earlier demo left on the engine at the socket `known`, and on the one that answers now."""
    found = [engine for engine in (_at(Path(known)) if known else None, answering()) if engine is not None]
    owners = list(devices)
    removed = sum(engine.clear(mark, owners) for engine in found)
    for engine in found:
        engine.close()
    return removed


def find(mark: str) -> Engine:
    """Return the engine to play on; `mark` is the value of the demo's label."""
    found = answering()
    if found is None:
        return Pretended("no Docker or Podman answers here")
    why = found.tried(mark)
    if why:
        found.close()
        return Pretended(f"{found.kind} answers here, but {why}")
    return found


def answering() -> Real | None:
    """Return the first engine that answers on this machine, None if there is none."""
    said = os.environ.get("DOCKER_HOST", "")
    addresses = (*([said] if said.startswith("unix://") else ()), *agent.SOCKETS)
    found = (_at(Path(address.removeprefix("unix://"))) for address in addresses)
    return next((engine for engine in found if engine is not None), None)


def _at(path: Path) -> Real | None:
    with contextlib.suppress(httpx.HTTPError, OSError, KeyError, ValueError):
        return _asked(path) if path.is_socket() else None
    return None


def _asked(path: Path) -> Real:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=5, trust_env=False) as http:
        version = http.get("http://engine/version").raise_for_status().json()
    parts = [str(each.get("Name", "")).lower() for each in version.get("Components") or ()]
    kind = "Podman" if any("podman" in each for each in parts) else "Docker"
    return Real(path, kind, str(version["Version"]), programs.MACHINES[str(version["Arch"])])


def _free(taken: Sequence[str]) -> ipaddress.IPv4Network | None:
    """Return the first block that no network of the engine and no route of this machine overlaps (rule 3)."""
    used = [*_routes()]
    for text in taken:
        with contextlib.suppress(ValueError):
            used.append(ipaddress.IPv4Network(text))
    blocks = [ipaddress.IPv4Network(text) for text in _BLOCKS]
    return next((block for block in blocks if not any(block.overlaps(each) for each in used)), None)


def _routes() -> list[ipaddress.IPv4Network]:
    found = []
    lines = _ROUTES.read_text().splitlines()[1:] if _ROUTES.exists() else []
    for line in lines:
        _, address, _, _, _, _, _, mask = line.split()[:8]
        numbers = [int.from_bytes(bytes.fromhex(each), "little") for each in (address, mask)]
        if numbers[1]:  # the default route is no network of anybody's
            found.append(ipaddress.IPv4Network((numbers[0], numbers[1].bit_count())))
    return found


def _of(network: Mapping[str, Any], owners: set[str], mark: str) -> bool:
    labels = network.get("Labels") or {}
    return labels.get(steps.DEVICE) in owners or labels.get(station.LABEL) == mark


def _whose(image: str) -> str:
    """Return the device that gave an image this name (`agent.engine.reading.image_name`), "" if none did."""
    place, _, rest = image.rpartition("checkvalve/")
    return rest.partition(":")[0] if rest != image and place in ("", "localhost/") else ""


def _no_blob(digest: str) -> Any:  # noqa: ANN401 - it is never asked
    raise FileNotFoundError(digest)
