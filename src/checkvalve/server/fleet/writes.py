# SPDX-License-Identifier: Apache-2.0
"""Rows of invites, devices and what they told, without an entry: for actions of this room and of higher ones.

Whatever changes who is let in, with which certificate, what a device is to run, or which tags hang for it, raises
`fleet.revision`: by that number the planes' memories know that they are old.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve import canonical
from checkvalve import lines as texts
from checkvalve.errors import ConflictError
from checkvalve.ids import DeviceId, HoldId, InviteId, PersonId
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import assignments, device_events, devices, holds, invites, numbers, orders, receipts
from checkvalve.server.fleet import queries
from checkvalve.server.fleet.model import Assignment, Changes, Device, Hold, Invite, Kept, Line, Signed, Trust

SLICE = 500  # rows that one statement names at most

_ADD_LINE = sa.insert(device_events)
_ASSIGN = sa.insert(assignments)


# Invites


def add_invite(tx: Tx, invite: Invite, digest: str) -> None:
    """Insert an invite under the digest of its token."""
    tx.run(
        sa.insert(invites).values(
            id=invite.id,
            scope=invite.scope,
            digest=digest,
            tags=_json(invite.tags),
            link=invite.link.value,
            observe=invite.observe,
            uses=invite.uses,
            used=invite.used,
            made_by=invite.made_by,
            made_at=invite.made_at,
            ends_at=invite.ends_at,
            revoked_at=invite.revoked_at,
        )
    )


def use_invite(tx: Tx, invite_id: InviteId) -> bool:
    """Count one more device; tell whether there was a use left, so that two at once cannot share the last."""
    left = (invites.c.id == invite_id, invites.c.used < invites.c.uses, invites.c.revoked_at.is_(None))
    return tx.run(sa.update(invites).where(*left).values(used=invites.c.used + 1)) == 1


def revoke_invite(tx: Tx, invite_id: InviteId, at: datetime) -> bool:
    """Take an invite away, at once; tell whether it was not taken away before."""
    unmoved = (invites.c.id == invite_id, invites.c.revoked_at.is_(None))
    return tx.run(sa.update(invites).where(*unmoved).values(revoked_at=at)) == 1


# Devices


def add_device(tx: Tx, device: Device) -> None:
    """Insert a device."""
    values = {column: getattr(device, column) for column in Device.__slots__}
    values |= {"trust": device.trust.value, "link": device.link.value, "state": device.state.value}
    tx.run(sa.insert(devices).values(**values | {"tags": _json(device.tags), "folded": texts.folded(device.name)}))
    _changed(tx)


def trust(tx: Tx, device: Device, becomes: Trust, reason: str, at: datetime) -> None:
    """Move the trust in `device` from what it was read with; `ConflictError` (`device.moved`) if it left that."""
    unmoved = (devices.c.id == device.id, devices.c.trust == device.trust.value)
    values = {"trust": becomes.value, "trust_reason": reason, "changed_at": at}
    if tx.run(sa.update(devices).where(*unmoved).values(**values)) != 1:
        raise ConflictError("device.moved", "Somebody else changed the device just now.", "Look at it again.")
    _changed(tx)


def describe(tx: Tx, device: Device, at: datetime) -> None:
    """Keep name, tags and scope of `device`. The tags that hang on it go with it; those of its place do not."""
    values = {"name": device.name, "folded": texts.folded(device.name), "tags": _json(device.tags)}
    tx.run(sa.update(devices).where(devices.c.id == device.id).values(changed_at=at, **values))
    elsewhere = (devices.c.id == device.id, devices.c.scope != device.scope)
    if tx.run(sa.update(devices).where(*elsewhere).values(scope=device.scope)):
        tx.run(sa.update(holds).where(holds.c.device == device.id).values(scope=device.scope))
        _changed(tx)


def issued(tx: Tx, device_id: DeviceId, generation: int, ends_at: datetime) -> bool:
    """Note that the certificate of `generation` was issued, which its device gets for having the one before.

    Tell whether it is as new as the newest one issued, or newer.
    """
    unmoved = (devices.c.id == device_id, devices.c.pending <= generation, devices.c.generation < generation)
    values = {"generation": generation - 1, "pending": generation, "certificate_ends_at": ends_at}
    done = tx.run(sa.update(devices).where(*unmoved).values(**values)) == 1
    if done:
        _changed(tx)
    return done


def confirm(tx: Tx, device_id: DeviceId, generation: int) -> None:
    """Note that a device has this generation; an older one than it had changes nothing."""
    newer = (devices.c.id == device_id, devices.c.generation < generation)
    pending = sa.case((devices.c.pending < generation, generation), else_=devices.c.pending)
    if tx.run(sa.update(devices).where(*newer).values(generation=generation, pending=pending)):
        _changed(tx)


def visited(tx: Tx, device_id: DeviceId, changes: Changes) -> None:
    """Keep what a device said of itself (telemetry: no entry). An earlier `seen_at` than the one kept is left out."""
    values = dict(changes)
    if "state" in changes:
        values["state"] = changes["state"].value
    at = values.pop("seen_at", None)
    if values:
        tx.run(sa.update(devices).where(devices.c.id == device_id).values(**values))
    if at is not None:
        _seen(tx, [device_id], changes["seen_at"])


def seen(tx: Tx, moments: Mapping[DeviceId, datetime]) -> int:
    """Note when devices were heard last (telemetry: no entry), to the second; return how many it moved on.

    A moment earlier than the one kept changes nothing. Give some hundreds at a time: other writes wait for it.
    """
    by_second: dict[datetime, list[DeviceId]] = {}
    for device, moment in moments.items():
        by_second.setdefault(moment.replace(microsecond=0), []).append(device)
    return sum(_seen(tx, ids, moment) for moment, ids in by_second.items())


# What they are to run


def assign(tx: Tx, assignment: Assignment) -> None:
    """Let a device run what `assignment` says, in the place of what it was to run."""
    values = {name: getattr(assignment, name) for name in Assignment.__slots__}
    if tx.run(sa.update(assignments).where(assignments.c.device == assignment.device).values(**values)) == 0:
        tx.run(sa.insert(assignments).values(**values))
    _changed(tx)


def assign_all(tx: Tx, wanted: Sequence[Assignment]) -> None:
    """Let many devices run what is said of each, in the place of what they were to run."""
    unassign_all(tx, [assignment.device for assignment in wanted])
    tx.run_all(_ASSIGN, [{name: getattr(each, name) for name in Assignment.__slots__} for each in wanted])
    if wanted:
        _changed(tx)


def unassign_all(tx: Tx, device_ids: Sequence[DeviceId]) -> int:
    """Let many devices stay at what they run; return how many were to run something."""
    done = sum(tx.run(sa.delete(assignments).where(assignments.c.device.in_(part))) for part in _slices(device_ids))
    if done:
        _changed(tx)
    return done


def unassign(tx: Tx, device_id: DeviceId) -> bool:
    """Let a device stay at what it runs; tell whether it was to run something."""
    done = tx.run(sa.delete(assignments).where(assignments.c.device == device_id)) == 1
    if done:
        _changed(tx)
    return done


def errands(tx: Tx, device_id: DeviceId, ids: Sequence[str]) -> None:
    """Let a device be ordered the errands of these ids, in this order, and no others."""
    tx.run(sa.update(devices).where(devices.c.id == device_id).values(errands=" ".join(ids)))
    _changed(tx)


def put_orders(tx: Tx, signed: Signed) -> None:
    """Keep the orders last signed for a device."""
    values = {name: getattr(signed, name) for name in Signed.__slots__}
    if tx.run(sa.update(orders).where(orders.c.device == signed.device).values(**values)) == 0:
        tx.run(sa.insert(orders).values(**values))


def next_counter(tx: Tx) -> tuple[int, int]:
    """Return the plane's epoch and the next counter of its orders, which was never given before."""
    return queries.number(tx, queries.EPOCH_NUMBER, queries.FIRST_EPOCH), _raised(tx, queries.COUNTER)


