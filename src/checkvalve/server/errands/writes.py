# SPDX-License-Identifier: Apache-2.0
"""Rows of errands, without an entry: for actions of this room and of higher ones.

What a device is to be ordered stands in its own row too (`devices.errands`), so that the plane's memory knows of it:
whatever adds or ends an errand writes both, the second from the first.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve.ids import DeviceId, ErrandId
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import errands
from checkvalve.server.errands import ending, queries
from checkvalve.server.errands.model import Errand, State
from checkvalve.server.fleet import writes as fleet_writes


def add(tx: Tx, errand: Errand) -> None:
    """Insert an errand that waits, and let its device be ordered it."""
    tx.run(sa.insert(errands).values(**_row(errand)))
    _order(tx, errand.device)


def end(tx: Tx, errand: Errand) -> None:
    """Keep how an errand ended; its device is ordered it no longer."""
    tx.run(sa.update(errands).where(errands.c.id == errand.id).values(**_row(errand)))
    _order(tx, errand.device)


def given(tx: Tx, ids: Sequence[ErrandId], at: datetime) -> None:
    """Note that errands that wait were put into orders (telemetry: no entry); the first time counts."""
    waits = errands.c.state == State.WAITING.value
    first = (errands.c.id.in_(list(ids)), errands.c.given_at.is_(None), waits)
    tx.run(sa.update(errands).where(*first).values(given_at=at))


def brought(tx: Tx, errand_id: ErrandId, digest: str, size: int) -> Errand:
    """Note the file that came of an errand (telemetry: no entry), which is kept already; return the errand with it.

    The same again changes nothing. Raises `NotFoundError` (`errand.not_found`), `ConflictError` (`errand.ended`: it
    ended meanwhile; `errand.content`: another file came, or none is wanted), `InvalidError` (`errand.size`).
    """
    after = ending.brings(queries.errand(tx, errand_id), digest, size)
    tx.run(sa.update(errands).where(errands.c.id == errand_id).values(content=after.content, size=after.size))
    return after


def _order(tx: Tx, device: DeviceId) -> None:
    fleet_writes.errands(tx, device, [one.id for one in queries.waiting(tx, device)])


def _row(errand: Errand) -> dict[str, object]:
    values = {name: getattr(errand, name) for name in Errand.__slots__}
    return values | {"kind": errand.kind.value, "state": errand.state.value}
