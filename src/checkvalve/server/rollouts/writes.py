# SPDX-License-Identifier: Apache-2.0
"""Rows of rollouts and of their devices, without an entry. An intent is written once and never changed."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import ConflictError
from checkvalve.ids import DeviceId, RolloutId
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import rollout_devices, rollouts
from checkvalve.server.rollouts.model import FAILED, Member, Outcome, Rollout

_ADD_MEMBER = sa.insert(rollout_devices)


def add(tx: Tx, rollout: Rollout) -> None:
    """Insert a rollout."""
    tx.run(sa.insert(rollouts).values(**_values(rollout)))


def move(tx: Tx, before: Rollout, after: Rollout) -> None:
    """Bring a rollout from what it was read as to `after`; `ConflictError` (`rollout.moved`) if it left that."""
    unmoved = (rollouts.c.id == before.id, rollouts.c.state == before.state.value, rollouts.c.wave == before.wave)
    if tx.run(sa.update(rollouts).where(*unmoved).values(**_values(after))) != 1:
        raise ConflictError("rollout.moved", "Somebody else changed the rollout just now.", "Look at it again.")


def undone(tx: Tx, rollout: RolloutId, by: RolloutId) -> None:
    """Note which rollout takes this one back; it has to be there already."""
    tx.run(sa.update(rollouts).where(rollouts.c.id == rollout).values(undone_by=by))


def add_members(tx: Tx, members: Sequence[Member]) -> None:
    """Insert who goes when."""
    rows = [{name: getattr(member, name) for name in Member.__slots__} for member in members]
    tx.run_all(_ADD_MEMBER, [row | {"outcome": row["outcome"].value} for row in rows])


def ended(tx: Tx, device: DeviceId, attempt: str, outcome: Outcome, code: str, reason: str, at: datetime) -> str:
    """Note how an attempt ended on its device; return the rollout it belongs to, nothing if that changes nothing.

    Said twice, or said otherwise later, it changes nothing: only what hung in between may still come back.
    """
    earlier = [Outcome.OPEN.value] if outcome is Outcome.DEGRADED else [Outcome.OPEN.value, Outcome.DEGRADED.value]
    table = rollout_devices.c
    here = (table.attempt == attempt, table.device == device, table.outcome.in_(earlier))
    values = {"outcome": outcome.value, "code": code, "reason": reason, "ended_at": at}
    found: str | None = tx.scalar(sa.update(rollout_devices).where(*here).values(**values).returning(table.rollout))
    return found or ""


def leave(tx: Tx, rollout: RolloutId) -> int:
    """Count those that failed no more: a person goes on without them. Return how many they are."""
    table = rollout_devices.c
    here = (table.rollout == rollout, table.outcome.in_([each.value for each in FAILED]), table.left.is_(False))
    return tx.run(sa.update(rollout_devices).where(*here).values(left=True))


def _values(rollout: Rollout) -> dict[str, object]:
    return {name: getattr(rollout, name) for name in Rollout.__slots__} | {"state": rollout.state.value}
