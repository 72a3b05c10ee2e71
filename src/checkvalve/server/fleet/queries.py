# SPDX-License-Identifier: Apache-2.0
# long: a room has one file that reads, and this one reads invites, devices, tags and what devices told
"""Reading invites, devices, what they are to run, the tags that hang for them, and what they told.

Ids and texts from outside may be anything; what nothing can be called finds nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Unpack

import sqlalchemy as sa

from checkvalve import lines as texts
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId, HoldId, InviteId, well_formed
from checkvalve.protocol.exchange import State
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.decide import narrowed
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.db.schema import device_events, numbers
from checkvalve.server.db.types import EPOCH, Instant
from checkvalve.server.fleet import condition as conditions
from checkvalve.server.fleet import holds as tagged
from checkvalve.server.fleet import liveness as silences
from checkvalve.server.fleet import naming, tables
from checkvalve.server.fleet import tags as tagging
from checkvalve.server.fleet.model import (
    LET_IN,
    Assignment,
    Condition,
    Device,
    Hanging,
    Hold,
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
_holds = schema.holds.c

# On the path of every visit: made once.
_STANDING_OF = (
    sa.select(*tables.STANDING, _devices.scope, _devices.capability)
    .select_from(tables.STANDINGS)
    .where(_devices.id == sa.bindparam("wanted"))
)
_HANGS = sa.select(_holds.id, _holds.scope, _holds.device).where(_holds.lifted_at.is_(None)).order_by(_holds.id)
_AT_PLACES = sa.and_(_holds.device.is_(None), _holds.scope.in_(sa.bindparam("places", expanding=True)))
_HANGS_FOR = _HANGS.where(sa.or_(_holds.device == sa.bindparam("wanted"), _AT_PLACES))
_HOLDS_FOR = (
    sa.select(*tables.HOLD)
    .where(_holds.lifted_at.is_(None))
    .where(sa.or_(_holds.device.in_(sa.bindparam("devices", expanding=True)), _AT_PLACES))
    .order_by(_holds.id)
)
_DEVICE_OF = sa.select(*tables.DEVICE).where(_devices.id == sa.bindparam("wanted"))
_SIGNED_OF = sa.select(*tables.SIGNED).where(schema.orders.c.device == sa.bindparam("wanted"))


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
        statement = _DEVICE_OF
        if ROOT not in seen.prefixes:
            statement = statement.where(access_queries.within(_devices.scope, seen))
        row = tx.first(statement, {"wanted": device_id})
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
    if order is Order.CRASHING:
        column = -_devices.crashing
    chosen = [*_chosen(tx, seen, wanted)]
    if after:
        last = sa.select(column).where(_devices.id == after).scalar_subquery()
        chosen.append(sa.or_(column > last, sa.and_(column == last, _devices.id > after)))
    listed = sa.select(*tables.DEVICE).where(*chosen).order_by(column, _devices.id).limit(limit)
    return [tables.device(row) for row in tx.all(listed)]


def count(tx: Tx, seen: Visibility, **wanted: Unpack[Wanted]) -> int:
    """Return how many devices are wanted."""
    found: int = tx.scalar(sa.select(sa.func.count()).select_from(schema.devices).where(*_chosen(tx, seen, wanted)))
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
    hung = hanging(tx)
    more = (_devices.scope, _devices.capability) if hung else ()
    rows = tx.all(sa.select(*tables.STANDING, *more).select_from(tables.STANDINGS))
    if not hung:  # most times: nothing is to be worked out for each of ten thousand
        return {row[0]: tables.standing(row) for row in rows}
    told = _Told(hung)
    return {row[0]: told.standing(row) for row in rows}


def standing(tx: Tx, device_id: DeviceId) -> Standing:
    """Return the standing of one device; `NotFoundError` (`device.not_found`)."""
    row = None
    if well_formed(device_id):
        row = tx.first(_STANDING_OF, {"wanted": device_id})
    if row is None:
        raise NotFoundError("device.not_found", "There is no such device.", "Let it join with an invite.")
    hung = tx.all(_HANGS_FOR, {"wanted": device_id, "places": tagged.places(row.scope)})
    return _Told(_hanging(hung)).standing(row)


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
    row = tx.first(_SIGNED_OF, {"wanted": device_id})
    return None if row is None else tables.signed(row)


# The tags that hang for them


def hanging(tx: Tx) -> Hanging:
    """Return the tags that hang now, everywhere."""
    return _hanging(tx.all(_HANGS))


def hold(tx: Tx, hold_id: HoldId, seen: Visibility = EVERYWHERE) -> Hold:
    """Return one tag, lifted ones too; `NotFoundError` (`hold.not_found`) if there is none that may be seen."""
    row = None
    if well_formed(hold_id):
        within = access_queries.within(_holds.scope, seen)
        row = tx.first(sa.select(*tables.HOLD).where(_holds.id == hold_id, within))
    if row is None:
        raise NotFoundError("hold.not_found", "There is no such tag, or not for you.", "List the tags that hang.")
    return tables.hold(row)


def holds(
    tx: Tx, seen: Visibility, *, lifted: bool | None = False, limit: int | None = 100, before: str = ""
) -> list[Hold]:
    """Return the tags that hang for what one may see, also those of places above it; newest first.

    `lifted`: those that were lifted instead, or all of them for None; `before` is the id of the last one had (paging).
    """
    above = sorted({place for path in seen.prefixes for place in tagged.places(path)})
    wanted = [sa.or_(access_queries.within(_holds.scope, seen), sa.and_(_holds.device.is_(None), _in(above)))]
    if lifted is not None:
        wanted.append(_holds.lifted_at.is_not(None) if lifted else _holds.lifted_at.is_(None))
    if before:
        wanted.append(_holds.id < before)
    rows = tx.all(sa.select(*tables.HOLD).where(*wanted).order_by(_holds.id.desc()).limit(limit))
    return [tables.hold(row) for row in rows]


def holds_for(tx: Tx, devices: Sequence[Device]) -> dict[str, list[Hold]]:
    """Return the tags of the plane's that hang for each of these devices now, by device, the oldest first."""
    places = sorted({place for one in devices for place in tagged.places(one.scope)})
    rows = tx.all(_HOLDS_FOR, {"devices": [one.id for one in devices], "places": places})
    found = [tables.hold(row) for row in rows]
    return {one.id: [hold for hold in found if tagged.hangs(hold, one.scope, one.id)] for one in devices}


