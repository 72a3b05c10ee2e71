# SPDX-License-Identifier: Apache-2.0
"""Blobs that no image names are removed after a day.

The day is for imports: they store blobs before there is an image that names them, and one that was broken off is often
sent again.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database
from checkvalve.server.supply import queries as supply_queries

WITHIN = 3600.0  # seconds between two looks
SPARED = 86_400.0  # seconds since a blob came, or was found here by an import


async def run(db: Database, blobs: Blobs, now: Callable[[], datetime]) -> str:
    """Remove what nothing names; it may read a large directory, so it does so on a thread of its own."""
    before = now().timestamp() - SPARED
    keep = await db.read("blobs.kept", supply_queries.kept)
    swept = await asyncio.to_thread(blobs.sweep, keep, before)
    return f"{swept.count} blobs of {swept.size} bytes are removed" if swept.count else ""
