# SPDX-License-Identifier: Apache-2.0
"""What containers of this device say, for the person at the cabinet. Secrets are masked; every line has its service.

Rules: 1. without an attempt, those of what is there now are read: of the active slot, and of one that is being watched;
2. a line is given on when it is whole, for a secret might stand across two pieces; 3. what is read at once has a bound.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from checkvalve.agent.cabinet.asked import Logs
from checkvalve.agent.hidden import Hidden
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Container
from checkvalve.errors import NotFoundError

LARGEST = 4 << 20  # bytes of one container's words
LONGEST_LINE = 64 * 1024

Send = Callable[[dict[str, str]], Awaitable[None]]


async def say(parts: Parts, asked: Logs, hidden: Hidden, send: Send) -> None:
    """Send the lines as `{"service", "text"}`: several lines at once, each whole.

    Raises `NotFoundError` (`logs.service`), `UnavailableError` (`engine.unreachable`).
    """
    found = _meant(parts, asked)
    if not asked.follow:
        for each in found:
            text = await parts.engine.logs(each.name, asked.lines, LARGEST, asked.since)
            for piece in _pieces(await asyncio.to_thread(hidden.mask, text, cut=True)):
                await send({"service": each.service, "text": piece})
        return
    lock = asyncio.Lock()

    async def follow(each: Container) -> None:
        async for text in _whole(parts.engine.follow(each.name, asked.lines, asked.since)):
            async with lock:
                masked = hidden.mask(text)
                for piece in _pieces(masked) if masked else [""]:
                    await send({"service": each.service, "text": piece} if piece else {})

    try:
        async with asyncio.TaskGroup() as tasks:
            for each in found:
                tasks.create_task(follow(each))
    except ExceptionGroup as group:  # nobody listens any more, or the engine broke off
        raise group.exceptions[0] from None


def _meant(parts: Parts, asked: Logs) -> list[Container]:
    """Return the containers that are meant (rule 1)."""
    observed = parts.shared.observed
    there = sorted(observed.containers, key=lambda each: (each.service, each.name)) if observed else []
    active, position = parts.slots.active, parts.journal.position
    attempts = {asked.attempt} if asked.attempt else {position.attempt, active.attempt if active else ""}
    found = [each for each in there if each.attempt in attempts and asked.service in ("", each.service)]
    if not found:
        names = ", ".join(sorted({each.service for each in there})) or "none"
        raise NotFoundError(
            "logs.service",
            f"There is no container of {asked.service or 'this attempt'} here.",
            f"Services that are here: {names}.",
        )
    return found


async def _whole(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield whole lines (rule 2), "" where nothing came."""
    left = ""
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]
        async for piece in pieces:
            head, feed, tail = (left + piece).rpartition("\n")
            left = tail
            if len(left) > LONGEST_LINE:
                head, feed, left = head + feed + left, "\n", ""
            yield head + feed
    if left:
        yield left + "\n"


def _pieces(text: str) -> list[str]:
    size = LONGEST_LINE
    return [text[at : at + size] for at in range(0, len(text), size)]
