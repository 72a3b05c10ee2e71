# SPDX-License-Identifier: Apache-2.0
"""How many joins and renewals are looked at at once, and how many refused ones are recorded.

Anybody may ask, so that asking must cost little: beyond some at once, others are told to come later; beyond some a
minute, refusals are logged and leave no entry, so that nobody can fill the record from outside.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from checkvalve import clock
from checkvalve.errors import ThrottledError

AT_ONCE = 32
RECORDED = 10  # a minute
_MINUTE = 60.0


class Joins:
    """Of one plane, for the life of its process."""

    def __init__(self) -> None:
        self._running = 0
        self._recorded: deque[float] = deque(maxlen=RECORDED)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold a place; `ThrottledError` (`join.busy`) if there is none."""
        if self._running >= AT_ONCE:
            raise ThrottledError(
                "join.busy", "Many devices ask at this moment.", "Try again in a few seconds.", retry_after=2
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def recordable(self) -> bool:
        """Count a refusal; tell whether it leaves an entry."""
        now = clock.monotonic()
        if len(self._recorded) == RECORDED and now - self._recorded[0] < _MINUTE:
            return False
        self._recorded.append(now)
        return True
