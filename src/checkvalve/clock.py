# SPDX-License-Identifier: Apache-2.0
"""The one reader of wall clock and entropy. Rooms and decisions get both as arguments."""

import secrets
import time
from datetime import UTC, datetime

from checkvalve import ids


def now() -> datetime:
    """Return the wall clock in UTC, cut to milliseconds: what entries and ids hold."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def monotonic() -> float:
    """Return seconds on a clock that never jumps, for durations only."""
    return time.monotonic()


def new_id() -> str:
    """Return a fresh id, ordered by time."""
    return ids.encode(time.time_ns() // 1_000_000, secrets.token_bytes(10))


def entropy(size: int) -> bytes:
    """Return `size` bytes fit for keys."""
    return secrets.token_bytes(size)
