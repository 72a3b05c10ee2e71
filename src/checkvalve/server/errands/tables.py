# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of errands has in common."""

from checkvalve.ids import DeviceId, ErrandId, PersonId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.errands.model import Errand, Kind, State

ERRAND = tuple(getattr(schema.errands.c, name) for name in Errand.__slots__)


def errand(row: Row) -> Errand:
    """Return the errand of a row of `ERRAND`."""
    return Errand(
        id=ErrandId(row.id),
        device=DeviceId(row.device),
        scope=row.scope,
        kind=Kind(row.kind),
        service=row.service,
        since=row.since,
        lines=row.lines,
        why=row.why,
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        until=row.until,
        state=State(row.state),
        given_at=row.given_at,
        ended_at=row.ended_at,
        code=row.code,
        reason=row.reason,
        content=row.content,
        size=row.size,
        digest=row.digest,
        envelope=row.envelope,
    )
