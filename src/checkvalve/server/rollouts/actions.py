# SPDX-License-Identifier: Apache-2.0
"""Drafting, proposing, starting, pausing, resuming, undoing, cancelling; what the judge decides (walk rollout).

The face has judged the right to do so, in the same transaction; the judge's decisions are the plane's own acts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, ForbiddenError, StaleError
from checkvalve.ids import ApprovalId, AttemptId, PersonId, RolloutId
from checkvalve.protocol import workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.approvals import count
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals import writes as approval_writes
from checkvalve.server.approvals.model import Approval
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Assignment, Device, Trust
from checkvalve.server.rollouts import back, moves, queries, writes
from checkvalve.server.rollouts import intent as intents
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.model import (
    Done,
    Go,
    GoOn,
    Intent,
    Member,
    No,
    Outcome,
    Plan,
    Rollout,
    Seat,
    State,
    Verdict,
)
from checkvalve.server.rollouts.moves import Move
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Release

APPROVAL_LASTS = timedelta(days=7)


def draft(tx: Tx, act: Act, rollout_id: RolloutId, scope: str, name: str, intent: Intent) -> Rollout:
    """Write down what is to happen in the scope at path `scope`; the actor is its drafter.

    The release may be named by its version; it is kept by its digest. Raises `InvalidError` (`rollout.name`,
    `release.unknown` and what `intent.compose` raises), `NotFoundError` (`scope.not_found`, `person.not_found`),
    `ConflictError` (`release.not_published`, `release.withdrawn`, `release.below_floor`).
    """
    drafter = _person(tx, act)
    access_queries.at(tx, scope)
    release = supply_queries.named(tx, scope, intent.release.strip())
    rollout = Rollout(
        id=rollout_id,
        scope=scope,
        name=intents.name(name),
        intent=intents.compose(replace(intent, release=release.ref)),
        state=State.DRAFT,
        approval=None,
        made_by=drafter,
        made_at=act.at,
        changed_at=act.at,
    )
    writes.add(tx, rollout)
    facts: dict[str, Json] = {**_said(rollout), "after": {"state": State.DRAFT.value}}
    audit_writes.record(tx, act, "rollout.draft", f"rollout:{rollout_id}", scope, facts)
    return rollout


def propose(tx: Tx, act: Act, rollout_id: RolloutId, approval_id: ApprovalId) -> Rollout:
    """Close the draft and ask for approval, open for 7 days; where the intent asks for none, none is opened.

    Only its drafter proposes: the requester, who never counts as a voter, is then also the one who wrote it.
    Raises `NotFoundError` (`rollout.not_found`, `person.not_found`), `ConflictError` (`rollout.not_draft`),
    `ForbiddenError` (`rollout.not_drafter`).
    """
    rollout = queries.rollout(tx, rollout_id)
    _may_propose(rollout, _person(tx, act))
    approval = _asked(rollout, act, approval_id)
    if approval is not None:
        approval_writes.open_(tx, approval)
    asked = approval.id if approval else None
    after = replace(rollout, state=State.PROPOSED, changed_at=act.at, approval=asked)
    writes.move(tx, rollout, after)
    facts: dict[str, Json] = {
        **_changed(rollout, after),
        "approval": approval.id if approval else None,
        "expires": rfc3339(approval.expires_at) if approval else None,
        "needed": approval.needed if approval else 0,
    }
    audit_writes.record(tx, act, "rollout.propose", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def start(tx: Tx, act: Act, rollout_id: RolloutId, new_id: Callable[[], str]) -> Rollout:
    """Start a rollout: fix who goes when, open the first wave, and spend its approval, judged anew here.

    Each device gets an attempt, with an id of `new_id`. Raises `NotFoundError` (`rollout.not_found`), `ConflictError`
    with the code of `start.judge` or `taking.obstacle`, `StaleError` (`rollout.changed`) if the approval was given for
    something else, `InvalidError` (`selector.*`).
    """
    rollout = queries.rollout(tx, rollout_id)
    by = _go(starts.judge(rollout, queries.standing(tx, rollout, act.at), queries.obstacle(tx, rollout)))
    planned = queries.planned(tx, rollout, act.at)
    _clear(queries.in_the_way(tx, rollout, planned))
    _spend(tx, rollout, act)
    release = supply_queries.named(tx, rollout.scope, rollout.wanted.release)
    fills = {device: filling.binding for device, filling in planned.fillings.items()}
    waves = [[(device, release, fills.get(device.id, "")) for device in wave] for wave in planned.waves]
    after = replace(rollout, state=State.STARTED, changed_at=act.at, started_at=act.at, wave=0, waves=len(waves))
    writes.move(tx, rollout, after)
    _seat(tx, after, waves, new_id)
    facts: dict[str, Json] = {
        **_changed(rollout, after),
        "approval": rollout.approval,
        "approved_by": list(by),
        "devices": planned.count,
        "waves": [len(wave) for wave in planned.waves],
    }
    audit_writes.record(tx, act, "rollout.start", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def go_on(tx: Tx, act: Act, rollout_id: RolloutId, ruling: GoOn) -> Rollout:
    """Open the wave that the judge says; raises `ConflictError` (`rollout.moved`) if it is not the next any more."""
    rollout = queries.rollout(tx, rollout_id)
    if rollout.state is not State.STARTED or ruling.wave != rollout.wave + 1:
        raise _elsewhere()
    after = replace(rollout, wave=ruling.wave, changed_at=act.at)
    writes.move(tx, rollout, after)
    seats = queries.seats(tx, rollout.id, wave=ruling.wave, limit=None)
    _order(tx, seats, act.at)
    facts: dict[str, Json] = {**_said(rollout), "devices": len(seats), "reason": ruling.reason, "wave": ruling.wave}
    audit_writes.record(tx, act, "rollout.wave", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def pause(tx: Tx, act: Act, rollout_id: RolloutId, code: str, reason: str) -> Rollout:
    """Let no device begin any more; those that have begun bring it to its end. `code` is empty where a person pauses.

    Raises `NotFoundError` (`rollout.not_found`), `ConflictError` with a code of `moves.judge`, `InvalidError`
    (`rollout.reason`).
    """
    rollout = queries.rollout(tx, rollout_id)
    _clear(moves.judge(rollout, Move.PAUSE))
    said = reason if code else moves.by_person(act.actor, reason)
    state, code = State.PAUSED, code or moves.BY_PERSON
    after = replace(rollout, state=state, changed_at=act.at, code=code, reason=said)
    writes.move(tx, rollout, after)
    held = _hold_back(tx, rollout)
    facts: dict[str, Json] = {**_changed(rollout, after), "code": code, "held_back": held, "reason": said}
    audit_writes.record(tx, act, "rollout.pause", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def resume(tx: Tx, act: Act, rollout_id: RolloutId, reason: str) -> Rollout:
    """Go on where it was paused; where the judge paused it, those that failed stay behind and count no more.

    Where a person paused it, the judge has yet to look at those that failed. Raises as `pause` does.
    """
    rollout = queries.rollout(tx, rollout_id)
    _clear(moves.judge(rollout, Move.RESUME))
    after = replace(rollout, state=State.STARTED, changed_at=act.at, code="", reason="")
    writes.move(tx, rollout, after)
    left = writes.leave(tx, rollout.id) if rollout.code != moves.BY_PERSON else 0
    # Those that have begun too: they may have done so while it was paused, and fetch what they are ordered.
    seats = queries.seats(tx, rollout.id, outcomes=[Outcome.OPEN], limit=None)
    _order(tx, [seat for seat in seats if seat.member.wave <= rollout.wave], act.at)
    facts: dict[str, Json] = {**_changed(rollout, after), "left_behind": left, "reason": moves.reason(reason)}
    audit_writes.record(tx, act, "rollout.resume", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def finish(tx: Tx, act: Act, rollout_id: RolloutId, ruling: Done) -> Rollout:
    """End a rollout of which every device has ended; raises `ConflictError` (`rollout.moved`) if it left that state."""
    rollout = queries.rollout(tx, rollout_id)
    if rollout.state is not State.STARTED:
        raise _elsewhere()
    after = replace(rollout, state=State.DONE, changed_at=act.at, ended_at=act.at, reason=ruling.reason)
    writes.move(tx, rollout, after)
    facts: dict[str, Json] = {**_changed(rollout, after), "reason": ruling.reason}
    audit_writes.record(tx, act, "rollout.finish", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def undo(
    tx: Tx, act: Act, rollout_id: RolloutId, undo_id: RolloutId, new_id: Callable[[], str], reason: str
) -> Rollout:
    """End a rollout and send its devices back to what they ran before: that is a rollout itself, and is returned.

    It goes to all at once, under no approval: what it brings back ran there, and was signed. Raises as `pause` does,
    and `ConflictError` (`rollout.nothing_back`, `rollout.devices_busy`).
    """
    rollout = queries.rollout(tx, rollout_id)
    _clear(moves.judge(rollout, Move.UNDO))
    plan = queries.way_back(tx, rollout)
    _clear(back.obstacle(plan, queries.taken_besides(tx, rollout, plan)))
    said = moves.by_person(act.actor, reason)
    undone = replace(rollout, state=State.UNDONE, changed_at=act.at, ended_at=act.at, code="", reason=said)
    after = _undoing(rollout, act, undo_id, said, State.STARTED if plan.going else State.DONE)
    _hold_back(tx, rollout)
    writes.move(tx, rollout, undone)
    writes.add(tx, after)
    writes.undone(tx, rollout.id, undo_id)
    going = [(seat.device, release, seat.member.given_before) for seat, release in plan.going]
    _seat(tx, after, [going], new_id)
    facts: dict[str, Json] = {
        **_changed(rollout, undone),
        "back": len(plan.going),
        "reason": said,
        "staying": [one.device.id for one in plan.staying],
        "undo": undo_id,
        "untouched": len(plan.untouched),
    }
    audit_writes.record(tx, act, "rollout.undo", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def cancel(tx: Tx, act: Act, rollout_id: RolloutId) -> Rollout:
    """End a rollout where it stands, and withdraw its request for approval while that is open.

    Its devices stay as they are; those that have begun bring it to its end. Raises `NotFoundError`
    (`rollout.not_found`), `ConflictError` with a code of `moves.judge`.
    """
    rollout = queries.rollout(tx, rollout_id)
    _clear(moves.judge(rollout, Move.CANCEL))
    standing = queries.standing(tx, rollout, act.at)
    withdrawn = rollout.approval if standing is not None and count.is_open(standing) else None
    if withdrawn is not None:
        approval_writes.withdraw(tx, withdrawn, act.at)
    after = replace(rollout, state=State.CANCELLED, changed_at=act.at, ended_at=act.at, code="", reason="")
    writes.move(tx, rollout, after)
    held = _hold_back(tx, rollout)
    facts: dict[str, Json] = {
        **_changed(rollout, after),
        "approval": rollout.approval,
        "held_back": held,
        "withdrawn": withdrawn is not None,
    }
    audit_writes.record(tx, act, "rollout.cancel", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def _seat(
    tx: Tx, rollout: Rollout, waves: Sequence[Sequence[tuple[Device, Release, str]]], new_id: Callable[[], str]
) -> None:
    """Keep who goes when and what fills the release there, and order the first wave."""
    members = [
        Member(
            rollout=rollout.id,
            device=device.id,
            wave=number,
            attempt=AttemptId(new_id()),
            release=release.id,
            target=workload.target(release.scope, release.name, release.digest),
            before=device.active,
            binding=binding,
            given_before=device.given,
        )
        for number, wave in enumerate(waves)
        for device, release, binding in wave
    ]
    writes.add_members(tx, members)
    first = [_ordered(member, rollout.changed_at) for member in members if member.wave == 0]
    fleet_writes.assign_all(tx, first)


def _order(tx: Tx, seats: Sequence[Seat], at: datetime) -> None:
    """Let devices have their orders; those retired since are assigned to nothing."""
    there = [seat for seat in seats if seat.device.trust is not Trust.RETIRED]
    fleet_writes.assign_all(tx, [_ordered(seat.member, at) for seat in there])


def _ordered(member: Member, at: datetime) -> Assignment:
    by = f"rollout:{member.rollout}"
    return Assignment(member.device, member.attempt, member.release, member.target, by, at)


def _unbegun(tx: Tx, rollout: Rollout) -> list[Seat]:
    seats = queries.seats(tx, rollout.id, outcomes=[Outcome.OPEN], limit=None)
    return [seat for seat in seats if not back.begun(seat)]


def _hold_back(tx: Tx, rollout: Rollout) -> int:
    """Take the orders back from those that have not begun; return how many had some."""
    return fleet_writes.unassign_all(tx, [seat.device.id for seat in _unbegun(tx, rollout)])


def _undoing(rollout: Rollout, act: Act, undo_id: RolloutId, reason: str, state: State) -> Rollout:
    intent = replace(rollout.wanted, approvals=0, note=reason, plan=Plan(canary=0, step=0))
    return Rollout(
        id=undo_id,
        scope=rollout.scope,
        name=f"Undo of {rollout.name}"[: intents.LONGEST_NAME],
        intent=intents.compose(intent),
        state=state,
        approval=None,
        made_by=PersonId(act.actor.id),
        made_at=act.at,
        changed_at=act.at,
        started_at=act.at,
        ended_at=None if state is State.STARTED else act.at,
        wave=0 if state is State.STARTED else -1,
        waves=int(state is State.STARTED),
        undoes=rollout.id,
    )


def _person(tx: Tx, act: Act) -> PersonId:
    # The requester is compared with the voters, so only the id of a person will do, never that of a token.
    return access_queries.principal(tx, PersonId(act.actor.id)).person


def _may_propose(rollout: Rollout, person: PersonId) -> None:
    if rollout.state is not State.DRAFT:
        raise ConflictError(
            "rollout.not_draft", f"The rollout is {rollout.state.value}, no longer a draft.", "Look at it again."
        )
    if rollout.made_by != person:
        raise ForbiddenError(
            "rollout.not_drafter", "Only the person who drafted a rollout proposes it.", "Ask them, or draft your own."
        )


def _go(verdict: Verdict) -> tuple[PersonId, ...]:
    match verdict:
        case Go(by):
            return by
        case No():
            raise _refused(verdict)
        case never:
            assert_never(never)


def _clear(obstacle: No | ConflictError | None) -> None:
    if isinstance(obstacle, ConflictError):
        raise obstacle
    if obstacle is not None:
        raise _refused(obstacle)


def _refused(no: No) -> ConflictError:
    return ConflictError(no.code, no.sentence, no.remedy)


def _elsewhere() -> ConflictError:
    return ConflictError("rollout.moved", "Somebody else changed the rollout just now.", "Look at it again.")


def _asked(rollout: Rollout, act: Act, approval_id: ApprovalId) -> Approval | None:
    intent = rollout.wanted
    if intent.approvals == 0:
        return None
    return Approval(
        id=approval_id,
        scope=rollout.scope,
        subject=f"rollout:{rollout.id}",
        sentence=intents.sentence(rollout.name, intent),
        digest=rollout.digest,
        needed=intent.approvals,
        requester=rollout.made_by,
        made_at=act.at,
        expires_at=act.at + APPROVAL_LASTS,
    )


def _spend(tx: Tx, rollout: Rollout, act: Act) -> None:
    if rollout.approval is None:
        return
    approval = approval_queries.approval(tx, rollout.approval)
    if approval.digest != rollout.digest or approval.subject != f"rollout:{rollout.id}":
        raise StaleError(
            "rollout.changed",
            "The approval was given for something else than this rollout.",
            "Draft and propose it anew.",
        )
    approval_writes.use(tx, approval, act.at)


def _changed(before: Rollout, after: Rollout) -> dict[str, Json]:
    return {**_said(after), "after": {"state": after.state.value}, "before": {"state": before.state.value}}


def _said(rollout: Rollout) -> dict[str, Json]:
    intent = rollout.wanted
    return {
        "change": intent.change,
        "digest": rollout.digest,
        "name": rollout.name,
        "release": intent.release,
        "selector": intent.selector,
    }
