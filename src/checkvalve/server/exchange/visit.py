# SPDX-License-Identifier: Apache-2.0
"""One visit of a device: all its report brings, in one transaction, and what it is told (walk rollout, 6 and 8).

Rules: 1. a visit may come twice and leaves the same: lines are known by journal and number, receipts by the digest of
their payload; 2. a generation that was left behind is a copy: the device is shut out, and nothing it says is taken,
unless the report was held back here and is no word of now; 3. lines are taken in order and without a gap, but for what
the device says is gone from its journal; 4. a receipt is taken if the device's own key signed it and it speaks of this
device; any other is recorded as refused, once, and acknowledged, so that it does not come for ever; what it says of
errands comes the same way (`errands`); 5. a status is the device's own word of itself, and its digest is too; 6. how an
attempt ended is noted in its rollout with the receipt that says so, in one transaction; that it hangs in between the
status says first. What did not end well is not ordered again; 7. where what fills a release cannot be had, the attempt
has failed before it began, and the record says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.crypto import envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.ids import DeviceId
from checkvalve.protocol import exchange, receipt
from checkvalve.protocol.exchange import Answer, Event, Report, State
from checkvalve.server.access import queries as access_queries
from checkvalve.server.audit.model import PLANE
from checkvalve.server.db.database import Tx
from checkvalve.server.exchange import due, errands, filling
from checkvalve.server.exchange.due import Want
from checkvalve.server.exchange.ground import Ground, actor, milliseconds
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import generations, holds
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.generations import Behind, Confirm, Same
from checkvalve.server.fleet.model import LET_IN, Assignment, Changes, Device, Kept, Line, Signed, Standing, Trust
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Outcome


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended on the device that visits."""

    attempt: str
    outcome: State
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Visited:
    """What came of a visit. `standing` is what the plane knows of the device now, as of `revision`.

    `answer` is None if there is nothing to say, or the device was shut out: its standing tells. `signed` are the orders
    it is to take, whether they are in the answer or were accepted before.
    """

    standing: Standing
    revision: int
    answer: Answer | None = None
    signed: Signed | None = None
    rollouts: tuple[str, ...] = ()
    """Those that may go on now, or have to be paused: a device of theirs has ended."""


def visit(tx: Tx, ground: Ground, device_id: DeviceId, key: str, report: Report, *, held: bool, give: bool) -> Visited:
    """Take what the device that has the key with fingerprint `key` reports, and answer.

    `held`: the report was kept waiting here; `give`: orders may be in the answer. Raises `NotFoundError`
    (`device.not_found`), `InvalidError` (`report.generation`, `canonical.value`).
    """
    device = fleet_queries.device(tx, device_id)
    if device.key != key or device.trust not in LET_IN or not _current(tx, ground, device, report, held=held):
        return Visited(fleet_queries.standing(tx, device_id), fleet_queries.revision(tx))
    device = _journal(tx, ground, device, report)
    known = _lines(tx, ground, device, report)
    fleet_writes.visited(tx, device_id, _changes(ground, device, report, known, held=held))
    _observing(tx, ground, device, report)
    taken, ends = _receipts(tx, ground, device, report)
    rollouts = _ended(tx, ground, device, [*_hanging(report), *ends])
    told = report.state == (device.status_digest if report.status is None else report.state)
    standing = fleet_queries.standing(tx, device_id)
    want = due.wanted(standing)
    if not errands.knows(report):
        want = replace(want, errands="")
    signed = _orders(tx, ground, device, report, want, give=give)
    if give and want.attempt != (signed.attempt if signed and want.attempt else ""):
        standing = fleet_queries.standing(tx, device_id)  # what it was to run failed before it began
    given = envelope.read(signed.envelope) if signed and give and not _has(report, signed) else None
    answer = Answer(orders=given, known=known, receipts=taken, tell=not told)
    if given is None and not taken and told and not report.events and known >= report.seq:
        return Visited(standing, fleet_queries.revision(tx), None, signed, rollouts)
    return Visited(standing, fleet_queries.revision(tx), answer, signed, rollouts)


def _current(tx: Tx, ground: Ground, device: Device, report: Report, *, held: bool) -> bool:
    match generations.judge(device, report.generation):
        case Same():
            return True
        case Confirm(generation):
            fleet_writes.confirm(tx, device.id, generation)
            return True
        case Behind() as behind:
            if not held:  # rule 2
                fleet_actions.quarantine(tx, ground.act(PLANE), device.id, behind.sentence)
            return False


