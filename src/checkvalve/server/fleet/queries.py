# SPDX-License-Identifier: Apache-2.0
"""Reading invites, devices, what they are to run and what they told.

Ids and texts from outside may be anything; what nothing can be called finds nothing.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Unpack

import sqlalchemy as sa

from checkvalve import lines as texts
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId, InviteId, well_formed
from checkvalve.protocol.exchange import State
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.decide import narrowed
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import device_events, numbers
from checkvalve.server.db.types import EPOCH, Instant
from checkvalve.server.fleet import condition as conditions
from checkvalve.server.fleet import liveness as silences
from checkvalve.server.fleet import naming, tables
from checkvalve.server.fleet import tags as tagging
from checkvalve.server.fleet.model import (
    LET_IN,
    Assignment,
    Condition,
    Device,
    Invite,
    Kept,
    Line,
    Liveness,
    Order,
    Signed,
    Standing,
    Tally,
    Trust,
    Wanted,
)

EVERYWHERE = Visibility((ROOT,))
REVISION = "fleet.revision"
COUNTER = "orders.counter"
EPOCH_NUMBER = "orders.epoch"
FIRST_EPOCH = 1
SILENCE = timedelta(minutes=10)  # at least, before a rollout goes on without a device
TAIL = 4  # characters of an id that tell it apart well enough to look for it

Predicate = sa.ColumnElement[bool]
_devices = schema.devices.c


# Invites


def invite(tx: Tx, invite_id: InviteId, seen: Visibility = EVERYWHERE) -> Invite:
    """Return one invite; `NotFoundError` (`invite.not_found`) if there is none that may be seen."""
    row = None
    if well_formed(invite_id):
        within = access_queries.within(schema.invites.c.scope, seen)
        row = tx.first(sa.select(*tables.INVITE).where(schema.invites.c.id == invite_id, within))
    if row is None:
        raise NotFoundError(
            "invite.not_found", "There is no such invite, or not for you.", "List the invites you can see."
        )
    return tables.invite(row)


def invite_by_digest(tx: Tx, digest: str) -> Invite | None:
    """Return the invite whose token has this digest, ended ones too; `admit.judge` says whether it still counts."""
    row = tx.first(sa.select(*tables.INVITE).where(schema.invites.c.digest == digest))
    return None if row is None else tables.invite(row)


def invites(tx: Tx, seen: Visibility, *, scope: str = ROOT, limit: int | None = 100, before: str = "") -> list[Invite]:
    """Return the newest first, ended ones too; `before` is the id of the last one had (paging)."""
    wanted = [access_queries.within(schema.invites.c.scope, narrowed(seen, scope))]
    if before:
        wanted.append(schema.invites.c.id < before)
    newest = schema.invites.c.id.desc()
    return [
        tables.invite(row) for row in tx.all(sa.select(*tables.INVITE).where(*wanted).order_by(newest).limit(limit))
    ]


# Devices


def device(tx: Tx, device_id: DeviceId, seen: Visibility = EVERYWHERE) -> Device:
    """Return one device, retired ones too; `NotFoundError` (`device.not_found`) if there is none that may be seen."""
    row = None
    if well_formed(device_id):
        within = access_queries.within(_devices.scope, seen)
        row = tx.first(sa.select(*tables.DEVICE).where(_devices.id == device_id, within))
    if row is None:
        raise NotFoundError(
            "device.not_found", "There is no such device, or not for you.", "List the devices you can see."
        )
    return tables.device(row)


def by_key(tx: Tx, fingerprint: str) -> Device | None:
    """Return the device whose key has this fingerprint, retired ones too."""
    row = tx.first(sa.select(*tables.DEVICE).where(_devices.key == fingerprint))
    return None if row is None else tables.device(row)


def devices(
    tx: Tx,
    seen: Visibility,
    *,
    order: Order = Order.NAME,
    limit: int | None = 100,
    after: str = "",
    **wanted: Unpack[Wanted],
) -> list[Device]:
    """Return the devices that are wanted; `after` is the id of the last one had (paging)."""
    column: sa.ColumnElement[object] = _devices.folded
    if order is Order.SILENT:
        column = sa.func.coalesce(_devices.seen_at, sa.literal(EPOCH, Instant))
    chosen = [*_chosen(seen, wanted)]
    if after:
        last = sa.select(column).where(_devices.id == after).scalar_subquery()
        chosen.append(sa.or_(column > last, sa.and_(column == last, _devices.id > after)))
    listed = sa.select(*tables.DEVICE).where(*chosen).order_by(column, _devices.id).limit(limit)
    return [tables.device(row) for row in tx.all(listed)]


def count(tx: Tx, seen: Visibility, **wanted: Unpack[Wanted]) -> int:
    """Return how many devices are wanted."""
    found: int = tx.scalar(sa.select(sa.func.count()).select_from(schema.devices).where(*_chosen(seen, wanted)))
    return found


def by_scope(tx: Tx, seen: Visibility, now: datetime) -> list[Tally]:
    """Return how many devices of each scope are how, those retired too, in one question."""
    rows = sa.select(_devices.scope, _condition(now).label("condition"), _liveness(now).label("liveness")).where(
        access_queries.within(_devices.scope, seen)
    )
    alike = rows.subquery()  # to group by what was computed, not to compute it again
    counted = sa.select(*alike.c, sa.func.count().label("number")).group_by(*alike.c)
    return [Tally(row.scope, Condition(row.condition), Liveness(row.liveness), row.number) for row in tx.all(counted)]


def unheard(now: datetime, since: datetime) -> Predicate:
    """Return the predicate on devices that are shut out, or not heard for 3 intervals and `SILENCE` at least.

    Nobody can be heard while the plane is off: silence is counted from `since` at the earliest, when it came up.
    """
    seen = sa.func.coalesce(sa.type_coerce(_devices.seen_at, sa.BigInteger), 0)
    at, began = ((moment - EPOCH) // timedelta(milliseconds=1) for moment in (now, since))
    silence = silences.OFFLINE_AFTER * sa.cast(_devices.interval, sa.BigInteger)
    least = SILENCE // timedelta(milliseconds=1)
    shut_out = _devices.trust.not_in([each.value for each in LET_IN])
    if at - began <= least:
        return shut_out
    return sa.or_(shut_out, sa.and_(at - seen > silence, at - seen > least, silence < at - began))


def names_like(tx: Tx, scope: str, name: str, besides: str = "") -> set[str]:
    """Return the folded names, in exactly this scope, that begin as `name` does; of those retired none."""
    here = (_devices.scope == scope, _devices.trust != Trust.RETIRED.value, _devices.id != besides)
    alike = _devices.folded.startswith(texts.folded(name), autoescape=True)
    return {row.folded for row in tx.all(sa.select(_devices.folded).where(*here, alike))}


def free_name(tx: Tx, scope: str, wanted: str) -> str:
    """Return `wanted`, or the first `wanted-N` that no device of exactly this scope has."""
    return naming.free(wanted, names_like(tx, scope, wanted))


# What the plane must know of all of them


def standings(tx: Tx) -> dict[str, Standing]:
    """Return the standing of every device, by id."""
    rows = tx.all(sa.select(*tables.STANDING).select_from(tables.STANDINGS))
    return {row[0]: tables.standing(row) for row in rows}


def standing(tx: Tx, device_id: DeviceId) -> Standing:
    """Return the standing of one device; `NotFoundError` (`device.not_found`)."""
    row = None
    if well_formed(device_id):
        row = tx.first(sa.select(*tables.STANDING).select_from(tables.STANDINGS).where(_devices.id == device_id))
    if row is None:
        raise NotFoundError("device.not_found", "There is no such device.", "Let it join with an invite.")
    return tables.standing(row)


def revision(tx: Tx) -> int:
    """Return the number that rises with every change of who is let in, with what, and to do what."""
    return number(tx, REVISION, 0)


def number(tx: Tx, name: str, first: int) -> int:
    """Return one of the numbers of which there is one; `first` if it was never raised."""
    value: int | None = tx.scalar(sa.select(numbers.c.value).where(numbers.c.name == name))
    return first if value is None else value


def assignment(tx: Tx, device_id: DeviceId) -> Assignment | None:
    """Return what a device is to run."""
    row = tx.first(sa.select(*tables.ASSIGNMENT).where(schema.assignments.c.device == device_id))
    return None if row is None else tables.assignment(row)


def signed(tx: Tx, device_id: DeviceId) -> Signed | None:
    """Return the orders last signed for a device."""
    row = tx.first(sa.select(*tables.SIGNED).where(schema.orders.c.device == device_id))
    return None if row is None else tables.signed(row)


# What they told


def receipts(
    tx: Tx, device_id: DeviceId, *, attempt: str = "", limit: int | None = 100, before: str = ""
) -> list[Kept]:
    """Return a device's receipts, newest first; `before` is the digest of the last one had (paging)."""
    table = schema.receipts.c
    wanted = [table.device == device_id]
    if attempt:
        wanted.append(table.attempt == attempt)
    if before:
        last = sa.select(table.came_at).where(table.device == device_id, table.digest == before).scalar_subquery()
        wanted.append(sa.or_(table.came_at < last, sa.and_(table.came_at == last, table.digest < before)))
    newest = (table.came_at.desc(), table.digest.desc())
    return [tables.kept(row) for row in tx.all(sa.select(*tables.KEPT).where(*wanted).order_by(*newest).limit(limit))]


