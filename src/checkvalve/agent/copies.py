# SPDX-License-Identifier: Apache-2.0
"""Has engine steps taken, and has written down what they did to volumes: how long a copy took, what was left behind.

Rules: 1. a volume that is dropped is told in the journal before it goes; 2. what a failed attempt leaves behind is
written down before its receipt is made, which names it; 3. nothing of it holds up a switch or a return: a disk or an
engine that fails here leaves less to tell, and no more; 4. how large volumes are is asked once an attempt, before
anything is switched: it makes an engine read all of its disk.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from checkvalve.agent import asides, obtain
from checkvalve.agent.asides import Left
from checkvalve.agent.budget import Means
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import CopyVolume, DropVolume, Observed, Slot, Step
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.exchange import SWITCHED, Copied, State

PATIENCE = 60.0  # seconds for the engine to say how large volumes are

_log = logging.getLogger("checkvalve.agent")


async def take(parts: Parts, step: Step) -> None:
    """Take a step; what the engine raises."""
    if isinstance(step, DropVolume):  # rule 1
        parts.journal.write("note", code="volume.dropped", reason=step.why, facts={"volume": step.name})
    began = parts.clock.monotonic()
    await parts.engine.do(step)
    if isinstance(step, CopyVolume):
        took = round((parts.clock.monotonic() - began) * 1000)
        with contextlib.suppress(CheckvalveError):
            _measured(parts, step.target, took)


async def settle(parts: Parts, observed: Observed) -> None:
    """Write down what the current attempt has left behind, if it failed; forget what is there no more (rules 2, 3)."""
    position = parts.journal.position
    if position.state in SWITCHED:
        return
    try:
        parts.shelf.gone([each.name for each in parts.shelf.left if each.name not in observed.volumes])
        slot = parts.slots.staged(position.attempt) if position.attempt else None
        if slot is not None and position.state is State.ROLLED_BACK:
            left = _left(parts, slot, observed)
            if left:
                sizes = await weighed(parts)
                parts.shelf.put(_lefts(parts, slot, left, sizes, failed=True))
                parts.shared.news.set()
    except CheckvalveError as error:
        _log.warning("What was left behind could not be written down: %s", error.sentence)


def forgotten(parts: Parts) -> None:
    """Write down what slots leave behind that are about to be forgotten; raises what the disk raises."""
    observed = parts.shared.observed
    if observed is None:
        return
    ended = parts.journal.position.ended
    for slot in parts.slots.going({each.attempt for each in obtain.kept(parts)}):
        failed = ended.get(slot.attempt) is not State.COMMITTED and slot.attempt not in parts.journal.committed
        left = _left(parts, slot, observed)
        parts.shelf.put(_lefts(parts, slot, left, {}, failed=failed))


async def weighed(parts: Parts) -> Mapping[str, int]:
    """Return the bytes of each volume of this device, {} if the engine does not say so soon."""
    with contextlib.suppress(TimeoutError, CheckvalveError):
        async with asyncio.timeout(PATIENCE):
            return await parts.engine.sizes()
    return {}


async def weigh(parts: Parts, slot: Slot | None) -> None:
    """Know how large the volumes are that a slot is to have copies of (rule 4): the engine's word, or the last copy."""
    shared = parts.shared
    if slot is None or not slot.copies or shared.weighed == slot.attempt:
        return
    shared.weighed = slot.attempt
    last = {each.took.volume: each.took.size for each in parts.shelf.copies}
    pairs = [(volume, slot.copies[name]) for volume, name in slot.volumes.items() if name in slot.copies]
    known = {source: last[volume] for volume, source in pairs if volume in last}
    shared.sizes = {**known, **await weighed(parts)}


def means(parts: Parts) -> Means | None:
    """Return what room there is for what was left behind; None if nothing was, or the disk does not say (rule 3)."""
    if not parts.shelf.left or parts.journal.position.state in SWITCHED:
        return None
    with contextlib.suppress(CheckvalveError):
        return obtain.means(parts)
    return None


def _measured(parts: Parts, name: str, took: int) -> None:
    slot = parts.slots.staged(parts.journal.position.attempt)
    size = parts.engine.copied.get(name)
    volume = next((volume for volume, each in slot.volumes.items() if each == name), "") if slot else ""
    if volume and size is not None:  # of one that was whole already nothing was measured
        parts.shelf.took(name, Copied(volume=volume, size=size, ms=took, at=_now(parts)))


def _left(parts: Parts, slot: Slot, observed: Observed) -> dict[str, str]:
    others = [each for each in obtain.kept(parts) if each.attempt != slot.attempt]
    left = asides.behind(slot, observed, others)
    known = {each.name for each in parts.shelf.left}
    return {volume: name for volume, name in left.items() if name not in known}


def _lefts(parts: Parts, slot: Slot, left: Mapping[str, str], sizes: Mapping[str, int], *, failed: bool) -> list[Left]:
    at = _now(parts)
    return [
        Left(
            volume=volume,
            name=name,
            attempt=slot.attempt,
            release=slot.release,
            at=at,
            size=sizes.get(name),
            failed=failed,
        )
        for volume, name in left.items()
    ]


def _now(parts: Parts) -> int:
    return max(0, int(parts.clock.now().timestamp() * 1000))
