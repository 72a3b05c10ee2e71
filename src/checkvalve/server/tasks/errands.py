# SPDX-License-Identifier: Apache-2.0
"""Errands of which nothing was heard are given up some time after their end, so that nobody waits for them for ever.

Whether one is overdue is asked again inside the transaction that gives it up: of two processes that both saw it, one
does it, and a word of the device that came in between counts.
"""

from collections.abc import Callable
from datetime import datetime

from checkvalve.ids import EntryId, ErrandId
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import ending
from checkvalve.server.errands import queries as errand_queries

WITHIN = 60.0  # seconds between two looks
SLICE = 100  # errands of one turn


async def run(db: Database, now: Callable[[], datetime], new_id: Callable[[], str]) -> str:
    """Give up what is overdue, one transaction each."""
    given_up = 0
    for errand in await db.read("errands.overdue", errand_queries.overdue, now(), SLICE):
        given_up += await db.write("errand.lose", _lose, now(), errand, EntryId(new_id()))
    return f"{given_up} small orders are given up: nothing was heard of them" if given_up else ""


def _lose(tx: Tx, now: datetime, errand_id: ErrandId, entry: EntryId) -> bool:
    if not ending.overdue(errand_queries.errand(tx, errand_id), now):
        return False
    errand_actions.lose(tx, Act(entry, now, PLANE), errand_id)
    return True
