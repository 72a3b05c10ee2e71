# SPDX-License-Identifier: Apache-2.0
"""How long has a device been silent, measured by how often it is to report?

Rules: 1. up to 1.5 intervals it is online, up to 3 late, then offline; 2. one that never came is never seen; 3. one
seen later than now (two clocks of the plane differ) is online.
"""

from datetime import datetime, timedelta

from checkvalve.server.fleet.model import Liveness

# Milliseconds of silence for each second of the interval. Lists ask the database by the same numbers.
LATE_AFTER = 1_500
OFFLINE_AFTER = 3_000


def judge(seen_at: datetime | None, interval: int, now: datetime) -> Liveness:
    """Return the liveness of a device last seen at `seen_at` that reports every `interval` seconds."""
    if seen_at is None:
        return Liveness.NEVER_SEEN
    silent = (now - seen_at) // timedelta(milliseconds=1)
    if silent <= LATE_AFTER * interval:
        return Liveness.ONLINE
    return Liveness.LATE if silent <= OFFLINE_AFTER * interval else Liveness.OFFLINE