def receipt(tx: Tx, digest: str, seen: Visibility = EVERYWHERE) -> Kept:
    """Return the receipt whose payload has this digest; `NotFoundError` (`receipt.not_found`).

    It is seen where its device stood when it came, and where that stands now.
    """
    row = None
    if texts.plain(digest):
        table = schema.receipts
        here = sa.exists().where(_devices.id == table.c.device, access_queries.within(_devices.scope, seen))
        within = sa.or_(access_queries.within(table.c.scope, seen), here)
        row = tx.first(sa.select(*tables.KEPT).where(table.c.digest == digest, within))
    if row is None:
        raise NotFoundError(
            "receipt.not_found", "There is no such receipt, or not for you.", "List the receipts of the device."
        )
    return tables.kept(row)


def known_receipts(tx: Tx, device_id: DeviceId, digests: Iterable[str]) -> set[str]:
    """Return those of `digests` that are kept of this device already."""
    here = (schema.receipts.c.device == device_id, schema.receipts.c.digest.in_(list(digests)))
    return {row.digest for row in tx.all(sa.select(schema.receipts.c.digest).where(*here))}


def lines(
    tx: Tx,
    device_id: DeviceId,
    *,
    attempt: str = "",
    limit: int | None = 100,
    after: str = "",
    newest: bool = False,
) -> list[Line]:
    """Return lines of a device's journals in the order they came, or the `newest` first.

    `after` is the `mark` of the last one had (paging).
    """
    table = device_events.c
    wanted = [table.device == device_id]
    if attempt:
        wanted.append(table.attempt == attempt)
    place = sa.tuple_(table.came_at, table.journal, table.seq)
    if after:
        journal, _, seq = after.rpartition(":")
        counted = int(seq) if seq.isascii() and seq.isdigit() and len(seq) < 17 else -1
        last = sa.select(table.came_at, table.journal, table.seq).where(
            table.device == device_id, table.journal == journal, table.seq == counted
        )
        row = tx.first(last) if texts.plain(journal) else None
        if row is None:
            return []
        mark = sa.tuple_(sa.literal(row.came_at, Instant), row.journal, row.seq)
        wanted.append(place < mark if newest else place > mark)
    columns = (table.came_at, table.journal, table.seq)
    chosen = sa.select(*tables.LINE).where(*wanted)
    ordered = chosen.order_by(*(column.desc() if newest else column for column in columns))
    return [tables.line(row) for row in tx.all(ordered.limit(limit))]