def _journal(tx: Tx, ground: Ground, device: Device, report: Report) -> Device:
    if report.journal == device.journal:
        return device
    if device.journal:
        return fleet_actions.new_journal(tx, ground.act(actor(device)), device.id, report.journal)
    return replace(device, journal=report.journal, known=fleet_queries.kept_events(tx, device.id, report.journal))


def _lines(tx: Tx, ground: Ground, device: Device, report: Report) -> int:
    """Keep the lines that follow (rule 3); return the number of the newest that is kept."""
    known, taken = device.known, []
    for event in report.events:
        if event.seq == known + 1 or known < event.seq == report.oldest:
            known = event.seq
            taken.append(_line(ground, report, event))
        elif event.seq > known:
            break
    if taken:
        fleet_writes.add_lines(tx, device.id, taken)
    return known


def _line(ground: Ground, report: Report, event: Event) -> Line:
    data = canonical.dumps(cast("Json", msgspec.to_builtins(event)))
    return Line(report.journal, event.seq, event.attempt, event.state, data, ground.now)


def _changes(ground: Ground, device: Device, report: Report, known: int, *, held: bool) -> Changes:
    changes = Changes(
        journal=report.journal,
        known=known,
        told=report.seq,
        capability=report.capability,
        epoch=report.epoch,
        counter=report.counter,
    )
    if not held:
        changes["offset"] = report.clock - milliseconds(ground.now)
        changes["seen_at"] = ground.now
    status = report.status
    if status is not None and report.state != device.status_digest:
        changes["status"] = canonical.dumps(cast("Json", msgspec.to_builtins(status)))
        changes["status_digest"] = report.state
        changes["state"] = status.state
        changes["attempt"] = status.attempt
        changes["active"] = status.active
        changes["given"] = status.values
        changes["held"] = holds.known(status)
        changes["locked"] = holds.locked(status)
        changes["crashing"] = len({one.service for one in status.workloads if one.crashes})
    return changes


def _observing(tx: Tx, ground: Ground, device: Device, report: Report) -> None:
    if report.status is not None and report.status.observe != (device.trust is Trust.OBSERVE):
        fleet_actions.observe(tx, ground.act(actor(device)), device.id, observe=report.status.observe)


def _receipts(tx: Tx, ground: Ground, device: Device, report: Report) -> tuple[tuple[str, ...], list[End]]:
    """Take receipts (rule 4); return the payload digests of those that need not come again, and what new ones say."""
    ends: list[End] = []
    sealed, words = errands.apart(report.receipts)
    known = fleet_queries.known_receipts(tx, device.id, sealed) if sealed else set()
    for digest in sorted(sealed.keys() - known):
        try:
            said = _verified(device, sealed[digest])
        except (InvalidError, ForbiddenError) as error:
            errands.refuse(tx, ground, device, "device.receipt", digest, error)
        else:
            kept = _kept(ground, device, digest, said, sealed[digest])
            fleet_actions.receive(tx, ground.act(actor(device)), kept)
            ends.append(End(kept.attempt, kept.outcome, kept.code, kept.reason))
    done = errands.receive(tx, ground, device, words) if words else set[str]()
    return tuple(sorted(sealed.keys() | done)), ends


def _hanging(report: Report) -> list[End]:
    status = report.status
    if status is None or status.state is not State.DEGRADED:
        return []
    return [End(status.attempt, status.state, status.code, status.reason)]


def _ended(tx: Tx, ground: Ground, device: Device, ends: Sequence[End]) -> tuple[str, ...]:
    """Note in their rollouts how attempts ended (rule 6); return those in which that was news."""
    changed = set[str]()
    assigned = fleet_queries.assignment(tx, device.id) if ends else None
    for end in ends:
        outcome = Outcome(end.outcome.value)
        changed.add(rollout_writes.ended(tx, device.id, end.attempt, outcome, end.code, end.reason, ground.now))
        if assigned is not None and _over(tx, assigned, end.attempt, outcome):
            fleet_writes.unassign(tx, device.id)
    return tuple(sorted(changed - {""}))


def _over(tx: Tx, assigned: Assignment, attempt: str, outcome: Outcome) -> bool:
    """Tell whether what a device is to run is over with the end of this attempt.

    One that it took stays, until an attempt of its own has led elsewhere: somebody at the device brought the old
    release back, and the plane is not to order it forward again.
    """
    if assigned.attempt == attempt:
        return outcome is not Outcome.COMMITTED
    return outcome is Outcome.COMMITTED and rollout_queries.outcome(tx, assigned.attempt) is Outcome.COMMITTED


