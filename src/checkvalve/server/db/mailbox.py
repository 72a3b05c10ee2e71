# SPDX-License-Identifier: Apache-2.0
"""Results of a thread, brought to an event loop many at a time.

`asyncio.wrap_future` wakes the loop once for each result: a system call and a change of threads, a fifth of what an
action costs under group commit. Here the loop is woken once for all that came since it last looked.
"""

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Mailbox:
    """Of one event loop. `post` is called on any thread, `awaited` on the loop's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._woken = False

    def awaited(self, result: "Future[T]") -> "asyncio.Future[T]":
        """Return what a coroutine awaits. If it is cancelled, work that has not begun is not begun."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        waiting.add_done_callback(lambda done: result.cancel() if done.cancelled() else None)
        result.add_done_callback(lambda done: self.post(waiting, done))
        return waiting

    def post(self, waiting: "asyncio.Future[T]", result: "Future[T]") -> None:
        """Leave a finished `result` for the loop."""
        self._letters.append((waiting, result))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # Before the box is emptied, not after: what is posted meanwhile wakes the loop again, or is emptied now.
        self._woken = False
        while self._letters:
            waiting, result = self._letters.popleft()
            if waiting.done():
                continue
            if result.cancelled():
                waiting.cancel()
                continue
            error = result.exception()
            if error is None:
                waiting.set_result(result.result())
            else:
                waiting.set_exception(error)