def mark(line: Line) -> str:
    """Return what `lines` goes on after."""
    return f"{line.journal}:{line.seq}"


def kept_events(tx: Tx, device_id: DeviceId, journal: str) -> int:
    """Return the number of the newest line of this journal that is kept, 0 if none is."""
    here = (device_events.c.device == device_id, device_events.c.journal == journal)
    return tx.scalar(sa.select(sa.func.max(device_events.c.seq)).where(*here)) or 0


def _chosen(seen: Visibility, wanted: Wanted) -> list[Predicate]:
    chosen = [access_queries.within(_devices.scope, narrowed(seen, wanted.get("scope", ROOT)))]
    chosen += [_tagged(tag) for tag in wanted.get("tags", ())]
    trust = wanted.get("trust")
    if trust is not None:
        chosen.append(_devices.trust == trust.value)
    text = texts.folded(wanted.get("text", ""))
    if text:
        chosen.append(_says(text))
    liveness, now = wanted.get("liveness"), wanted.get("now")
    if liveness is not None:
        chosen.append(_silent(liveness, now or EPOCH))
    if wanted.get("conditions"):
        chosen.append(_condition(now or EPOCH).in_([each.value for each in wanted["conditions"]]))
    if not wanted.get("retired", True):
        chosen.append(_devices.trust != Trust.RETIRED.value)
    return chosen


