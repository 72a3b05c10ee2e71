# SPDX-License-Identifier: Apache-2.0
"""Copies a volume into another one through the engine, so that it is whole or not there at all.

A volume cannot be renamed, and its labels never change, so small empty volumes beside it say that it is not whole: it
is `awaited` from before it exists (a container that mounts it may be made first), and its copy has `begun` from before
the first byte. Both marks go when all bytes are on the platter. Rules: 1. a copy that has begun and not ended is
thrown away whole, with the containers that were made to use it and never ran: they are made again; 2. data that a
container may have written is never thrown away; 3. the carriers, by which the engine reaches the volumes, never run.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

from checkvalve.agent import steps
from checkvalve.agent.engine import reading
from checkvalve.agent.engine.wire import PIECE, RefusedError, Wire
from checkvalve.agent.steps import CopyVolume
from checkvalve.errors import ConflictError

MARKS, CARRIERS = ("awaited", "begun"), ("giver", "taker")
_TRIES = 50
_PAUSE = 0.2  # seconds
SLOWLY = 6 * 3600.0  # seconds for a large volume on a slow card


def mark(volume: str, word: str) -> str:
    """Return the name of a mark beside a volume: `awaited` or `begun`."""
    return f"{volume}.{word}"


async def volume(wire: Wire, device: str, name: str, labels: dict[str, str] | None = None) -> None:
    """Have a volume of this device; `ConflictError` (`engine.foreign`) if there is one of another's."""
    body = {"Name": name, "Labels": {steps.DEVICE: device} | (labels or {})}
    try:
        found = await wire.call("POST", "/volumes/create", body=body)
    except RefusedError:  # Podman, to one of two who ask at once: the other may be this agent, cut short
        found = await _there(wire, name)
        if found is None:
            raise
    if not (found or {}).get("Labels"):  # since its last start Docker says so of one that was there before
        found = await wire.call("GET", f"/volumes/{name}")
    if ((found or {}).get("Labels") or {}).get(steps.DEVICE) != device:
        raise ConflictError(
            "engine.foreign", f"A volume {name} is there that this device did not make.", "Rename it, or remove it."
        )


async def wait_for(wire: Wire, device: str, name: str) -> None:
    """Mark a volume as awaited before a container that mounts it makes it; nothing if it is there."""
    if await _there(wire, name) is None:
        await volume(wire, device, mark(name, "awaited"), {reading.OF: name})


async def _there(wire: Wire, name: str) -> dict[str, Any] | None:
    """Return what the engine says of a volume, None if it has none of this name."""
    try:
        found: dict[str, Any] = await wire.call("GET", f"/volumes/{name}")
    except RefusedError as error:
        if error.status != 404:
            raise
        return None
    return found


async def possible(wire: Wire, device: str, volume: str) -> None:
    """Return if the engine can copy a volume into this one; a copy that is whole already needs none.

    Podman hands out a volume's files as if they were all root's: `ConflictError` (`engine.refused`).
    """
    if (await wire.version()).kind == "podman" and volume not in await whole(wire, device):
        raise ConflictError(
            "engine.refused",
            f"The volume {volume} is to be a copy, and Podman copies no volume with the owners of its files.",
            "Run Docker on this device, or let the release say `policy: keep` for the volume.",
        )


async def copy(wire: Wire, device: str, step: CopyVolume, image: str) -> int | None:
    """Have `step.target` hold what `step.source` holds; return its bytes, None if it did already.

    `image` is the engine's id of one that it has.
    """
    names = await volumes(wire, device)
    target = step.target
    awaited, begun = mark(target, "awaited"), mark(target, "begun")
    if target in names and not {awaited, begun} & names:
        return None
    if step.source not in names:
        raise ConflictError("engine.refused", f"There is no volume {step.source} to copy.")
    if begun in names:  # rule 1
        await _drop_users(wire, device, target)
        await gone(wire, f"/volumes/{target}")
    await volume(wire, device, awaited, {reading.OF: target})
    await volume(wire, device, target)
    await volume(wire, device, begun, {reading.OF: target})
    size = await _carry(wire, device, step, image)
    await asyncio.to_thread(os.sync)
    for word in CARRIERS:
        await gone(wire, f"/containers/{mark(target, word)}")
    await gone(wire, f"/volumes/{awaited}")
    await gone(wire, f"/volumes/{begun}")
    return size


