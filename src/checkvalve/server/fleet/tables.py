# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of invites, devices and what they told has in common."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from checkvalve.ids import AttemptId, DeviceId, HoldId, InviteId, PersonId, ReleaseId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.fleet.model import Assignment, Device, Hold, Invite, Kept, Line, Signed, Standing, Trust

_TRUST = {trust.value: trust for trust in Trust}

INVITE = tuple(getattr(schema.invites.c, name) for name in Invite.__slots__)
DEVICE = tuple(getattr(schema.devices.c, name) for name in Device.__slots__)
ASSIGNMENT = tuple(getattr(schema.assignments.c, name) for name in Assignment.__slots__)
SIGNED = tuple(getattr(schema.orders.c, name) for name in Signed.__slots__)
KEPT = tuple(getattr(schema.receipts.c, name) for name in Kept.__slots__)
HOLD = tuple(getattr(schema.holds.c, name) for name in Hold.__slots__)
LINE = tuple(getattr(schema.device_events.c, name) for name in Line.__slots__)
_OF_STANDING: dict[str, sa.ColumnElement[Any]] = {
    "wanted": sa.func.coalesce(schema.assignments.c.attempt, ""),
    "taken": schema.devices.c.attempt,
}
# In the order of the fields of `Standing`: ten thousand rows become as many values without a look at their names.
STANDING = tuple(
    _OF_STANDING[name] if name in _OF_STANDING else getattr(schema.devices.c, name)
    for name in Standing.__slots__
    if name != "hung"
)
STANDINGS = schema.devices.outerjoin(schema.assignments, schema.assignments.c.device == schema.devices.c.id)


def invite(row: Row) -> Invite:
    """Return the invite of a row of `INVITE`."""
    return Invite(
        id=InviteId(row.id),
        scope=row.scope,
        tags=tuple(json.loads(row.tags)),
        link=LinkClass(row.link),
        observe=row.observe,
        uses=row.uses,
        used=row.used,
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        ends_at=row.ends_at,
        revoked_at=row.revoked_at,
    )


def device(row: Row) -> Device:
    """Return the device of a row of `DEVICE`."""
    return Device(
        id=DeviceId(row.id),
        scope=row.scope,
        name=row.name,
        tags=tuple(json.loads(row.tags)),
        trust=Trust(row.trust),
        trust_reason=row.trust_reason,
        link=LinkClass(row.link),
        interval=row.interval,
        key=row.key,
        public=row.public,
        machine=row.machine,
        generation=row.generation,
        pending=row.pending,
        certificate_ends_at=row.certificate_ends_at,
        invite=InviteId(row.invite),
        joined_at=row.joined_at,
        changed_at=row.changed_at,
        seen_at=row.seen_at,
        journal=row.journal,
        known=row.known,
        told=row.told,
        capability=row.capability,
        status=row.status,
        status_digest=row.status_digest,
        state=State(row.state),
        attempt=row.attempt,
        active=row.active,
        epoch=row.epoch,
        counter=row.counter,
        offset=row.offset,
        given=row.given,
        held=row.held,
        locked=row.locked,
        errands=row.errands,
        crashing=row.crashing,
    )


def assignment(row: Row) -> Assignment:
    """Return the assignment of a row of `ASSIGNMENT`."""
    return Assignment(
        DeviceId(row.device), AttemptId(row.attempt), ReleaseId(row.release), row.target, row.by, row.made_at
    )


def signed(row: Row) -> Signed:
    """Return the orders of a row of `SIGNED`."""
    return Signed(
        DeviceId(row.device),
        row.attempt,
        row.epoch,
        row.counter,
        row.envelope,
        row.made_at,
        row.ends_at,
        row.held,
        row.errands,
    )


def hold(row: Row) -> Hold:
    """Return the tag of a row of `HOLD`."""
    return Hold(
        id=HoldId(row.id),
        scope=row.scope,
        device=None if row.device is None else DeviceId(row.device),
        name=row.name,
        reason=row.reason,
        number=row.number,
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        lifted_by=None if row.lifted_by is None else PersonId(row.lifted_by),
        lifted_at=row.lifted_at,
        lifted_why=row.lifted_why,
    )


def kept(row: Row) -> Kept:
    """Return the receipt of a row of `KEPT`."""
    return Kept(
        device=DeviceId(row.device),
        digest=row.digest,
        scope=row.scope,
        attempt=row.attempt,
        release=row.release,
        outcome=State(row.outcome),
        code=row.code,
        reason=row.reason,
        envelope=row.envelope,
        came_at=row.came_at,
    )


def line(row: Row) -> Line:
    """Return the line of a journal of a row of `LINE`."""
    return Line(row.journal, row.seq, row.attempt, State(row.state), row.line, row.came_at)


def standing(row: Sequence[Any], hung: str = "") -> Standing:
    """Return the standing of a row of `STANDING`, and of what hangs for the device."""
    values: tuple[Any, ...] = (*row, hung)
    return Standing(values[0], _TRUST[values[1]], *values[2:])