def _condition(now: datetime) -> sa.ColumnElement[str]:
    # As `condition.judge` has it; a test compares the two.
    shut_out = _devices.trust.not_in([each.value for each in LET_IN])
    state = _devices.state
    return sa.case(
        (shut_out, _devices.trust),
        (state == State.DEGRADED.value, Condition.DEGRADED.value),
        (_silent(Liveness.NEVER_SEEN, now), Condition.NEVER_SEEN.value),
        (_silent(Liveness.OFFLINE, now), Condition.SILENT.value),
        (state.in_([each.value for each in conditions.FAILED]), Condition.FAILED.value),
        (_silent(Liveness.LATE, now), Condition.LATE.value),
        (state.in_([each.value for each in conditions.SETTLED]), Condition.WELL.value),
        else_=Condition.CHANGING.value,
    )


def _liveness(now: datetime) -> sa.ColumnElement[str]:
    *judged, otherwise = Liveness.NEVER_SEEN, Liveness.ONLINE, Liveness.LATE, Liveness.OFFLINE
    return sa.case(*((_silent(each, now), each.value) for each in judged), else_=otherwise.value)


def _tagged(tag: str) -> Predicate:
    # Tags are kept as canonical JSON, and hold no quote: in its quotes a tag is found whole or not at all.
    return _devices.tags.contains(f'"{tag}"', autoescape=True) if tagging.well_formed(tag) else sa.false()


def _says(text: str) -> Predicate:
    if not texts.plain(text):
        return sa.false()
    in_tag = _devices.tags.contains(text, autoescape=True) if tagging.of_letters(text) else sa.false()
    by_id = _devices.id.endswith(text, autoescape=True) if len(text) >= TAIL else sa.false()
    return sa.or_(by_id, _devices.folded.contains(text, autoescape=True), in_tag)


def _silent(liveness: Liveness, now: datetime) -> Predicate:
    if liveness is Liveness.NEVER_SEEN:
        return _devices.seen_at.is_(None)
    seen = sa.type_coerce(_devices.seen_at, sa.BigInteger)
    interval = sa.cast(_devices.interval, sa.BigInteger)
    at = (now - EPOCH) // timedelta(milliseconds=1)
    online, late = (at - seen <= bound * interval for bound in (silences.LATE_AFTER, silences.OFFLINE_AFTER))
    match liveness:
        case Liveness.ONLINE:
            return online
        case Liveness.LATE:
            return sa.and_(~online, late)
        case Liveness.OFFLINE:
            return ~late
