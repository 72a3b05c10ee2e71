# SPDX-License-Identifier: Apache-2.0
"""Inviting devices, letting them in, moving trust in them, holding them by tags, and taking their receipts.

The caller has judged the right: a face that of a person, the exchange the proof of a device. Entries stand at the place
of the device, and never hold a token or its digest.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, InvalidError, StaleError
from checkvalve.ids import DeviceId, HoldId, InviteId, PersonId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import admit, holds, naming, queries, tags, writes
from checkvalve.server.fleet import trust as trusts
from checkvalve.server.fleet.model import Device, Hold, Invite, Kept


def invite(tx: Tx, act: Act, invite: Invite, digest: str) -> Invite:
    """Make an invite whose token has this digest; return it as it is kept, made now, by who acts.

    Raises `NotFoundError` (`scope.not_found`) and what `admit.invitation` raises.
    """
    place = access_queries.at(tx, invite.scope)
    asked = replace(invite, made_by=PersonId(act.actor.id))
    made = admit.invitation(asked, place.kind if place else None, act.at)
    writes.add_invite(tx, made, digest)
    audit_writes.record(tx, act, "device.invite", f"invite:{made.id}", made.scope, {"after": _invited(made)})
    return made


def revoke(tx: Tx, act: Act, invite_id: InviteId) -> Invite:
    """Take an invite away, at once; devices that came in with it stay.

    Raises `NotFoundError` (`invite.not_found`), `ConflictError` (`invite.revoked`).
    """
    before = queries.invite(tx, invite_id)
    if not writes.revoke_invite(tx, invite_id, act.at):
        raise ConflictError("invite.revoked", "The invite was revoked already.", "Nothing is left to do.")
    audit_writes.record(
        tx, act, "device.revoke_invite", f"invite:{invite_id}", before.scope, {"before": _invited(before)}
    )
    return replace(before, revoked_at=act.at)


def join(tx: Tx, act: Act, invite_id: InviteId, device: Device) -> Device:
    """Let a device in that was not known, as `admit.newcomer` has it; return it as it is kept, with a free name.

    The caller has asked `admit.judge` whether it is the same device again; here only a new one is let in. Of `device`
    count id, name, key, machine and capability: the rest is the invite's. Raises `NotFoundError` (`invite.not_found`),
    `ForbiddenError` (`invite.refused`, `device.retired`), `ConflictError` (`device.known`).
    """
    invite = queries.invite(tx, invite_id)
    made = admit.newcomer(
        _open(tx, invite, device.key, act.at),
        id=device.id,
        name=device.name,
        public=device.public,
        key=device.key,
        machine=device.machine,
        capability=device.capability,
        now=act.at,
    )
    if not writes.use_invite(tx, invite.id):
        raise admit.refused()
    made = replace(made, name=queries.free_name(tx, made.scope, made.name))
    writes.add_device(tx, made)
    facts: dict[str, Json] = {
        "after": {**_described(made), "link": made.link.value, "trust": made.trust.value},
        "invite": invite.id,
        "key": made.key,
        "machine": made.machine,
    }
    audit_writes.record(tx, act, "device.join", f"device:{made.id}", made.scope, facts)
    return made


def renew(tx: Tx, act: Act, device_id: DeviceId, generation: int, ends_at: datetime) -> Device:
    """Note that the certificate of `generation`, good until `ends_at`, was issued to a device that has the one before.

    The number is that of `generations.following`. Raises `NotFoundError` (`device.not_found`), `ForbiddenError`
    (`device.quarantined`, `device.retired`), `StaleError` (`device.generation`) if a newer one was issued already.
    """
    before = queries.device(tx, device_id)
    trusts.let_in(before.trust)
    if not writes.issued(tx, device_id, generation, ends_at):
        raise StaleError("device.generation", "A newer certificate was issued already.", "Let the device ask again.")
    facts: dict[str, Json] = {"before": before.pending, "ends_at": rfc3339(ends_at), "generation": generation}
    audit_writes.record(tx, act, "device.renew", f"device:{device_id}", before.scope, facts)
    return queries.device(tx, device_id)


def quarantine(tx: Tx, act: Act, device_id: DeviceId, reason: str) -> Device:
    """Shut a device out until somebody accepts it again; what it runs goes on.

    Raises `NotFoundError` (`device.not_found`), `InvalidError` (`device.reason`), `ConflictError`
    (`device.already_quarantined`, `device.already_retired`).
    """
    before, after = _moved(tx, act, device_id, trusts.Move.QUARANTINE, reason)
    audit_writes.record(
        tx, act, "device.quarantine", f"device:{device_id}", before.scope, _changed(before, after, after.trust_reason)
    )
    return after


def accept(tx: Tx, act: Act, device_id: DeviceId, reason: str) -> Device:
    """End a quarantine: the device is let in as what it says of itself, accepted or observing.

    Raises `NotFoundError` (`device.not_found`), `InvalidError` (`device.reason`), `ConflictError`
    (`device.not_quarantined`, `device.already_retired`).
    """
    before, after = _moved(tx, act, device_id, trusts.Move.ACCEPT, reason)
    audit_writes.record(
        tx, act, "device.accept", f"device:{device_id}", before.scope, _changed(before, after, after.trust_reason)
    )
    return after


def retire(tx: Tx, act: Act, device_id: DeviceId, reason: str) -> Device:
    """Shut a device out for ever, with its key, and let it be assigned to nothing; what it told stays.

    Raises `NotFoundError` (`device.not_found`), `InvalidError` (`device.reason`), `ConflictError`
    (`device.already_retired`).
    """
    assigned = queries.assignment(tx, device_id)
    before, after = _moved(tx, act, device_id, trusts.Move.RETIRE, reason)
    writes.unassign(tx, device_id)
    facts = _changed(before, after, after.trust_reason) | {"attempt": assigned.attempt if assigned else None}
    audit_writes.record(tx, act, "device.retire", f"device:{device_id}", before.scope, facts)
    return after


def observe(tx: Tx, act: Act, device_id: DeviceId, *, observe: bool) -> Device:
    """Note that a device says that it observes, or that it does so no longer: it reports, and refuses every change.

    Raises `NotFoundError` (`device.not_found`), `ForbiddenError` (`device.quarantined`, `device.retired`).
    """
    before = queries.device(tx, device_id)
    after = replace(before, trust=trusts.observing(before, observe=observe), trust_reason="", changed_at=act.at)
    writes.trust(tx, before, after.trust, after.trust_reason, act.at)
    audit_writes.record(
        tx, act, "device.observe", f"device:{device_id}", before.scope, _changed(before, after, after.trust_reason)
    )
    return after


def describe(
    tx: Tx,
    act: Act,
    device_id: DeviceId,
    name: str | None = None,
    tags: Iterable[str] | None = None,
    scope: str | None = None,
) -> Device:
    """Give a device another name, other tags or another place of its organisation; None leaves what there is.

    The face has judged the right at both places. Raises `NotFoundError` (`device.not_found`, `scope.not_found`),
    `InvalidError` (`device.name`, `device.scope`, `tag.form`, `tag.many`), `ConflictError` (`device.name_taken`,
    `device.elsewhere`, `device.already_retired`).
    """
    before = queries.device(tx, device_id)
    trusts.not_retired(before)
    after = _as_described(before, name, tags, scope)
    if after.scope != before.scope:
        _may_stand(tx, before, after.scope)
    if (after.scope, after.name) != (before.scope, before.name):
        naming.still_free(after.name, queries.names_like(tx, after.scope, after.name, besides=before.id))
    after = replace(after, changed_at=act.at)
    writes.describe(tx, after, act.at)
    facts: dict[str, Json] = {"after": _described(after), "before": _described(before)}
    audit_writes.record(tx, act, "device.describe", f"device:{device_id}", before.scope, facts)
    return after


def hang(tx: Tx, act: Act, hold: Hold) -> Hold:
    """Hang a tag: nothing is switched where it hangs until it is lifted. Return it as it is kept, made now.

    Of `hold` count id, name, reason, number, and the device, or else the scope. Raises `NotFoundError`
    (`device.not_found`, `scope.not_found`), `InvalidError` (`hold.name`, `hold.reason`, `hold.number`, `hold.place`),
    `ConflictError` (`device.already_retired`, `hold.many`).
    """
    made = replace(
        hold,
        scope=_hangs_at(tx, hold),
        name=holds.name(hold.name),
        reason=holds.reason(hold.reason),
        number=holds.number(hold.number),
        made_by=PersonId(act.actor.id),
        made_at=act.at,
    )
    holds.one_more(queries.holds_at(tx, made.scope, made.device))
    writes.hang(tx, made)
    audit_writes.record(tx, act, "hold.hang", f"hold:{made.id}", made.scope, {"after": _hung(made)})
    return made


def lift(tx: Tx, act: Act, hold_id: HoldId, why: str) -> Hold:
    """Lift a tag; who lifts what somebody else hung says `why`. Return it as it is kept.

    Raises `NotFoundError` (`hold.not_found`), `ConflictError` (`hold.lifted`), `InvalidError` (`hold.reason`).
    """
    before, by = queries.hold(tx, hold_id), PersonId(act.actor.id)
    said = holds.lifting(before, by, why)
    if not writes.lift(tx, hold_id, by, act.at, said):
        raise ConflictError("hold.lifted", "The tag was lifted already.", "Nothing is left to do.")
    facts: dict[str, Json] = {"before": _hung(before), "own": before.made_by == by, "reason": said}
    audit_writes.record(tx, act, "hold.lift", f"hold:{hold_id}", before.scope, facts)
    return replace(before, lifted_by=by, lifted_at=act.at, lifted_why=said)


def new_journal(tx: Tx, act: Act, device_id: DeviceId, journal: str) -> Device:
    """Note that a known device begins another journal: its agent was installed anew, or lost its disk, or was copied.

    Raises `NotFoundError` (`device.not_found`).
    """
    before = queries.device(tx, device_id)
    known = queries.kept_events(tx, device_id, journal)
    writes.visited(tx, device_id, {"journal": journal, "known": known, "told": known})
    facts: dict[str, Json] = {
        "after": {"journal": journal, "known": known},
        "before": {"journal": before.journal, "known": before.known, "told": before.told},
    }
    audit_writes.record(tx, act, "device.journal", f"device:{device_id}", before.scope, facts)
    return replace(before, journal=journal, known=known, told=known)


def receive(tx: Tx, act: Act, kept: Kept) -> Kept:
    """Keep a receipt whose signature the caller has verified; return it with the place where its device stands now.

    Raises `NotFoundError` (`device.not_found`), `ConflictError` (`receipt.kept`).
    """
    device = queries.device(tx, kept.device)
    if queries.known_receipts(tx, device.id, [kept.digest]):
        raise ConflictError("receipt.kept", "This receipt is kept already.", "Nothing is left to do.")
    taken = replace(kept, scope=device.scope, came_at=act.at)
    writes.add_receipt(tx, taken)
    facts: dict[str, Json] = {
        "attempt": taken.attempt,
        "code": taken.code,
        "outcome": taken.outcome.value,
        "receipt": taken.digest,
        "release": taken.release,
    }
    audit_writes.record(tx, act, "device.receipt", f"device:{device.id}", device.scope, facts)
    return taken


def _open(tx: Tx, invite: Invite, key: str, now: datetime) -> Invite:
    match admit.judge(invite, queries.by_key(tx, key), now):
        case admit.New(opened):
            return opened
        case admit.Again():
            raise ConflictError(
                "device.joined", "This device has joined with this invite.", "Give it its answer again."
            )


def _moved(tx: Tx, act: Act, device_id: DeviceId, move: trusts.Move, reason: str) -> tuple[Device, Device]:
    before = queries.device(tx, device_id)
    invited = queries.invite(tx, before.invite)
    said = trusts.reason(reason)
    becomes = trusts.moved(before, move, invited_to_observe=invited.observe)
    writes.trust(tx, before, becomes, said, act.at)
    return before, replace(before, trust=becomes, trust_reason=said, changed_at=act.at)


def _as_described(device: Device, name: str | None, tagged: Iterable[str] | None, scope: str | None) -> Device:
    return replace(
        device,
        name=device.name if name is None else naming.given(name),
        tags=device.tags if tagged is None else tags.check(tagged),
        scope=device.scope if scope is None else scope,
    )


def _may_stand(tx: Tx, device: Device, scope: str) -> None:
    place = access_queries.at(tx, scope)
    if place is None or place.kind not in admit.PLACES:
        raise InvalidError("device.scope", "Devices stand in a site or an area.", "Name the site it is brought to.")
    if scope.split("/")[1] != device.scope.split("/")[1]:
        raise ConflictError(
            "device.elsewhere",
            "A device stays in its organisation.",
            "Retire it there, and let it join here as a new device.",
        )


def _changed(before: Device, after: Device, reason: str) -> dict[str, Json]:
    facts: dict[str, Json] = {"after": {"trust": after.trust.value}, "before": {"trust": before.trust.value}}
    return facts | {"name": before.name, "reason": reason}


def _described(device: Device) -> dict[str, Json]:
    return {"name": device.name, "scope": device.scope, "tags": list(device.tags)}


def _hangs_at(tx: Tx, hold: Hold) -> str:
    if hold.device is not None:
        device = queries.device(tx, hold.device)
        trusts.not_retired(device)
        return device.scope
    if access_queries.at(tx, hold.scope) is None:
        raise InvalidError(
            "hold.place",
            "A tag hangs at an organisation, a site, an area or a device.",
            "Name the organisation: what it holds is named on its tag.",
        )
    return hold.scope


def _hung(hold: Hold) -> dict[str, Json]:
    return {
        "device": hold.device,
        "name": hold.name,
        "number": hold.number,
        "reason": hold.reason,
        "scope": hold.scope,
    }


def _invited(invite: Invite) -> Json:
    return {
        "ends_at": rfc3339(invite.ends_at),
        "link": invite.link.value,
        "observe": invite.observe,
        "scope": invite.scope,
        "tags": list(invite.tags),
        "used": invite.used,
        "uses": invite.uses,
    }
