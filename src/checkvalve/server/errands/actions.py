# SPDX-License-Identifier: Apache-2.0
"""Ordering errands, cancelling them, and taking what devices say of them.

The caller has judged the right: a face that of a person, the exchange the proof of a device. Entries stand at the place
where the device stands now.
"""

from checkvalve.canonical import Json
from checkvalve.ids import ErrandId, PersonId
from checkvalve.protocol.errand import Done
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import decide, ending, queries, writes
from checkvalve.server.errands.model import Asked, Errand
from checkvalve.server.fleet import queries as fleet_queries


def order(tx: Tx, act: Act, asked: Asked) -> Errand:
    """Order an errand of a device; return it as it is kept. The same that waits already is returned as it stands.

    The entry names the errand that is returned. Raises `NotFoundError` (`device.not_found`), `ConflictError`
    (`errand.device`, `errand.observes`, `errand.agent`, `errand.held`, `errand.many`), `InvalidError`
    (`errand.service`, `errand.since`, `errand.lines`, `errand.why`, `errand.within`).
    """
    device = fleet_queries.device(tx, asked.device)
    wanted = decide.ordered(asked, device, PersonId(act.actor.id), act.at)
    refused = queries.refusal(tx, device, wanted.kind)
    if refused is not None:
        raise refused
    waiting = queries.waiting(tx, device.id)
    there = decide.same(wanted, waiting, act.at)
    if there is None:
        decide.one_more(len(waiting))
        writes.add(tx, wanted)
    errand = there or wanted
    facts = _facts(errand) | {"again": there is not None, "until": rfc3339(errand.until), "why": wanted.why}
    audit_writes.record(tx, act, "errand.order", f"errand:{errand.id}", device.scope, facts)
    return errand


def cancel(tx: Tx, act: Act, errand_id: ErrandId, why: str) -> Errand:
    """Take back an errand that waits; return it as it is kept. One that was signed before may be done all the same.

    Raises `NotFoundError` (`errand.not_found`), `ConflictError` (`errand.ended`), `InvalidError` (`errand.why`).
    """
    before = queries.errand(tx, errand_id)
    after = ending.cancelled(before, why, act.at)
    writes.end(tx, after)
    facts = _facts(before) | {"given": before.given_at is not None, "reason": after.reason}
    scope = fleet_queries.device(tx, before.device).scope
    audit_writes.record(tx, act, "errand.cancel", f"errand:{errand_id}", scope, facts)
    return after


def receive(tx: Tx, act: Act, said: Done, digest: str, envelope: bytes) -> Errand:
    """Take a device's word on an errand, whose signature the caller has verified; return the errand as it ended.

    `digest` is of the payload, `envelope` its final bytes; the device is the one who acts. Raises `NotFoundError`
    (`errand.not_found`, `device.not_found`), `ForbiddenError` (`errand.foreign`), `InvalidError` (`errand.kind`),
    `ConflictError` (`errand.twice`).
    """
    before = queries.errand(tx, ErrandId(said.errand))
    device = fleet_queries.device(tx, before.device)
    after = ending.ended(before, said, by=act.actor.id, digest=digest, envelope=envelope, at=act.at)
    writes.end(tx, after)
    facts = _facts(before) | {
        "before": before.state.value,
        "code": said.code,
        "content": after.content,
        "outcome": said.outcome,
        "receipt": digest,
    }
    audit_writes.record(tx, act, "errand.end", f"errand:{before.id}", device.scope, facts)
    return after


def lose(tx: Tx, act: Act, errand_id: ErrandId) -> Errand:
    """Give up an errand of which nothing was heard; return it as it is kept.

    Raises `NotFoundError` (`errand.not_found`), `ConflictError` (`errand.ended`, `errand.early`).
    """
    before = queries.errand(tx, errand_id)
    after = ending.lost(before, act.at)
    writes.end(tx, after)
    scope = fleet_queries.device(tx, before.device).scope
    facts = _facts(before) | {"given": before.given_at is not None}
    audit_writes.record(tx, act, "errand.lose", f"errand:{errand_id}", scope, facts)
    return after


def _facts(errand: Errand) -> dict[str, Json]:
    return {"device": errand.device, "kind": errand.kind.value, "service": errand.service, "why": errand.why}
