# SPDX-License-Identifier: Apache-2.0
"""Brings rollouts on by what their devices told: what the judge rules is done (walk rollout, 9 to 13).

It may run at any time, in any process, as often as it likes: what is to be done is read from the rows, and done in the
transaction that read it. That a device has ended only makes it run sooner.
"""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from checkvalve.ids import EntryId, RolloutId
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import Done, GoOn, Halt, Hold, State


def ready(tx: Tx, now: datetime, since: datetime) -> list[RolloutId]:
    """Return the rollouts with which something is to be done now; `since` is when the plane began to listen."""
    return [each for each in rollout_queries.live(tx) if not _holds(tx, each, now, since)]


def advance(tx: Tx, rollout_id: RolloutId, now: datetime, since: datetime, new_id: Callable[[], str]) -> str:
    """Do what is to be done with one rollout: open a wave, pause it, end it, or nothing; return what, in words."""
    rollout = rollout_queries.rollout(tx, rollout_id)
    if rollout.state is not State.STARTED:
        return ""
    act = Act(EntryId(new_id()), now, PLANE)
    ruling = rollout_queries.ruling(tx, rollout, now, since)
    match ruling:
        case Hold():
            return ""
        case GoOn():
            rollout_actions.go_on(tx, act, rollout_id, ruling)
        case Halt(code, reason):
            rollout_actions.pause(tx, act, rollout_id, code, reason)
        case Done():
            rollout_actions.finish(tx, act, rollout_id, ruling)
        case _:
            assert_never(ruling)
    return f"{rollout.id}: {ruling.reason}"


def _holds(tx: Tx, rollout_id: RolloutId, now: datetime, since: datetime) -> bool:
    rollout = rollout_queries.rollout(tx, rollout_id)
    return isinstance(rollout_queries.ruling(tx, rollout, now, since), Hold)
