# SPDX-License-Identifier: Apache-2.0
"""Reading rollouts: what was intended, who goes when, how far each wave is, and what is to be done next."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import CheckvalveError, NotFoundError
from checkvalve.ids import DeviceId, ReleaseId, RolloutId, well_formed
from checkvalve.protocol import workload
from checkvalve.protocol.workload import Manifest
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Standing
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.rollouts import back, copied, counting, judge, tables, taking
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.back import Back
from checkvalve.server.rollouts.counting import Tally
from checkvalve.server.rollouts.model import (
    FAILED,
    LIVE,
    Filling,
    GoOn,
    Halt,
    Lane,
    No,
    Outcome,
    Planned,
    Rollout,
    Ruling,
    Seat,
    State,
)
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Release
from checkvalve.server.targeting import queries as targeting_queries
from checkvalve.server.targeting import selector
from checkvalve.server.values import queries as value_queries

EVERYWHERE = Visibility((ROOT,))
FILLING = 3  # capability of agents that read manifests of version 2


def rollout(tx: Tx, rollout_id: RolloutId, seen: Visibility = EVERYWHERE) -> Rollout:
    """Return one rollout; `NotFoundError` (`rollout.not_found`) if there is none that may be seen."""
    within = access_queries.within(schema.rollouts.c.scope, seen)
    row = tx.first(sa.select(*tables.ROLLOUT).where(schema.rollouts.c.id == rollout_id, within))
    if row is None:
        raise NotFoundError(
            "rollout.not_found", "There is no such rollout, or not for you.", "List the rollouts you can see."
        )
    return tables.rollout(row)


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
    return [
        tables.rollout(row) for row in tx.all(sa.select(*tables.ROLLOUT).where(*wanted).order_by(newest).limit(limit))
    ]


def standing(tx: Tx, rollout: Rollout, now: datetime) -> Standing | None:
    """Return where its approval stands now; None where none was opened."""
    if rollout.approval is None:
        return None
    return approval_queries.standing(tx, approval_queries.approval(tx, rollout.approval), now)


def obstacle(tx: Tx, rollout: Rollout) -> No | None:
    """Return why the release of a proposed rollout cannot be taken now; None if it can, or if nobody waits for it."""
    return _lost(tx, rollout) if rollout.state is State.PROPOSED else None


def planned(tx: Tx, rollout: Rollout, now: datetime) -> Planned:
    """Return who would go when if it were started now; `InvalidError` for a selector of before they were read."""
    wanted = rollout.wanted
    found = targeting_queries.select(tx, rollout.scope, selector.parse(wanted.selector))
    return taking.plan(found, wanted.release.partition("@")[2], wanted.plan, now, _fillings(tx, rollout, found))


def manifest(tx: Tx, rollout: Rollout) -> Manifest | None:
    """Return what its release says; None if it cannot be taken now."""
    release = _taken(tx, rollout.scope, rollout.wanted.release)
    return None if isinstance(release, str) else workload.read(release.manifest)


def copies(manifest: Manifest | None, plan: Planned) -> list[str]:
    """Return, in sentences, what a release has copied at the switch of these devices, and how long that stops them."""
    if manifest is None:
        return []
    return copied.sentences(manifest, (device.status for wave in plan.waves for device in wave))


def in_the_way(tx: Tx, rollout: Rollout, plan: Planned) -> No | None:
    """Return why a rollout with this plan cannot be started now, as to itself and its devices; None if it can."""
    over = starts.over(rollout)
    if over is not None:
        return over
    busy = taken(tx, [device.id for wave in plan.waves for device in wave])
    expr = selector.parse(rollout.wanted.selector)
    unknown = [] if plan.count or plan.passed else targeting_queries.unknown(tx, rollout.scope, expr)
    return taking.obstacle(plan, busy, unknown)


def taken(tx: Tx, devices: Sequence[DeviceId]) -> dict[str, Rollout]:
    """Return, of these devices, those that a rollout has not ended with, and which one it is."""
    live = sa.select(*tables.ROLLOUT).where(schema.rollouts.c.state.in_([state.value for state in LIVE]))
    by_id = {row.id: tables.rollout(row) for row in tx.all(live)}
    table = schema.rollout_devices.c
    open_ = sa.select(table.device, table.rollout).where(
        table.rollout.in_(list(by_id)), table.outcome == Outcome.OPEN.value
    )
    wanted = frozenset(devices)  # which may be more than a statement can name
    return {row.device: by_id[row.rollout] for row in tx.all(open_) if row.device in wanted}


def taken_besides(tx: Tx, rollout: Rollout, plan: Back) -> dict[str, Rollout]:
    """Return those that go back and that another rollout than this one is at work on."""
    found = taken(tx, [seat.device.id for seat, _ in plan.going])
    return {device: other for device, other in found.items() if other.id != rollout.id}


def way_back(tx: Tx, rollout: Rollout) -> Back:
    """Return to what each device would go if it were undone now."""
    found = seats(tx, rollout.id, limit=None)
    return back.plan(found, _ways_back(tx, rollout.scope, found), _since(tx, rollout))


def seats(
    tx: Tx,
    rollout_id: RolloutId,
    *,
    wave: int | None = None,
    outcomes: Collection[Outcome] = (),
    limit: int | None = 100,
    after: str = "",
    seen: Visibility = EVERYWHERE,
) -> list[Seat]:
    """Return the devices of a started rollout wave by wave, in a wave by place and name.

    `outcomes` names some, none is all; `after` is the id of the last device had (paging).
    """
    table = schema.rollout_devices.c
    wanted = [table.rollout == rollout_id, access_queries.within(schema.devices.c.scope, seen)]
    if wave is not None:
        wanted.append(table.wave == wave)
    if outcomes:
        wanted.append(table.outcome.in_([each.value for each in outcomes]))
    place = tables.ordered()
    if after:
        last = sa.select(*place).select_from(tables.SEATS).where(table.rollout == rollout_id, table.device == after)
        row = tx.first(last) if well_formed(after) else None
        if row is None:
            return []
        wanted.append(sa.tuple_(*place) > sa.tuple_(*row))
    chosen = sa.select(*tables.SEAT).select_from(tables.SEATS).where(*wanted).order_by(*place).limit(limit)
    return [tables.seat(row) for row in tx.all(chosen)]


def lanes(tx: Tx, rollout: Rollout, now: datetime, since: datetime) -> list[Lane]:
    """Return how far each wave of a started rollout is, those not open too.

    `since` is when the plane began to listen, see `fleet.queries.unheard`.
    """
    table = schema.rollout_devices.c
    ended = table.outcome != Outcome.OPEN.value
    # Who is retired never comes back: nobody waits for it.
    left = sa.or_(table.left, sa.and_(~ended, schema.devices.c.trust == Trust.RETIRED.value))
    silent = sa.and_(~ended, fleet_queries.unheard(now, since))
    begun = sa.and_(~ended, schema.devices.c.attempt == table.attempt)
    step = sa.case((begun, schema.devices.c.state), else_="")
    columns = (table.wave, table.outcome, left.label("left"), silent.label("silent"), step.label("step"))
    alike = sa.select(*columns).select_from(tables.PLACES).where(table.rollout == rollout.id).subquery()
    counted = sa.select(*alike.c, sa.func.count().label("number")).group_by(*alike.c)
    tallies = [
        Tally(row.wave, Outcome(row.outcome), bool(row.left), bool(row.silent), row.step, row.number)
        for row in tx.all(counted)
    ]
    return counting.lanes(tallies)


def ruling(tx: Tx, rollout: Rollout, now: datetime, since: datetime) -> Ruling:
    """Return what is to be done with a started rollout now; the reason names a device where one failed.

    No further wave opens on a release that can be taken no more.
    """
    return _ruling(tx, rollout, lanes(tx, rollout, now, since))


def progress(tx: Tx, rollout: Rollout, now: datetime, since: datetime) -> tuple[list[Lane], Ruling | None]:
    """Return how far each wave is, and what is to be done next; None where nothing goes on by itself."""
    found = lanes(tx, rollout, now, since)
    return found, _ruling(tx, rollout, found) if rollout.state is State.STARTED else None


def live(tx: Tx) -> list[RolloutId]:
    """Return the rollouts that go on by themselves."""
    found = sa.select(schema.rollouts.c.id).where(schema.rollouts.c.state == State.STARTED.value)
    return [RolloutId(row.id) for row in tx.all(found.order_by(schema.rollouts.c.id))]


def of_release(tx: Tx, release_id: ReleaseId, seen: Visibility, *, limit: int = 100) -> list[Rollout]:
    """Return the started rollouts that bring a release to some device, the newest first."""
    table = schema.rollout_devices.c
    brings = sa.exists().where(table.rollout == schema.rollouts.c.id, table.release == release_id)
    within = access_queries.within(schema.rollouts.c.scope, seen)
    found = sa.select(*tables.ROLLOUT).where(brings, within).order_by(schema.rollouts.c.id.desc()).limit(limit)
    return [tables.rollout(row) for row in tx.all(found)]


def of_device(tx: Tx, device: DeviceId) -> tuple[Rollout, Seat] | None:
    """Return the newest started rollout that a device has a part in."""
    table = schema.rollout_devices.c
    newest = sa.select(table.rollout).where(table.device == device).order_by(table.rollout.desc()).limit(1)
    found: str | None = tx.scalar(newest)
    if found is None:
        return None
    here = (table.rollout == found, table.device == device)
    row = tx.first(sa.select(*tables.SEAT).select_from(tables.SEATS).where(*here))
    return None if row is None else (rollout(tx, RolloutId(found)), tables.seat(row))


def ordered(tx: Tx, device: DeviceId) -> ReleaseId | None:
    """Return the release of the orders last signed for a device, if it has not ended with them, held back or not."""
    table = schema.rollout_devices.c
    here = (table.device == device, table.outcome == Outcome.OPEN.value, schema.orders.c.attempt.is_not(None))
    found: str | None = tx.scalar(sa.select(table.release).select_from(tables.SEATS).where(*here))
    return None if found is None else ReleaseId(found)


def _fillings(tx: Tx, rollout: Rollout, devices: Sequence[Device]) -> dict[DeviceId, Filling]:
    """Return what fills its release on each of these devices; nothing if it leaves nothing open, or is lost."""
    release = _taken(tx, rollout.scope, rollout.wanted.release)
    if isinstance(release, str):
        return {}
    manifest = workload.read(release.manifest)
    old = {device.id for device in devices if manifest.v > 1 and device.seen_at and device.capability < FILLING}
    if not manifest.open:
        return {device: Filling(old=True) for device in old}
    bound, now = value_queries.bound(tx, release, devices), value_queries.identities(tx, devices)
    return {
        device.id: Filling(
            json.dumps(found.binding, separators=(",", ":")) if found.entries else "",
            found.lacks,
            same=found.identity == now[device.id],
            old=device.id in old,
        )
        for device in devices
        for found in [bound[device.id]]
    }


def binding(tx: Tx, attempt: str) -> str:
    """Return what fills the release of an attempt, as its member keeps it; empty if nothing does."""
    found: str | None = tx.scalar(
        sa.select(schema.rollout_devices.c.binding).where(schema.rollout_devices.c.attempt == attempt)
    )
    return found or ""


def outcome(tx: Tx, attempt: str) -> Outcome | None:
    """Return how an attempt of a rollout ended; None if it is none of any."""
    found: str | None = tx.scalar(
        sa.select(schema.rollout_devices.c.outcome).where(schema.rollout_devices.c.attempt == attempt)
    )
    return None if found is None else Outcome(found)


def _ways_back(tx: Tx, scope: str, seats: Iterable[Seat]) -> dict[str, Release | str]:
    """Return, by digest, what ran on these devices before: the release if it may be taken, or why not."""
    digests = {seat.member.before for seat in seats} - {""}
    titles = supply_queries.titles(tx, digests, EVERYWHERE)
    return {digest: _taken(tx, scope, f"{title.name}@{digest}") for digest, title in titles.items()}


def _since(tx: Tx, rollout: Rollout) -> dict[str, tuple[ReleaseId, str]]:
    """Return, by device, what rollouts that were started later brought it last: release and binding."""
    if rollout.started_at is None:
        return {}
    table = schema.rollout_devices.c
    later = sa.select(schema.rollouts.c.id).where(schema.rollouts.c.started_at > rollout.started_at)
    took = table.outcome.in_([Outcome.COMMITTED.value, Outcome.DEGRADED.value])
    found = sa.select(table.device, table.release, table.binding).where(table.rollout.in_(later), took)
    return {row.device: (ReleaseId(row.release), row.binding) for row in tx.all(found.order_by(table.ended_at))}


def _ruling(tx: Tx, rollout: Rollout, found: Sequence[Lane]) -> Ruling:
    open_ = [lane for lane in found if lane.wave <= rollout.wave]
    ruling = judge.judge(open_, rollout.waves, canary=rollout.wanted.plan.canary > 0)
    if isinstance(ruling, Halt):
        return Halt(ruling.code, f"{ruling.reason}{_example(tx, rollout.id)}")
    lost = _lost(tx, rollout) if isinstance(ruling, GoOn) else None
    return ruling if lost is None else Halt(lost.code, lost.sentence)


def _lost(tx: Tx, rollout: Rollout) -> No | None:
    try:
        supply_queries.named(tx, rollout.scope, rollout.wanted.release)
    except CheckvalveError as error:
        return No(error.code, error.sentence, error.remedy)
    return None


def _taken(tx: Tx, scope: str, text: str) -> Release | str:
    try:
        return supply_queries.named(tx, scope, text)
    except CheckvalveError as error:
        return error.sentence


def _example(tx: Tx, rollout_id: RolloutId) -> str:
    table = schema.rollout_devices.c
    failed = (table.rollout == rollout_id, table.outcome.in_([each.value for each in FAILED]), table.left.is_(False))
    first = sa.select(*tables.SEAT).select_from(tables.SEATS).where(*failed).order_by(table.ended_at, table.device)
    row = tx.first(first.limit(1))
    if row is None:
        return ""
    seat = tables.seat(row)
    return f" {seat.device.name} {counting.did(seat.member.outcome)}: {seat.member.reason}"
