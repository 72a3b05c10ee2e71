# SPDX-License-Identifier: Apache-2.0
"""Networks of one device in an engine: each is made once, whatever the engine allows, and never taken from another.

Rules: 1. one without a subnet of its own gets one of the pool, if the operator gave one, and another if that is taken;
2. one with its own subnet gets that or is refused; 3. a container that runs keeps its network: Podman
would take it away under it. Those that do not run are taken off where the engine asks for that.
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from checkvalve.agent import steps
from checkvalve.agent.engine import reading, refusals, subnets
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.agent.steps import Ground, MakeNetwork
from checkvalve.errors import ConflictError

_TRIES = 12
_TRIES_FIXED = 2  # an earlier request for it may be under way, but no other subnet will do
_PAUSES = (0.1, 0.2, 0.3, 0.5, 0.8)  # seconds: each device begins at another, so that two do not go in step
_PARENT = "checkvalve.parent"  # label: Podman tells the interface nowhere else
HIDDEN = frozenset({"macvlan", "ipvlan"})  # drivers: a device does not reach the addresses on its own interface


class Networks:
    """Makes and drops them; `pool` is where their subnets come from, None: from where the engine likes."""

    def __init__(self, wire: Wire, device: str, pool: ipaddress.IPv4Network | None) -> None:
        self._wire = wire
        self._device = device
        self._pool = pool
        self._one = asyncio.Lock()  # two at once would choose one subnet, and Docker lets two have one name

    async def make(self, step: MakeNetwork) -> None:
        """Have a network; `ConflictError` (`engine.pool_full`, `engine.foreign`, `engine.refused`)."""
        fixed = bool(step.definition.subnet or step.definition.parent)
        async with self._one:
            refused: list[str] = []
            for last in (*[False] * (_TRIES_FIXED if fixed else _TRIES), True):
                there = await self._there()
                ours = [each for each in there if self._is_ours(each, step.name)]
                for each in ours[1:]:  # two requests at once, one of them cut short, may each have made one
                    await self._delete(each)
                if ours:
                    return
                body = self._body(step, there, refused)
                try:
                    await self._wire.call("POST", "/networks/create", body=body)
                except RefusedError as error:
                    if last:
                        raise refusals.told(f"The network {step.name}", error) from error
                else:
                    return
                # An earlier request for it may be under way, or something else on this machine have the subnet.
                refused += [config["Subnet"] for config in body.get("IPAM", {}).get("Config", ())]
                await asyncio.sleep(_PAUSES[(sum(self._device.encode()) + len(refused)) % len(_PAUSES)])

    async def drop(self, name: str) -> None:
        """Have no such network; `ConflictError` (`engine.refused`) while a container that runs is on it."""
        for each in await self._there():
            if not self._is_ours(each, name):
                continue
            on = await self._on(name)
            if running := [one for one in on if not reading.idle(one)]:
                names = ", ".join(sorted(str(one.get("Names", ["?"])[0]).lstrip("/") for one in running))
                raise ConflictError(
                    "engine.refused", f"The network {name} is in use: {names} runs on it.", "Stop what runs on it."
                )
            try:
                await self._delete(each)
            except RefusedError:
                if not on:
                    raise
                await self._take_off(name, on)
                await self._delete(each)

    def _body(self, step: MakeNetwork, there: list[dict[str, Any]], refused: list[str]) -> dict[str, Any]:
        said = step.definition
        labels = {steps.DEVICE: self._device}
        body: dict[str, Any] = {
            "Name": step.name,
            "CheckDuplicate": True,
            "Driver": said.driver,
            "Internal": step.internal,
            "Labels": labels,
        }
        if said.parent:
            body["Options"] = {"parent": said.parent}
            labels[_PARENT] = said.parent
        ours: list[dict[str, str]] = []
        if said.subnet:  # rule 2
            config = {"Subnet": said.subnet, "Gateway": said.gateway, "IPRange": said.range}
            ours += [{key: value for key, value in config.items() if value}]
            body["EnableIPv6"] = ":" in said.subnet
        if self._pool is not None and (not said.subnet or ":" in said.subnet):
            ours += [{"Subnet": subnets.free(self._pool, [*_taken(there), *refused])}]  # rule 1
        if ours:
            body["IPAM"] = {"Config": ours}
        return body

    async def _on(self, name: str) -> list[dict[str, Any]]:
        """Return the containers that are on a network, or were when they ran."""
        filters = f'{{"network":["{name}"]}}'
        return list(await self._wire.call("GET", "/containers/json", params={"all": "1", "filters": filters}) or ())

    async def _take_off(self, name: str, containers: Iterable[Mapping[str, Any]]) -> None:
        for each in containers:
            body = {"Container": each["Id"], "Force": True}
            try:
                async with self._wire.open("POST", f"/networks/{name}/disconnect", body=body):
                    pass  # as at `connect`: not every engine answers in JSON
            except RefusedError as error:
                if error.status != 404:
                    raise

    async def _delete(self, said: dict[str, Any]) -> None:
        try:
            await self._wire.call("DELETE", f"/networks/{said['Id']}")
        except RefusedError as error:
            if error.status != 404:
                raise

    async def _there(self) -> list[dict[str, Any]]:
        return list(await self._wire.call("GET", "/networks") or ())

    def _is_ours(self, said: dict[str, Any], name: str) -> bool:
        if said["Name"] != name:
            return False
        if (said.get("Labels") or {}).get(steps.DEVICE) != self._device:
            raise ConflictError(
                "engine.foreign",
                f"A network {name} is there that this device did not make.",
                "Rename it, or remove it.",
            )
        return True


def grounds(listed: Iterable[Mapping[str, Any]]) -> frozenset[Ground]:
    """Return what each of these networks takes."""
    return frozenset(
        Ground(
            str(each["Name"]),
            tuple(sorted(_subnets(each))),
            str((each.get("Options") or {}).get("parent") or (each.get("Labels") or {}).get(_PARENT) or ""),
        )
        for each in listed
    )


def _taken(there: list[dict[str, Any]]) -> list[str]:
    return [subnet for each in there for subnet in _subnets(each)]


def _subnets(said: Mapping[str, Any]) -> list[str]:
    return [str(config.get("Subnet", "")) for config in (said.get("IPAM") or {}).get("Config") or ()]
