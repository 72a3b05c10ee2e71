# SPDX-License-Identifier: Apache-2.0
"""Snapshot and timestamp are signed anew before they run out, so that devices can tell that nothing was held back.

Whether it is time is asked again inside the transaction that does it: of two processes that both saw that it is, one
does it and the other finds it done.
"""

from collections.abc import Callable
from datetime import datetime

from checkvalve.crypto import keys
from checkvalve.ids import EntryId
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import queries as supply_queries

WITHIN = 600.0  # seconds between two looks; what is looked for happens once a day


async def run(db: Database, online: keys.PrivateKey, now: Callable[[], datetime], new_id: Callable[[], str]) -> str:
    """Sign anew if it is time."""
    if not await db.read("trust.due", supply_queries.due, now()):
        return ""
    done = await db.write("trust.refresh", _refresh, online, now(), EntryId(new_id()))
    return "snapshot and timestamp are signed anew" if done else ""


def _refresh(tx: Tx, online: keys.PrivateKey, now: datetime, entry: EntryId) -> bool:
    if not supply_queries.due(tx, now):
        return False
    supply_actions.refresh(tx, Act(entry, now, PLANE), online)
    return True
