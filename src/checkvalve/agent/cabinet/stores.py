# SPDX-License-Identifier: Apache-2.0
"""Volumes for the person at the cabinet: what there is, a copy of one taken away, an end to one that nobody needs.

Rules: 1. who takes a copy is in the journal before the first byte, and how many went after the last, or as it broke
off: nothing in it is masked, and it holds what the program wrote, its secrets too; 2. one volume is read once at a
time, and does not go meanwhile; 3. what is dropped is judged by what the engine shows then, and is in the journal
before it goes.
"""

import base64
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from checkvalve.agent import asides, copies, volumes
from checkvalve.agent.cabinet import asked
from checkvalve.agent.cabinet.asked import Drop, Export, Volumes
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import DropVolume, Slot
from checkvalve.agent.volumes import Volume
from checkvalve.errors import CheckvalveError, ConflictError
from checkvalve.protocol.exchange import ENDED

Send = Callable[[Any], Awaitable[None]]


async def answer(parts: Parts, request: Volumes | Export | Drop, who: str, send: Send) -> Any:  # noqa: ANN401  # JSON
    """Return the answer to what `who` asks of volumes."""
    match request:
        case Volumes():
            return msgspec.to_builtins(await found(parts))
        case Export():
            return await export(parts, request, who, send)
        case Drop():
            return await drop(parts, request, who)


async def found(parts: Parts) -> list[Volume]:
    """Return the volumes of this device; `UnavailableError` (`engine.unreachable`)."""
    observed = await parts.engine.observe()
    return volumes.listed(observed.volumes, slots(parts), parts.shelf.left, await copies.weighed(parts))


def slots(parts: Parts) -> dict[str, Slot | None]:
    """Return the slots of this device, as `volumes` calls them."""
    attempt = parts.journal.position.attempt
    return {
        "active": parts.slots.active,
        "staged": parts.slots.staged(attempt) if attempt and parts.journal.position.state not in ENDED else None,
        "previous": parts.slots.previous,
    }


async def export(parts: Parts, wanted: Export, who: str, send: Send) -> Any:  # noqa: ANN401  # JSON
    """Send what the volume is, then a tar of it piece by piece; return how many bytes that were (rules 1 and 2).

    Raises `NotFoundError` (`volume.not_found`), `ConflictError` (`volume.busy`), and what `Engine.export` raises.
    """
    each = volumes.meant(await found(parts), wanted.name, aside=wanted.aside)
    reading = parts.shared.reading
    _free(parts, each)
    reading.add(each.name)
    went, whole = 0, False
    try:
        _note(parts, f"{who} takes a copy of the volume {each.name}", who, each.name)
        await send(msgspec.to_builtins(each))
        async with contextlib.aclosing(parts.engine.export(each.name, each.volume or each.name)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                for at in range(0, len(piece), asked.PIECE):
                    await send(base64.b64encode(piece[at : at + asked.PIECE]).decode())
                went += len(piece)
        whole = True
    finally:
        reading.discard(each.name)
        ended = f"{who} took a copy of the volume {each.name}: {went} bytes"
        broke = f"The copy of the volume {each.name} for {who} broke off after {went} bytes"
        with contextlib.suppress(CheckvalveError):  # the copy has been taken, whatever the disk says
            _note(parts, ended if whole else broke, who, each.name, size=went)
    return {"size": went}


async def drop(parts: Parts, wanted: Drop, who: str) -> Any:  # noqa: ANN401  # JSON
    """Drop a volume that no slot uses, and return it (rule 3); with `dry`, only say which.

    Raises `NotFoundError` (`volume.not_found`), `ConflictError` (`volume.used`, `volume.busy`, `engine.refused`).
    """
    each = volumes.droppable(await found(parts), wanted.name)
    _free(parts, each)
    if not wanted.dry:
        parts.journal.write(
            "note",
            code="cabinet.volume_drop",
            reason=f"{who} dropped the volume {each.name} ({asides.words(each.size)})",
            facts={"who": who, "volume": each.name},
        )
        await parts.engine.do(DropVolume(each.name, ""))
        parts.shelf.gone([each.name])
        parts.shared.news.set()
    return msgspec.to_builtins(each)


def _free(parts: Parts, each: Volume) -> None:
    """Return if nobody takes a copy of a volume now (rule 2)."""
    if each.name in parts.shared.reading:
        raise ConflictError("volume.busy", f"A copy of {each.name} is being taken already.", "Wait until it has ended.")


def _note(parts: Parts, said: str, who: str, volume: str, **facts: int) -> None:
    parts.journal.write(
        "note", code="cabinet.volume_export", reason=said, facts={"who": who, "volume": volume, **facts}
    )
    parts.shared.news.set()
