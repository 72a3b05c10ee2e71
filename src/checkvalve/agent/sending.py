# SPDX-License-Identifier: Apache-2.0
"""Sends what errands brought, over connections of their own, and then lets what is signed of them go (walk errand, 8).

Rules: 1. nothing waits for it but the word on that errand; 2. what fails is sent again, later and later; 3. a plane
that does not want it (the errand is over, or the content is refused) is not asked again, and the word goes without it;
so does the word on a file that is gone or cannot be read.
"""

import logging

from checkvalve.agent import errands
from checkvalve.agent.errands import Brought
from checkvalve.agent.parts import Parts, backoff, rest
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError, ThrottledError

IDLE = 3_600.0  # seconds; an event ends it sooner

_log = logging.getLogger("checkvalve.agent")


class Sending:
    """What errands brought, on its way to the plane."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._misses = 0

    async def run(self) -> None:
        """Send for ever."""
        while True:
            seconds = await self.turn()
            if seconds > 0:
                await rest(self._parts.clock, seconds, self._parts.shared.contents)

    async def turn(self) -> float:
        """Try each content once; return how many seconds to wait, unless another one comes first."""
        shared = self._parts.shared
        shared.contents.clear()  # before looking
        failed: CheckvalveError | None = None
        for each in self._parts.errands.unsent:
            try:
                await self._send(each)
            except CheckvalveError as error:
                failed = error
            except Exception as error:  # noqa: BLE001  # it goes on, whatever it was
                failed = InvalidError("agent.defect", f"Sending met {error!r:.300}, which it does not know.")
            else:
                shared.news.set()
        return self._pause(failed)

    async def _send(self, each: Brought) -> None:
        """Have the plane have it, or let go of it (rule 3). Raises what the link raises, and what the disk does."""
        parts = self._parts
        try:
            with parts.disk.open(errands.content(each.errand)) as file:
                await parts.link.put(each.errand, each.content.digest, file, each.content.size)
        except CheckvalveError as error:
            gone = error.code.startswith("disk.") or isinstance(error, NotFoundError | ConflictError | InvalidError)
            if not gone or error.code.startswith("link."):  # who answers with that is not the plane
                raise
            _log.warning("What a small order brought is not sent: %s  [%s]", error.sentence, error.code)
            parts.errands.give_up(each.errand)
        else:
            parts.errands.sent(each.errand)

    def _pause(self, failed: CheckvalveError | None) -> float:
        if failed is None:
            self._misses = 0
            return IDLE
        self._misses += 1
        if self._misses == 1:
            _log.warning("What a small order brought could not be sent yet: %s  [%s]", failed.sentence, failed.code)
        if isinstance(failed, ThrottledError):
            return float(failed.facts.get("retry_after", 60))
        return max(1.0, backoff(self._misses, self._parts.clock.chance()))
