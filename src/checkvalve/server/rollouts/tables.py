# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of rollouts and their devices has in common."""

import sqlalchemy as sa

from checkvalve.ids import ApprovalId, AttemptId, DeviceId, PersonId, ReleaseId, RolloutId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.fleet import tables as fleet_tables
from checkvalve.server.rollouts.model import Member, Outcome, Rollout, Seat, State

ROLLOUT = tuple(getattr(schema.rollouts.c, name) for name in Rollout.__slots__)
MEMBER = tuple(getattr(schema.rollout_devices.c, name) for name in Member.__slots__)
# Beside a device, whose columns have names of their own.
SEAT = (
    *(column.label(f"member_{column.name}") for column in MEMBER),
    schema.orders.c.attempt.is_not(None).label("ordered"),
    *fleet_tables.DEVICE,
)
PLACES = schema.rollout_devices.join(schema.devices, schema.devices.c.id == schema.rollout_devices.c.device)
_OF_IT = schema.orders.c.device == schema.rollout_devices.c.device
SEATS = PLACES.outerjoin(schema.orders, sa.and_(_OF_IT, schema.orders.c.attempt == schema.rollout_devices.c.attempt))


def rollout(row: Row) -> Rollout:
    """Return the rollout of a row of `ROLLOUT`."""
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
        started_at=row.started_at,
        ended_at=row.ended_at,
        wave=row.wave,
        waves=row.waves,
        code=row.code,
        reason=row.reason,
        undoes=RolloutId(row.undoes) if row.undoes is not None else None,
        undone_by=RolloutId(row.undone_by) if row.undone_by is not None else None,
    )


def seat(row: Row) -> Seat:
    """Return the member and the device of a row of `SEAT`."""
    member = Member(
        rollout=RolloutId(row.member_rollout),
        device=DeviceId(row.member_device),
        wave=row.member_wave,
        attempt=AttemptId(row.member_attempt),
        release=ReleaseId(row.member_release),
        target=row.member_target,
        before=row.member_before,
        outcome=Outcome(row.member_outcome),
        code=row.member_code,
        reason=row.member_reason,
        ended_at=row.member_ended_at,
        left=row.member_left,
        binding=row.member_binding,
        given_before=row.member_given_before,
    )
    return Seat(member, fleet_tables.device(row), bool(row.ordered))


def ordered() -> tuple[sa.ColumnElement[object], ...]:
    """Return by what the devices of a rollout are ordered: wave, place, name."""
    return schema.rollout_devices.c.wave, schema.devices.c.scope, schema.devices.c.folded, schema.devices.c.id
