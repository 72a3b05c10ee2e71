# SPDX-License-Identifier: Apache-2.0
"""Hears of an engine that a container of this device may have changed.

Rules: 1. the engine is listened to all the time, so that nothing is missed between two questions; 2. each time it
begins to listen, something may have changed; 3. probes are no news: they would be the reason for the next one;
4. Podman is asked for `died` and `remove`, which it calls `die` and `destroy` only as it tells of them.
"""

import asyncio
import contextlib
import json

from checkvalve.agent import steps
from checkvalve.agent.engine.wire import Wire
from checkvalve.errors import CheckvalveError

_NEWS = "create start die stop kill oom pause unpause restart destroy health_status died remove".split()  # rules 3, 4
_AGAIN = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds until the next try of an engine that is away


class Watching:
    """Listens from the first question on."""

    def __init__(self, wire: Wire, device: str) -> None:
        self._wire = wire
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._filters = json.dumps({"type": ["container"], "event": _NEWS, "label": [f"{steps.DEVICE}={device}"]})

    async def changed(self) -> None:
        """Return when something may have changed since the last return."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())
        await self._news.wait()
        self._news.clear()

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self) -> None:
        tries = 0
        while True:
            with contextlib.suppress(CheckvalveError):
                async with self._wire.open("GET", "/events", params={"filters": self._filters}, seconds=None) as answer:
                    tries = 0
                    self._news.set()  # rule 2
                    async for _ in answer.content.iter_any():
                        self._news.set()
            await asyncio.sleep(_AGAIN[min(tries, len(_AGAIN) - 1)])
            tries += 1
