# SPDX-License-Identifier: Apache-2.0
"""The work and the memory of sign-ins: passwords are hashed on two threads, failures are counted in bounded space.

Hashing takes tenths of a second of a core: never on the event loop, never inside a transaction, and no more of it
waiting than can be done in a few seconds.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import ParamSpec, TypeVar

from checkvalve.errors import ThrottledError
from checkvalve.server.identity import throttle

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2
WAITING = 16
REMEMBERED = (
    10_000  # pairs of login and address; each costs its maker one password hash, so they are not flushed cheaply
)


class Attempts:
    """Of one plane, for the life of its process."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._waiting = 0
        self._failures: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()

    def begin(self, login: str, address: str, now: datetime) -> None:
        """Count a try before it is made, so that tries made at once do not escape the count.

        Raises `ThrottledError` (`session.throttled`).
        """
        key = throttle.key(login, address)
        failures = self._failures.setdefault(key, deque(maxlen=throttle.MOST))
        self._failures.move_to_end(key)
        wait = throttle.judge(tuple(failures), now)
        if wait > 0:
            raise ThrottledError(
                "session.throttled",
                "Too many sign-ins failed for this login from this address.",
                f"Wait {wait} seconds, then try again.",
                retry_after=wait,
            )
        failures.append(now)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, login: str, address: str) -> None:
        """Forget the failures of this pair."""
        self._failures.pop(throttle.key(login, address), None)

    async def hashing(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on one of the threads; `ThrottledError` (`session.busy`) if too much waits already."""
        if self._waiting >= WAITING:
            raise ThrottledError(
                "session.busy", "Too many people sign in at this moment.", "Try again in a few seconds.", retry_after=5
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
