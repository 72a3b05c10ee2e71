# SPDX-License-Identifier: Apache-2.0
"""Blobs that no image names are removed after a day, and so is what errands brought, once its time is over.

The day is for imports: they store blobs before there is an image that names them, and one that was broken off is often
sent again. A file that a device sends for an errand is stored before the errand names it, too. What backs an answer of
an assessment stays for good, as the assessment does.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import KEPT
from checkvalve.server.scorecard import queries as scorecard_queries
from checkvalve.server.supply import queries as supply_queries

WITHIN = 3600.0  # seconds between two looks
SPARED = 86_400.0  # seconds since a blob came, or was found here by an import


async def run(db: Database, blobs: Blobs, now: Callable[[], datetime]) -> str:
    """Remove what nothing names; it may read a large directory, so it does so on a thread of its own."""
    at = now()
    before = at.timestamp() - SPARED
    keep = await db.read("blobs.kept", _kept, at - KEPT)
    swept = await asyncio.to_thread(blobs.sweep, keep, before)
    return f"{swept.count} blobs of {swept.size} bytes are removed" if swept.count else ""


def _kept(tx: Tx, since: datetime) -> set[str]:
    return supply_queries.kept(tx) | errand_queries.kept(tx, since) | scorecard_queries.kept(tx)