async def _carry(wire: Wire, device: str, step: CopyVolume, image: str) -> int:
    """Stream the bytes, and count them. An engine locks a container while it reads from it: another takes them."""
    source = await carrier(wire, device, step.target, "giver", image, {"/data": step.source})
    # The mark is mounted too: what is in use, nobody prunes.
    mounts = {"/data": step.target, "/mark": mark(step.target, "begun")}
    target = await carrier(wire, device, step.target, "taker", image, mounts)
    # The folder itself, put into what is above it: so that its own owner and mode come along.
    here, above = {"path": "/data"}, {"path": "/"}
    size = 0
    async with wire.open("GET", f"/containers/{source}/archive", params=here, seconds=SLOWLY) as read:

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in read.content.iter_chunked(PIECE):
                size += len(piece)
                yield piece

        async with wire.open("PUT", f"/containers/{target}/archive", params=above, data=pieces(), seconds=SLOWLY):
            pass
    return size


async def carrier(
    wire: Wire, device: str, target: str, word: str, image: str, mounts: dict[str, str], *, read_only: bool = False
) -> str:
    """Return the name of a new container that will never run, and has these volumes (path -> volume)."""
    name = mark(target, word)
    body = {
        "Image": image,
        "Cmd": ["none"],
        "Labels": {steps.DEVICE: device, reading.OF: target},
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": volume,
                    "Target": at,
                    "ReadOnly": read_only,
                    "VolumeOptions": {"NoCopy": True},
                }
                for at, volume in mounts.items()
            ],
        },
    }
    for last in (*[False] * _TRIES, True):
        await gone(wire, f"/containers/{name}")
        try:
            await wire.call("POST", "/containers/create", params={"name": name}, body=body)
            break
        except RefusedError as error:
            if last or error.status != 409:
                raise
        await asyncio.sleep(_PAUSE)  # an earlier request for the name, cut short, is under way
    return name


async def _drop_users(wire: Wire, device: str, name: str) -> None:
    """Remove what mounts a volume and never ran (rule 2)."""
    filters = f'{{"volume":["{name}"]}}'
    for each in await wire.call("GET", "/containers/json", params={"all": "1", "filters": filters}) or ():
        said: dict[str, Any] = await wire.call("GET", f"/containers/{each['Id']}/json")
        labels = (said.get("Config") or {}).get("Labels") or {}
        if labels.get(steps.DEVICE) != device or reading.container(said, {}).started:
            raise ConflictError(
                "engine.refused",
                f"The volume {name} is a copy that was cut short, and a container has used it since.",
                "Look at what it holds; remove the container and the volume.",
            )
        await gone(wire, f"/containers/{each['Id']}")


async def volumes(wire: Wire, device: str) -> set[str]:
    """Return the names of all volumes of this device, marks too."""
    return {str(each["Name"]) for each in await _listed(wire, device)}


async def whole(wire: Wire, device: str) -> frozenset[str]:
    """Return the names of the volumes of this device that are whole."""
    return reading.volumes(await _listed(wire, device))


async def _listed(wire: Wire, device: str) -> list[dict[str, Any]]:
    filters = f'{{"label":["{steps.DEVICE}={device}"]}}'
    found = await wire.call("GET", "/volumes", params={"filters": filters})
    return (found or {}).get("Volumes") or []


async def gone(wire: Wire, path: str, params: Mapping[str, str] | None = None, tries: int = _TRIES) -> None:
    """Have no such thing; what is being made or removed at the moment, or is still held by it, is asked for again."""
    for last in (*[False] * tries, True):
        try:
            await wire.call("DELETE", path, params=params)
        except RefusedError as error:
            if error.status == 404:
                return
            if last or error.status != 409:
                raise
        else:
            return
        await asyncio.sleep(_PAUSE)
