# SPDX-License-Identifier: Apache-2.0
"""Reading rollouts, and where the approval of one stands."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import CheckvalveError, NotFoundError
from checkvalve.ids import ApprovalId, PersonId, RolloutId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Standing
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.rollouts.model import No, Rollout, State
from checkvalve.server.supply import queries as supply_queries

EVERYWHERE = Visibility((ROOT,))

_ROLLOUT = tuple(schema.rollouts.c)


def rollout(tx: Tx, rollout_id: RolloutId, seen: Visibility = EVERYWHERE) -> Rollout:
    """Return one rollout; `NotFoundError` (`rollout.not_found`) if there is none that may be seen."""
    within = access_queries.within(schema.rollouts.c.scope, seen)
    row = tx.first(sa.select(*_ROLLOUT).where(schema.rollouts.c.id == rollout_id, within))
    if row is None:
        raise NotFoundError(
            "rollout.not_found", "There is no such rollout, or not for you.", "List the rollouts you can see."
        )
    return _rollout(row)


def scope_of(tx: Tx, rollout_id: RolloutId) -> str:
    """Return the path at which rights on it are judged; `NotFoundError` (`rollout.not_found`)."""
    return rollout(tx, rollout_id).scope


def listed(
    tx: Tx, seen: Visibility, *, limit: int = 100, before: str = "", state: State | None = None
) -> list[Rollout]:
    """Return the newest first, at most `limit`; `before` is the id of the last one had (paging)."""
    wanted = [access_queries.within(schema.rollouts.c.scope, seen)]
    if before:
        wanted.append(schema.rollouts.c.id < before)
    if state is not None:
        wanted.append(schema.rollouts.c.state == state.value)
    newest = schema.rollouts.c.id.desc()
    return [_rollout(row) for row in tx.all(sa.select(*_ROLLOUT).where(*wanted).order_by(newest).limit(limit))]


def standing(tx: Tx, rollout: Rollout, now: datetime) -> Standing | None:
    """Return where its approval stands now; None where none was opened."""
    if rollout.approval is None:
        return None
    return approval_queries.standing(tx, approval_queries.approval(tx, rollout.approval), now)


def obstacle(tx: Tx, rollout: Rollout) -> No | None:
    """Return why the release of a proposed rollout cannot be taken now; None if it can, or if nobody waits for it."""
    if rollout.state is not State.PROPOSED:
        return None
    try:
        supply_queries.named(tx, rollout.scope, rollout.wanted.release)
    except CheckvalveError as error:
        return No(error.code, error.sentence, error.remedy)
    return None


def _rollout(row: Row) -> Rollout:
    return Rollout(
        id=RolloutId(row.id),
        scope=row.scope,
        name=row.name,
        intent=row.intent,
        state=State(row.state),
        approval=ApprovalId(row.approval) if row.approval is not None else None,
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        changed_at=row.changed_at,
    )
