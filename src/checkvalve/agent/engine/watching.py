# SPDX-License-Identifier: Apache-2.0
"""Hears of an engine that a container of this device may have changed.

Rules: 1. the engine is listened to all the time, so that nothing is missed between two questions; 2. each time it
begins to listen, something may have changed; 3. probes are no news: they would be the reason for the next one;
4. Podman is asked for `died` and `remove`, which it calls `die` and `destroy` only as it tells of them;
5. how a container ended is kept from what is heard: one that runs again at once has forgotten it.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass

from checkvalve.agent import steps
from checkvalve.agent.engine.wire import Wire
from checkvalve.errors import CheckvalveError

_NEWS = "create start die stop kill oom pause unpause restart destroy health_status died remove".split()  # rules 3, 4
_LONGEST = 1 << 18  # bytes of one piece of news
_AGAIN = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds until the next try of an engine that is away


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended: its code, None if that was not heard, and whether memory had run out."""

    code: int | None = None
    oom: bool = False


class Watching:
    """Listens from the first question on."""

    def __init__(self, wire: Wire, device: str) -> None:
        self._wire = wire
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._oom = set[str]()
        self.ended = dict[str, Ended]()  # by id of the container, the newest end of each
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

    def _take(self, line: bytes) -> None:
        """Keep how a container ended (rule 5); what cannot be read is no news."""
        try:
            said = json.loads(line)
            actor, action = said["Actor"], str(said["Action"])
            container, attributes = str(actor["ID"]), actor.get("Attributes") or {}
            code = int(attributes.get("exitCode") or attributes.get("containerExitCode") or 0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if action in ("die", "died"):
            self.ended[container] = Ended(code, container in self._oom)
            self._oom.discard(container)
        elif action == "oom":
            self._oom.add(container)
        elif action in ("destroy", "remove"):
            self.ended.pop(container, None)
            self._oom.discard(container)

    async def _listen(self) -> None:
        tries = 0
        while True:
            with contextlib.suppress(CheckvalveError):
                async with self._wire.open("GET", "/events", params={"filters": self._filters}, seconds=None) as answer:
                    tries = 0
                    self._news.set()  # rule 2
                    rest = b""
                    async for piece in answer.content.iter_any():
                        *lines, rest = (rest + piece).split(b"\n")
                        for line in lines:
                            self._take(line)
                        rest = rest[-_LONGEST:]
                        self._news.set()
            await asyncio.sleep(_AGAIN[min(tries, len(_AGAIN) - 1)])
            tries += 1
