# SPDX-License-Identifier: Apache-2.0
"""Networks of one device in an engine: each is made once, whatever the engine allows, and never taken from another."""

import asyncio
import ipaddress
from typing import Any

from checkvalve.agent import steps
from checkvalve.agent.engine import subnets
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.errors import ConflictError

_TRIES = 12
_PAUSES = (0.1, 0.2, 0.3, 0.5, 0.8)  # seconds: each device begins at another, so that two do not go in step


class Networks:
    """Makes and drops them; `pool` is where their subnets come from, None: from where the engine likes."""

    def __init__(self, wire: Wire, device: str, pool: ipaddress.IPv4Network | None) -> None:
        self._wire = wire
        self._device = device
        self._pool = pool
        self._one = asyncio.Lock()  # two at once would choose one subnet, and Docker lets two have one name

    async def make(self, name: str, *, internal: bool) -> None:
        """Have a network; `ConflictError` (`engine.pool_full`, `engine.foreign`, `engine.refused`)."""
        async with self._one:
            refused: list[str] = []
            for last in (*[False] * _TRIES, True):
                there = await self._there()
                ours = [each for each in there if self._is_ours(each, name)]
                for each in ours[1:]:  # two requests at once, one of them cut short, may each have made one
                    await self._delete(each)
                if ours:
                    return
                body = self._body(name, there, refused, internal=internal)
                try:
                    await self._wire.call("POST", "/networks/create", body=body)
                except RefusedError:
                    if last:
                        raise
                else:
                    return
                # An earlier request for it may be under way, or something else on this machine have the subnet.
                refused += [config["Subnet"] for config in body.get("IPAM", {}).get("Config", ())]
                await asyncio.sleep(_PAUSES[(sum(self._device.encode()) + len(refused)) % len(_PAUSES)])

    async def drop(self, name: str) -> None:
        """Have no such network; `ConflictError` (`engine.refused`) while a container is on it."""
        for each in await self._there():
            if self._is_ours(each, name):
                await self._delete(each)

    def _body(self, name: str, there: list[dict[str, Any]], refused: list[str], *, internal: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": internal,
            "Labels": {steps.DEVICE: self._device},
        }
        if self._pool is not None:
            body["IPAM"] = {"Config": [{"Subnet": subnets.free(self._pool, [*_taken(there), *refused])}]}
        return body

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


def _taken(there: list[dict[str, Any]]) -> list[str]:
    return [config.get("Subnet", "") for each in there for config in (each.get("IPAM") or {}).get("Config") or ()]