# The tags that hang for them


def hang(tx: Tx, hold: Hold) -> None:
    """Insert a tag."""
    tx.run(sa.insert(holds).values(**{name: getattr(hold, name) for name in Hold.__slots__}))
    _changed(tx)


def lift(tx: Tx, hold_id: HoldId, by: PersonId, at: datetime, why: str) -> bool:
    """Take a tag away; tell whether it still hung. Its row stays."""
    hangs = (holds.c.id == hold_id, holds.c.lifted_at.is_(None))
    done = tx.run(sa.update(holds).where(*hangs).values(lifted_by=by, lifted_at=at, lifted_why=why)) == 1
    if done:
        _changed(tx)
    return done


# What they told


def add_lines(tx: Tx, device_id: DeviceId, lines: Sequence[Line]) -> int:
    """Keep lines of a device's journals; return how many were new. A line that is there stays as it is."""
    added = 0
    for journal in {line.journal for line in lines}:
        told = {line.seq: line for line in reversed(lines) if line.journal == journal}
        have = _there(tx, device_id, journal, sorted(told))
        for seq in sorted(told.keys() - have):
            line = told[seq]
            tx.run(
                _ADD_LINE,
                {
                    "device": device_id,
                    "journal": journal,
                    "seq": seq,
                    "attempt": line.attempt,
                    "state": line.state.value,
                    "line": line.line,
                    "came_at": line.came_at,
                },
            )
            added += 1
    return added


def add_receipt(tx: Tx, kept: Kept) -> None:
    """Insert a receipt."""
    values = {name: getattr(kept, name) for name in Kept.__slots__} | {"outcome": kept.outcome.value}
    tx.run(sa.insert(receipts).values(**values))


def _there(tx: Tx, device_id: DeviceId, journal: str, numbered: Sequence[int]) -> set[int]:
    here = (device_events.c.device == device_id, device_events.c.journal == journal)
    found: set[int] = set()
    for part in _slices(numbered):
        rows = tx.all(sa.select(device_events.c.seq).where(*here, device_events.c.seq.in_(part)))
        found |= {row.seq for row in rows}
    return found


def _seen(tx: Tx, device_ids: Sequence[DeviceId], at: datetime) -> int:
    later = sa.or_(devices.c.seen_at.is_(None), devices.c.seen_at < at)
    return sum(
        tx.run(sa.update(devices).where(devices.c.id.in_(part), later).values(seen_at=at))
        for part in _slices(device_ids)
    )


def _changed(tx: Tx) -> None:
    _raised(tx, queries.REVISION)


def _raised(tx: Tx, name: str) -> int:
    """Return one of the numbers of which there is one, one higher than before.

    The row is locked until the transaction ends, so that nobody is given the same: on PostgreSQL two at once are tried
    again, on SQLite there is one writer.
    """
    here = numbers.c.name == name
    value: int | None = tx.scalar(
        sa.update(numbers).where(here).values(value=numbers.c.value + 1).returning(numbers.c.value)
    )
    if value is not None:
        return value
    tx.run(sa.insert(numbers).values(name=name, value=1))
    return 1


def _slices(items: Sequence[object]) -> Iterable[Sequence[object]]:
    return (items[start : start + SLICE] for start in range(0, len(items), SLICE))


def _json(tags: Sequence[str]) -> str:
    return canonical.dumps(list(tags)).decode()