def holds_at(tx: Tx, scope: str, device: DeviceId | None) -> int:
    """Return how many tags hang at exactly this place, or on this device."""
    here = _holds.device.is_(None) if device is None else _holds.device == device
    count = sa.select(sa.func.count()).select_from(schema.holds)
    found: int = tx.scalar(count.where(_holds.lifted_at.is_(None), _holds.scope == scope, here))
    return found


def held(tx: Tx) -> Predicate:
    """Return the predicate on devices that a tag hangs for now, of the plane or of their own."""
    hung = hanging(tx)
    below = [access_queries.within(_devices.scope, Visibility((place,))) for place in hung.places]
    return sa.or_(_devices.locked, _devices.id.in_(list(hung.devices)), *below)


def unaware(tx: Tx, seen: Visibility) -> dict[str, int]:
    """Return, by the place they stand at, how many devices do not know yet what hangs for them now.

    Those that are shut out are not counted: nothing is ordered of them.
    """
    hung = hanging(tx)
    told, found = _Told(hung), dict[str, int]()
    which = (access_queries.within(_devices.scope, seen), _devices.trust.in_([each.value for each in LET_IN]))
    own = _devices.id.in_(list(hung.devices))
    alike = sa.select(_devices.scope, _devices.held, sa.func.count().label("number")).where(*which, ~own)
    for row in tx.all(alike.group_by(_devices.scope, _devices.held)):
        if told.digest(row.scope) != row.held:
            found[row.scope] = found.get(row.scope, 0) + row.number
    for row in tx.all(sa.select(_devices.scope, _devices.held, _devices.id).where(*which, own)):
        if told.digest(row.scope, row.id) != row.held:
            found[row.scope] = found.get(row.scope, 0) + 1
    return found


class _Told:
    """What devices are to be told, worked out once for each place."""

    def __init__(self, hung: Hanging) -> None:
        self._hung = hung
        self._by_place: dict[str, str] = {}

    def standing(self, row: Row) -> Standing:
        """Return the standing of a row of `STANDING`, scope and capability, with what hangs for its device."""
        *own, scope, capability = tuple(row)
        hung = self.digest(scope, own[0])
        if tagged.knows_tags(capability):
            return tables.standing(own, hung)
        one = tables.standing(own)  # nothing is ordered of who would not wait (`holds`, rule 4)
        return replace(one, hung=one.held, wanted="" if hung else one.wanted)

    def digest(self, scope: str, device: str = "") -> str:
        """Return what stands for the tags that a device of this place is told of."""
        if device in self._hung.devices:
            return tagged.digest(tagged.told(tagged.hanging(self._hung, scope, device)))
        if scope not in self._by_place:
            self._by_place[scope] = tagged.digest(tagged.told(tagged.hanging(self._hung, scope, "")))
        return self._by_place[scope]


def _hanging(rows: Iterable[Row]) -> Hanging:
    places: dict[str, tuple[HoldId, ...]] = {}
    on: dict[str, tuple[HoldId, ...]] = {}
    for row in rows:
        there, where = (places, row.scope) if row.device is None else (on, row.device)
        there[where] = (*there.get(where, ()), row.id)
    return Hanging(places, on)


def _in(places: list[str]) -> Predicate:
    return _holds.scope.in_(places)


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


def _chosen(tx: Tx, seen: Visibility, wanted: Wanted) -> list[Predicate]:
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
    if wanted.get("states"):
        chosen.append(_devices.state.in_([each.value for each in wanted["states"]]))
    if wanted.get("held"):
        chosen.append(held(tx))
    if wanted.get("locked"):
        chosen.append(_devices.locked)
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
        (_devices.crashing > 0, Condition.CRASHING.value),
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
