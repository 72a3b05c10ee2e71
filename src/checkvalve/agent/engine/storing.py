# SPDX-License-Identifier: Apache-2.0
"""Volumes of an engine for people: how large they are, what is in one, and an end to it.

Rules: 1. a volume is read by a container of its own that never runs (`copying`), mounted read-only: an engine locks a
container while it reads from it, and the service that uses the volume has to be stopped and started meanwhile; 2. one
reader at a time has a volume: who comes later takes the name, and the one before breaks off with an error; 3. a reader
that was left behind by a cut is in nobody's way: it goes before the next, and with its volume, as do marks and
carriers of a copy that was cut short; 4. only volumes of this
device are touched, and none that is not whole is read.
"""

from collections.abc import AsyncIterator, Mapping

from checkvalve.agent import steps
from checkvalve.agent.engine import copying, loading, reading
from checkvalve.agent.engine.wire import PIECE, Wire
from checkvalve.errors import ConflictError, NotFoundError

_READER = "reader"
_FEW = 5  # tries, a fifth of a second apart, until what has just been removed lets go of a volume
_SLOWLY = 600.0  # seconds for an engine to read all of its disk


async def take(
    wire: Wire,
    device: str,
    step: steps.MakeVolume | steps.CopyVolume | steps.DropVolume,
    images: Mapping[str, str],
    copied: dict[str, int],
) -> None:
    """Take a step of volumes; `images` as `loading.known` has them. What a copy held in bytes goes into `copied`."""
    match step:
        case steps.MakeVolume():
            await copying.volume(wire, device, step.name)
        case steps.DropVolume():
            await drop(wire, device, step.name)
        case steps.CopyVolume():
            await copying.possible(wire, device, step.target)
            size = await copying.copy(wire, device, step, await loading.known(wire, device, step.image, images))
            if size is not None:
                copied[step.target] = size


async def sizes(wire: Wire, device: str) -> dict[str, int]:
    """Return the bytes of each of this device's volumes; those of which the engine does not know are left out."""
    said = await wire.call("GET", "/system/df", params={"type": "volume"}, seconds=_SLOWLY)
    found = {}
    for each in (said or {}).get("Volumes") or ():
        labels, usage = each.get("Labels") or {}, each.get("UsageData") or {}
        size = usage.get("Size", -1)
        if labels.get(steps.DEVICE) == device and reading.OF not in labels and isinstance(size, int) and size >= 0:
            found[str(each["Name"])] = size
    return found


async def export(wire: Wire, device: str, volume: str, folder: str) -> AsyncIterator[bytes]:
    """Yield a tar of a volume, below `folder`; codes as `ports.Engine.export` has them."""
    if volume not in await copying.whole(wire, device):
        raise NotFoundError("volume.not_found", f"The engine has no whole volume {volume} of this device.")
    path = f"/export/{folder}"
    image = await _image(wire)
    name = await copying.carrier(wire, device, volume, _READER, image, {path: volume}, read_only=True)
    try:
        async with wire.open(
            "GET", f"/containers/{name}/archive", params={"path": path}, seconds=copying.SLOWLY
        ) as answer:
            async for piece in answer.content.iter_chunked(PIECE):
                yield piece
    finally:
        await _away(wire, name)


async def drop(wire: Wire, device: str, volume: str) -> None:
    """Have no such volume (rules 3 and 4); `ConflictError` (`engine.foreign`, `engine.refused`)."""
    there = await copying.volumes(wire, device)
    marks = {copying.mark(volume, word) for word in copying.MARKS} & there
    if volume not in there and not marks:
        return
    for word in (_READER, *(copying.CARRIERS if marks else ())):
        await _away(wire, copying.mark(volume, word))
    for each in (volume, *sorted(marks)):  # the marks last: what is not whole never looks as if it were
        await copying.gone(wire, f"/volumes/{each}", tries=_FEW)


async def _away(wire: Wire, name: str) -> None:
    """Have no such container, nor the nameless volumes that its image asked for."""
    await copying.gone(wire, f"/containers/{name}", {"v": "1", "force": "1"})


async def _image(wire: Wire) -> str:
    """Return the engine's id of an image: whatever it holds, for it is never run."""
    for each in await wire.call("GET", "/images/json") or ():
        if reading.is_whole(each):
            return str(each["Id"])
    raise ConflictError(
        "volume.no_image",
        "The engine holds no image, and without one it lets nobody reach a volume.",
        "Have a release brought here first, or load any image into the engine.",
    )
