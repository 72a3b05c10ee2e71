# SPDX-License-Identifier: Apache-2.0
"""When devices were heard last is written in batches: ten thousand of them a minute are no ten thousand transactions.

What could not be written goes back and is tried again; a plane whose power goes forgets at most what came since.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice

from checkvalve.ids import DeviceId
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import writes as fleet_writes

WITHIN = 20.0  # seconds between two turns; ten on average
SLICE = 500  # devices of one transaction


async def run(
    db: Database,
    take: Callable[[], dict[DeviceId, datetime]],
    give_back: Callable[[Mapping[DeviceId, datetime]], None],
) -> str:
    """Write what was gathered since the last turn; raises `UnavailableError`. It is no news to tell."""
    moments = take()
    try:
        while moments:
            part = dict(islice(moments.items(), SLICE))
            await db.write("device.seen", fleet_writes.seen, part)
            for device in part:
                del moments[device]
    finally:
        give_back(moments)
    return ""
