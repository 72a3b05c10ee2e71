# SPDX-License-Identifier: Apache-2.0
"""Drafting, proposing, starting and cancelling. The face has judged the right to do so, in the same transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, ForbiddenError, StaleError
from checkvalve.ids import ApprovalId, PersonId, RolloutId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.approvals import count
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals import writes as approval_writes
from checkvalve.server.approvals.model import Approval
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import intent as intents
from checkvalve.server.rollouts import queries, writes
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.model import Go, Intent, No, Rollout, State
from checkvalve.server.supply import queries as supply_queries

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
    after = _moved(tx, rollout, act, State.PROPOSED, approval.id if approval else None)
    facts: dict[str, Json] = {
        **_changed(rollout, after),
        "approval": approval.id if approval else None,
        "expires": rfc3339(approval.expires_at) if approval else None,
        "needed": approval.needed if approval else 0,
    }
    audit_writes.record(tx, act, "rollout.propose", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def start(tx: Tx, act: Act, rollout_id: RolloutId) -> Rollout:
    """Start a rollout and spend its approval, judged anew here, each voter's right included.

    Raises `NotFoundError` (`rollout.not_found`), `ConflictError` with the code of `start.judge`, `StaleError`
    (`rollout.changed`) if the approval was given for something else.
    """
    rollout = queries.rollout(tx, rollout_id)
    match starts.judge(rollout, queries.standing(tx, rollout, act.at), queries.obstacle(tx, rollout)):
        case Go(by):
            _spend(tx, rollout, act)
        case No(code, sentence, remedy):
            raise ConflictError(code, sentence, remedy)
        case never:
            assert_never(never)
    after = _moved(tx, rollout, act, State.STARTED, rollout.approval)
    facts = {**_changed(rollout, after), "approval": rollout.approval, "approved_by": _plain(by)}
    audit_writes.record(tx, act, "rollout.start", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


def cancel(tx: Tx, act: Act, rollout_id: RolloutId) -> Rollout:
    """End a rollout that has not started, and withdraw its request for approval while that is open.

    Raises `NotFoundError` (`rollout.not_found`), `ConflictError` (`rollout.started`, `rollout.cancelled`).
    """
    rollout = queries.rollout(tx, rollout_id)
    _may_cancel(rollout)
    standing = queries.standing(tx, rollout, act.at)
    withdrawn = rollout.approval if standing is not None and count.is_open(standing) else None
    if withdrawn is not None:
        approval_writes.withdraw(tx, withdrawn, act.at)
    after = _moved(tx, rollout, act, State.CANCELLED, rollout.approval)
    facts: dict[str, Json] = {
        **_changed(rollout, after),
        "approval": rollout.approval,
        "withdrawn": withdrawn is not None,
    }
    audit_writes.record(tx, act, "rollout.cancel", f"rollout:{rollout_id}", rollout.scope, facts)
    return after


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


def _may_cancel(rollout: Rollout) -> None:
    match rollout.state:
        case State.DRAFT | State.PROPOSED:
            return
        case State.STARTED:
            raise ConflictError(
                "rollout.started", "The rollout has started; it cannot be cancelled.", "Only what has not started is."
            )
        case State.CANCELLED:
            raise ConflictError("rollout.cancelled", "The rollout was cancelled already.", "Nothing is left to do.")
        case _:
            assert_never(rollout.state)


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


def _moved(tx: Tx, rollout: Rollout, act: Act, state: State, approval: ApprovalId | None) -> Rollout:
    writes.move(tx, rollout, state, act.at, approval)
    return replace(rollout, state=state, changed_at=act.at, approval=approval)


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


def _plain(people: Sequence[PersonId]) -> list[Json]:
    return list(people)
