# SPDX-License-Identifier: Apache-2.0
"""Brings an image into an engine from the device's own blobs, and takes it out again.

Rules: 1. layers that an image of the engine has in the same place are left out at first; an engine that will not have
it so is given all of them; 2. afterwards the engine holds exactly what the release says, or nothing of it; 3. what is
said to be loaded is on the platter: engines lose images to power cuts. Until it is, the image goes by another name, and
`reading.whole` passes it over: what an engine shows of it after a power cut may have empty files, and is loaded anew;
4. an image is let go of by the name this device gave it, so that what anybody else needs stays.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from checkvalve.agent.engine import archive, reading
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.agent.ports import OpenBlob
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError
from checkvalve.protocol.workload import Image

_SLOWLY = 3600.0  # seconds for the slowest card that an image is unpacked on


async def load(wire: Wire, device: str, image: Image, open_blob: OpenBlob) -> None:
    """Have the engine hold `image`; `InvalidError` (`engine.load`), and what `Wire.call` and `open_blob` raise."""
    name, manifest = reading.image_name(device, image.config), archive.manifest_digest(image)
    new = name + reading.NEW
    if await _whole(wire, image.config, new) and await identity(wire, image.config, name, manifest):
        return
    held = await _held(wire, image)
    try:
        await _send(wire, archive.pieces(image, new, open_blob, held))
    except ConflictError:
        if not held:
            raise
        await _send(wire, archive.pieces(image, new, open_blob))  # rule 1
    loaded = await identity(wire, image.config, new, manifest)
    if not loaded:
        await _quietly(wire, "DELETE", f"/images/{new}")  # rule 2
        raise _refused(image, "what it loaded is another image than the release names")
    await asyncio.to_thread(os.sync)  # rule 3
    repository, _, tag = name.rpartition(":")
    await wire.call("POST", f"/images/{new}/tag", params={"repo": repository, "tag": tag})
    await _quietly(wire, "DELETE", f"/images/{new}")


async def _whole(wire: Wire, config: str, new: str) -> bool:
    """Tell whether an image is there; have nothing of a load of ours that was cut short (rule 3).

    The engine lists such an image, and may not be able to say more of it. One that another device is loading stays.
    """
    listed = await wire.call("GET", "/images/json", params={"all": "1"}) or ()
    if config in reading.whole(listed):
        return True
    names = [name for each in listed if reading.digest(str(each["Id"])) == config for name in reading.names(each)]
    if all(name.endswith(new) for name in names):
        for each in (new, config):
            await _quietly(wire, "DELETE", f"/images/{each}")
    return False


async def drop(wire: Wire, device: str, config: str) -> None:
    """Let go of an image (rule 4), also by the name that a load which was cut short at its end left."""
    name = reading.image_name(device, config)
    for each in (name + reading.NEW, name):
        await _quietly(wire, "DELETE", f"/images/{each}")


async def sweep(wire: Wire, device: str, config: str) -> None:
    """Have nothing of a load by this device that was cut short (rule 3); an image that is whole stays."""
    new = reading.image_name(device, config) + reading.NEW
    if await _whole(wire, config, new):
        await _quietly(wire, "DELETE", f"/images/{new}")


async def identity(wire: Wire, config: str, name: str, manifest: str = "") -> str:
    """Return what the engine calls an image; empty if it does not hold it."""
    if found := await _quietly(wire, "GET", f"/images/{config}/json"):
        return reading.digest(str(found["Id"]))
    found = await _quietly(wire, "GET", f"/images/{name}/json")
    known = reading.digest(str(found["Id"])) if found else ""
    by_manifest = bool(found) and reading.by_manifest([found])
    return known if by_manifest and manifest in ("", known) else ""


async def known(wire: Wire, device: str, config: str, images: Mapping[str, str]) -> str:
    """Return what the engine calls an image; `images` are config digests by the engine's ids, as last seen."""
    if images.get(config) == config:
        return config
    if config in images.values():
        return next(key for key, value in images.items() if value == config)
    return await identity(wire, config, reading.image_name(device, config)) or config


def failed(image: Image, error: ConflictError) -> InvalidError:
    """Return what is wrong in the words of a load."""
    if archive.packed_with_zstd(image):
        return _refused(
            image,
            "a layer is packed with zstd, which this engine cannot unpack",
            "Pack the image with gzip, or bring a newer engine (Docker 23) to the device.",
        )
    return _refused(image, error.sentence)


async def _send(wire: Wire, pieces: Iterator[bytes]) -> None:
    """Send an archive; `ConflictError` if the engine does not take it. Files are read beside the loop."""
    wrong: list[CheckvalveError] = []

    async def read() -> AsyncIterator[bytes]:
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        except CheckvalveError as error:
            wrong.append(error)
            raise

    said = b""
    try:
        async with wire.open("POST", "/images/load", params={"quiet": "1"}, data=read(), seconds=_SLOWLY) as answer:
            said = await answer.content.read(64 * 1024)
    except CheckvalveError as error:
        # What ends an archive from our side looks to the wire like an engine that refuses, or went away.
        raise (wrong[0] if wrong else error) from error
    if wrong:
        raise wrong[0]
    for refusal in filter(None, map(_wrong, said.splitlines())):
        raise ConflictError("engine.refused", f"The engine refused: {refusal[:800]}")


def _wrong(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return ""
    return str(value.get("error") or "") if isinstance(value, dict) else ""


async def _held(wire: Wire, image: Image) -> tuple[str, ...]:
    """Return the layers that the engine has in this very place: of an image that begins with the same ones."""
    listed = await wire.call("GET", "/images/json", params={"all": "1"})
    if reading.by_manifest(listed or ()):
        return ()  # that store wants every blob that a manifest names
    whole = [str(each["Id"]) for each in listed or () if reading.is_whole(each)]
    layers = await asyncio.gather(*(_layers(wire, each) for each in whole))
    most = max((_same(image, each) for each in layers), default=0)
    later = {layer.digest for layer in image.layers[most:]}
    return tuple(layer.digest for layer in image.layers[:most] if layer.digest not in later)


async def _layers(wire: Wire, engines: str) -> Sequence[str]:
    """Return the layers of an image by the engine's id; none of one of which it cannot say them."""
    try:
        found = await wire.call("GET", f"/images/{engines}/json")
    except RefusedError:
        return ()
    return (found.get("RootFS") or {}).get("Layers") or ()


def _same(image: Image, layers: Sequence[str]) -> int:
    count = 0
    for layer, diff_id in zip(image.layers, layers, strict=False):
        if layer.diff_id != diff_id:
            break
        count += 1
    return count


async def _quietly(wire: Wire, method: str, path: str) -> Any:  # noqa: ANN401 -- JSON of the engine
    """Ask for what may not be there, or may be in use."""
    try:
        return await wire.call(method, path)
    except RefusedError as error:
        if error.status not in (404, 409):
            raise
        return None


def _refused(image: Image, why: str, remedy: str = "Make the release anew, of an image that loads.") -> InvalidError:
    return InvalidError("engine.load", f"The image {image.name} ({image.config[7:19]}) was not loaded: {why}", remedy)
