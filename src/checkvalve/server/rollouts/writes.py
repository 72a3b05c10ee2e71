# SPDX-License-Identifier: Apache-2.0
"""Rows of rollouts, without an entry. The intent is written once and never changed."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import ConflictError
from checkvalve.ids import ApprovalId
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import rollouts
from checkvalve.server.rollouts.model import Rollout, State


def add(tx: Tx, rollout: Rollout) -> None:
    """Insert a rollout."""
    tx.run(
        sa.insert(rollouts).values(
            id=rollout.id,
            scope=rollout.scope,
            name=rollout.name,
            intent=rollout.intent,
            state=rollout.state.value,
            approval=rollout.approval,
            made_by=rollout.made_by,
            made_at=rollout.made_at,
            changed_at=rollout.changed_at,
        )
    )


def move(tx: Tx, rollout: Rollout, state: State, at: datetime, approval: ApprovalId | None) -> None:
    """Bring `rollout` from the state it was read in to `state`; `ConflictError` (`rollout.moved`) if it left that."""
    unmoved = (rollouts.c.id == rollout.id, rollouts.c.state == rollout.state.value)
    if tx.run(sa.update(rollouts).where(*unmoved).values(state=state.value, changed_at=at, approval=approval)) != 1:
        raise ConflictError("rollout.moved", "Somebody else changed the rollout just now.", "Look at it again.")