def _verified(device: Device, sealed: Envelope) -> receipt.Receipt:
    try:
        said = receipt.verified(sealed, keys.load_public(device.public))
    except InvalidError as error:
        if error.code != "envelope.signature":
            raise
        raise ForbiddenError(
            "receipt.signature", "The receipt is not signed with the key of the device that brought it.", error.remedy
        ) from error
    if said.device != device.id:
        raise ForbiddenError(
            "receipt.device", f"The receipt speaks of device {said.device}.", "A device speaks for itself only."
        )
    if said.outcome.value not in set(Outcome):
        raise InvalidError("receipt.form", f"{said.outcome.value!r} is no end of an attempt.", "Make the receipt anew.")
    return said


def _kept(ground: Ground, device: Device, digest: str, said: receipt.Receipt, sealed: Envelope) -> Kept:
    return Kept(
        device=device.id,
        digest=digest,
        scope=device.scope,
        attempt=said.attempt,
        release=said.release,
        outcome=said.outcome,
        code=said.code,
        reason=said.reason,
        envelope=envelope.write(sealed),
        came_at=ground.now,
    )


def _orders(tx: Tx, ground: Ground, device: Device, report: Report, want: Want, *, give: bool) -> Signed | None:
    """Return the orders that the device is to take, or took, signed now if none are that are still good."""
    if not want:
        return None
    signed = fleet_queries.signed(tx, device.id)
    if due.taken(report, signed, want, ground.now) or due.usable(report, signed, want, ground.now):
        return signed
    return _sign(tx, ground, device, want) if give else None


def _sign(tx: Tx, ground: Ground, device: Device, want: Want) -> Signed | None:
    """Return new orders, those of tags first, then errands; None if there is nothing to order after all."""
    deploy = _deploy(tx, ground, device) if want.attempt else None
    items: list[Json] = [_hold(tx, device)] if want.held else []
    items += errands.items(tx, ground, device) if want.errands else []
    items += [deploy] if deploy is not None else []
    if not items:
        return None
    epoch, counter = fleet_writes.next_counter(tx)
    ends_at = ground.now + due.LIFETIMES[device.link]
    payload = canonical.dumps(
        {
            "counter": counter,
            "device": device.id,
            "epoch": epoch,
            "expires_at": milliseconds(ends_at),
            "issued_at": milliseconds(ground.now),
            "items": items,
            "plane": ground.plane,
            "v": 1,
        }
    )
    sealed = envelope.write(envelope.seal(ground.orders.key, exchange.ORDERS, payload))
    attempt = want.attempt if deploy is not None else ""
    signed = Signed(device.id, attempt, epoch, counter, sealed, ground.now, ends_at, want.held, want.errands)
    fleet_writes.put_orders(tx, signed)
    return signed


def _deploy(tx: Tx, ground: Ground, device: Device) -> Json | None:
    """Return what it is to run; None if what fills it cannot be had: then the attempt has failed before it began."""
    assigned = fleet_queries.assignment(tx, device.id)
    if assigned is None:
        return None
    try:
        given = filling.ordered(tx, ground, device, assigned)
    except (ConflictError, InvalidError) as error:
        outcome, why = Outcome.REFUSED, f"{error.sentence} {error.remedy}".strip()
        rollout_writes.ended(tx, device.id, assigned.attempt, outcome, error.code, why, ground.now)
        fleet_writes.unassign(tx, device.id)
        filling.refuse(tx, ground, device, assigned, error)
        return None
    values: Json = {"digest": given} if given else {}
    return {"attempt": assigned.attempt, "kind": "deploy", "target": assigned.target, "values": values}


def _hold(tx: Tx, device: Device) -> Json:
    """Return all tags of the plane's that it is to know of now."""
    hung = {one.id: one for one in fleet_queries.holds_for(tx, [device])[device.id]}
    tags = []
    for ident in holds.told(hung):
        one = hung[ident]
        where = device.name if one.device else " / ".join(access_queries.names(tx, one.scope))
        tags.append(msgspec.to_builtins(holds.tag(one, where)))
    return {"kind": "hold", "tags": tags}


def _has(report: Report, signed: Signed) -> bool:
    return due.accepted(report, (signed.epoch, signed.counter))
