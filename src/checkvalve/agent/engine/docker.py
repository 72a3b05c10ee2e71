# SPDX-License-Identifier: Apache-2.0
"""Runs the containers of one device on a Docker engine, or on Podman, which answers the same API.

Rules: 1. what has not this device's label is never touched, whatever its name; 2. what a container is called is asked
once, at the last look: while services are down, a stop and a start are one request each; 3. a step is right when things
are as it says, whoever made them so; 4. a container with another content than wanted is made anew, unless it runs
for another attempt; 5. Podman 4 cannot change the policy of a container: there the agent alone starts again what ends,
and the policy asked for is remembered here. An agent that comes anew sees `no`, and asks again;
6. Podman hands out a volume's files as if they were all root's, so that nothing is copied there, and a release that
needs a copy is refused before anything is stopped for it; 7. what a container needs of the host is looked for as it is
made: nothing has been stopped for it then.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from checkvalve.agent import steps
from checkvalve.agent.engine import (
    archive,
    containers,
    copying,
    host,
    loading,
    probing,
    reading,
    reading_logs,
    refusals,
    storing,
    subnets,
)
from checkvalve.agent.engine.networks import HIDDEN, Networks, grounds
from checkvalve.agent.engine.watching import Ended, Watching
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.agent.laying.simulated import Simulated as NoLaying
from checkvalve.agent.ports import About, Laying, OpenBlob
from checkvalve.agent.steps import Container, Observed, Slot, Step
from checkvalve.errors import ConflictError
from checkvalve.protocol.workload import ExecProbe, Probe

SOCKET = "unix:///var/run/docker.sock"
_STARTS = 300.0  # seconds an engine may take for a start, a stop beyond its grace, or a removal, on a slow card
_SETTLES = 50  # tries, a fifth of a second apart, until an engine has ended what it is doing with a name


class Docker:
    """An engine (`ports.Engine`). `pool` is the IPv4 network its networks get subnets of; "": as the engine likes.

    `laying` is where files and secrets of releases lie; without one, no release is given any.
    """

    def __init__(
        self,
        device: str,
        open_blob: OpenBlob,
        *,
        socket: str = SOCKET,
        pool: str = "",
        laying: Laying | None = None,
    ) -> None:
        self._device = device
        self._laying: Laying = laying or NoLaying()
        self._open_blob = open_blob
        self._wire = Wire(socket)
        self._networks = Networks(self._wire, device, subnets.pool(pool) if pool else None)
        self._watching = Watching(self._wire, device)
        self._known: dict[str, str] = {}  # container by name or id -> id (rule 2)
        self._images: dict[str, str] = {}  # engine's id -> config digest
        self._nets: dict[str, dict[str, Any]] = {}  # this device's networks by name, as last seen
        self.copied: dict[str, int] = {}
        self._policies: dict[str, str] = {}  # container's id -> what Podman does not keep (rule 5)

    async def about(self) -> About:
        """Return what it is."""
        version = await self._wire.version()
        words, root = f"{version.kind} {version.number}".strip(), ""
        with contextlib.suppress(ConflictError):  # who stands before the socket may not let it through
            root = str((await self._wire.call("GET", "/info") or {}).get("DockerRootDir") or "")
        return About(version.kind, words, root)

    async def observe(self) -> Observed:
        """Return what there is now of this device, and all images."""
        params = {"filters": json.dumps({"label": [f"{steps.DEVICE}={self._device}"]})}
        listed, networks, volumes, images = await asyncio.gather(
            self._wire.call("GET", "/containers/json", params={"all": "1", **params}),
            self._wire.call("GET", "/networks", params=params),
            self._wire.call("GET", "/volumes", params=params),
            self._wire.call("GET", "/images/json", params={"all": "1"}),
        )
        ours = [str(each["Id"]) for each in listed or () if steps.ATTEMPT in (each.get("Labels") or {})]
        inspected = await asyncio.gather(*(self._inspect(each) for each in ours))
        self._images = reading.images(images or ())
        self._nets = {str(each["Name"]): each for each in networks or ()}
        found = [self._seen(said) for said in inspected if said is not None]
        self._known = {key: each.id for each in found for key in (each.id, each.name)}
        return Observed(
            containers=tuple(sorted(found, key=lambda each: each.name)),
            images=reading.whole(images or ()),
            networks=frozenset(self._nets),
            volumes=reading.volumes((volumes or {}).get("Volumes") or ()),
            halves=reading.halves((volumes or {}).get("Volumes") or ()),
            laid=self._laying.laid(),
            grounds=grounds(self._nets.values()),
            begun=reading.begun(images or (), self._device),
        )

    async def do(self, step: Step) -> None:
        """Take a step; codes as `ports.Engine.do` has them, and `engine.foreign` (rule 1), `engine.pool_full`."""
        match step:
            case steps.Load():
                await self._load(step)
            case steps.DropImage():
                let_go = loading.sweep if step.begun else loading.drop
                await let_go(self._wire, self._device, step.image)
            case steps.MakeNetwork():
                await self._networks.make(step)
            case steps.DropNetwork():
                await self._networks.drop(step.name)
            case steps.MakeVolume() | steps.CopyVolume() | steps.DropVolume():
                await storing.take(self._wire, self._device, step, self._images, self.copied)
            case steps.Create():
                await self._create(step.slot, step.service)
            case steps.Lay():
                self._laying.lay(step.slot)
            case steps.Unlay():
                self._laying.unlay(step.attempt)
            case _:
                await self._change(step)

    async def probe(self, container: str, probe: Probe) -> str:
        """Return "" if the probe passes within its timeout, else why it does not."""
        identity = await self._identity(container)
        if identity is None:
            return "There is no such container."
        if isinstance(probe, ExecProbe):
            return await probing.run(self._wire, identity, probe)
        hidden = {name for name, each in self._nets.items() if each.get("Driver") in HIDDEN}
        return await probing.dial(await self._inspect(identity) or {}, hidden, probe)

    async def logs(self, container: str, lines: int, limit: int, since: int = 0) -> str:
        """Return the last lines of both streams, at most `limit` bytes; "" of a container that is gone."""
        identity = await self._identity(container)
        return "" if identity is None else await reading_logs.last(self._wire, identity, lines, limit, since)

    async def follow(self, container: str, lines: int, since: int = 0) -> AsyncIterator[str]:
        """Yield the last lines of both streams, and what they say from then on."""
        identity = await self._identity(container)
        if identity is not None:
            async for piece in reading_logs.following(self._wire, identity, lines, since):
                yield piece

    async def inspect(self, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of it."""
        identity = await self._identity(container)
        return {} if identity is None else await self._inspect(identity) or {}

    async def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each volume of this device."""
        return await storing.sizes(self._wire, self._device)

    def export(self, volume: str, folder: str) -> AsyncIterator[bytes]:
        """Yield a tar of what a volume holds."""
        return storing.export(self._wire, self._device, volume, folder)

    async def changed(self) -> None:
        """Return when a container may have changed."""
        await self._watching.changed()

    async def close(self) -> None:
        """Let go of connections."""
        await self._watching.close()
        await self._wire.close()

    # ---- Containers. ----

    async def _change(self, step: steps.Policy | steps.Stop | steps.Start | steps.Remove) -> None:
        match step:
            case steps.Policy():
                await self._policy(step.container, step.policy)
            case steps.Stop():
                await self._stop(step.container, containers.seconds(step.grace_ms))
            case steps.Start():
                await self._start(step.container)
            case steps.Remove():
                await self._remove(step.container)

    def _seen(self, said: dict[str, Any]) -> Container:
        networks = {name: str(each.get("Id", "")) for name, each in self._nets.items()}
        found = reading.container(said, self._images, networks)
        policy, ended = self._policies.get(found.id, found.policy), self._watching.ended.get(found.id, Ended())
        return replace(found, policy=policy, last_exit=ended.code, oom=found.oom or ended.oom)

    async def _policy(self, container: str, policy: str) -> None:
        try:
            _there(container, await self._on(container, "POST", "/update", body={"RestartPolicy": {"Name": policy}}))
        except RefusedError as error:
            if error.status != 404 or not await self._podman():
                raise
        if await self._podman():
            identity = await self._identity(container)
            _there(container, identity is not None)
            self._policies[str(identity)] = policy

    async def _podman(self) -> bool:
        return (await self._wire.version()).kind == "podman"

    async def _create(self, slot: Slot, service: str) -> None:
        wanted = await self._wanted(slot, service)
        image = slot.manifest.services[service].image
        body = wanted.body | {"Image": await loading.known(self._wire, self._device, image, self._images)}
        podman = await self._podman()
        try:
            if podman:  # rule 7
                await host.present(self._wire, wanted.name, body)
            await self._make(wanted, body, slot)
            if not podman:
                await host.reaches(self._wire, wanted.name, body)
        except RefusedError as error:
            raise refusals.told(service, error) from error

    async def _make(self, wanted: containers.Wanted, body: dict[str, Any], slot: Slot) -> None:
        for volume in wanted.copies:
            await copying.possible(self._wire, self._device, volume)
            await copying.wait_for(self._wire, self._device, volume)
        for _ in range(_SETTLES):
            try:
                made = await self._wire.call(
                    "POST", "/containers/create", params={"name": wanted.name}, body=body, seconds=_STARTS
                )
                self._known[wanted.name] = str(made["Id"])
                return await self._attach(wanted, str(made["Id"]), list(wanted.attached)[:1])
            except RefusedError as error:
                if error.status != 409:
                    raise
            said = await self._inspect(wanted.name)
            if said is None:  # somebody's request for the same name is under way, or its removal
                await asyncio.sleep(0.2)
            elif self._fits(said, slot, wanted):
                return await self._attach(wanted, str(said["Id"]), reading.on(said))
            else:
                await self._remove(wanted.name)
        raise ConflictError(
            "engine.refused", f"The engine does not let go of the name {wanted.name}.", "Start the engine again."
        )

    async def _wanted(self, slot: Slot, service: str) -> containers.Wanted:
        said, own = slot.manifest.services[service], ()
        if containers.needs_entrypoint(said):
            with self._open_blob(said.image) as file:
                config = json.load(file)
            own = tuple((config.get("config") or {}).get("Entrypoint") or ())
        return containers.wanted(
            slot,
            service,
            entrypoint=own,
            podman=await self._podman(),
            files=self._laying.files,
            secrets=self._laying.runtime,
        )

    def _fits(self, said: dict[str, Any], slot: Slot, wanted: containers.Wanted) -> bool:
        """Tell whether a container of the wanted name is the wanted one (rules 1 and 4)."""
        labels = (said.get("Config") or {}).get("Labels") or {}
        self._own(labels, wanted.name)
        found = reading.container(said, self._images)
        if labels.get(steps.ATTEMPT) != slot.attempt and found.state in ("running", "restarting", "paused"):
            raise ConflictError(
                "engine.refused", f"The container {wanted.name} runs for another deploy.", "Stop or remove it."
            )
        whole = found.state not in ("removing", "dead")
        same = labels.get(steps.ATTEMPT) == slot.attempt and labels.get(containers.DEFINITION) == wanted.definition
        return same and whole

    async def _attach(self, wanted: containers.Wanted, identity: str, on: Iterable[str]) -> None:
        """Put a container on the networks it is not on: this API makes it on one."""
        there = set(on)
        for network, endpoint in wanted.attached.items():
            if network not in there:
                body = {"Container": identity, "EndpointConfig": endpoint}
                async with self._wire.open("POST", f"/networks/{network}/connect", body=body):
                    pass  # Docker says nothing, Podman says OK, which is no JSON

    async def _start(self, container: str) -> None:
        try:
            _there(container, await self._on(container, "POST", "/start"))
        except RefusedError as error:
            if not await self._paused(container):
                raise refusals.told(container, error) from error
            await self._on(container, "POST", "/unpause")

    async def _stop(self, container: str, grace: int) -> None:
        how: dict[str, Any] = {"params": {"t": str(grace)}, "seconds": grace + _STARTS}
        try:
            await self._on(container, "POST", "/stop", **how)
        except RefusedError:
            if not await self._paused(container):
                raise
            await self._on(container, "POST", "/unpause")  # Podman stops nothing that is paused
            await self._on(container, "POST", "/stop", **how)

    async def _paused(self, container: str) -> bool:
        said = await self._inspect(container)
        return said is not None and reading.container(said, {}).state == "paused"

    async def _remove(self, container: str) -> None:
        """Volumes that have a name stay; those that an image asks for have none, and nothing could ever find them."""
        params = {"force": "1", "v": "1"}
        try:
            await self._on(container, "DELETE", "", params=params)
        except RefusedError as error:
            if error.status != 409:
                raise
        for _ in range(_SETTLES):  # a removal that is under way already
            self._known.pop(container, None)
            if await self._identity(container) is None:
                return
            await asyncio.sleep(0.2)
        raise ConflictError("engine.refused", f"The engine does not remove {container}.", "Start the engine again.")

    async def _on(
        self,
        container: str,
        method: str,
        what: str,
        *,
        params: dict[str, str] | None = None,
        body: object = None,
        seconds: float = _STARTS,
    ) -> bool:
        """Ask for something to be done with a container; False if there is none."""
        for last in (False, True):
            identity = await self._identity(container)
            if identity is None:
                return False
            try:
                path = f"/containers/{identity}{what}"
                await self._wire.call(method, path, params=params, body=body, seconds=seconds)
            except RefusedError as error:
                if error.status != 404 or (last and method != "DELETE"):
                    raise
                self._known.pop(container, None)
            else:
                return True
        return False

    async def _identity(self, container: str) -> str | None:
        """Return a container's id if it is there and ours (rules 1 and 2)."""
        known = self._known.get(container)
        if known is not None:
            return known
        said = await self._inspect(container)
        if said is None:
            return None
        self._own((said.get("Config") or {}).get("Labels") or {}, container)
        self._known[container] = str(said["Id"])
        return self._known[container]

    async def _inspect(self, container: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._wire.call("GET", f"/containers/{container}/json")
        except RefusedError as error:
            if error.status != 404:
                raise
            return None
        return found

    def _own(self, labels: dict[str, str], name: str) -> None:
        if labels.get(steps.DEVICE) != self._device:
            raise ConflictError(
                "engine.foreign", f"{name} is there, and this device did not make it.", "Rename it, or remove it."
            )

    # ---- Images. ----

    async def _load(self, step: steps.Load) -> None:
        try:
            await loading.load(self._wire, self._device, step.image, self._open_blob)
        except ConflictError as error:
            raise loading.failed(step.image, error) from error
        name = reading.image_name(self._device, step.image.config)
        known = await loading.identity(self._wire, step.image.config, name, archive.manifest_digest(step.image))
        self._images[known] = step.image.config


def _there(container: str, found: bool) -> None:  # noqa: FBT001 -- the answer of the line before
    if not found:
        raise ConflictError("engine.refused", f"There is no container {container}.", "The device makes it anew.")
