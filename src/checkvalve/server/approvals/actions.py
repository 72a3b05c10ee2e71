# SPDX-License-Identifier: Apache-2.0
"""Voting. Whatever is approved is done by the room it belongs to, which spends the approval with `writes.use`."""

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, ForbiddenError, StaleError
from checkvalve.ids import ApprovalId, PersonId
from checkvalve.server.approvals import count, note, queries, writes
from checkvalve.server.approvals.model import Approval, Choice, Standing, Vote
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx


def vote(
    tx: Tx, act: Act, approval_id: ApprovalId, person: PersonId, choice: Choice, digest: str, note_text: str
) -> Standing:
    """Cast a person's vote on what `digest` names; return where the approval stands with it.

    Raises `NotFoundError` (`approval.not_found`), `ForbiddenError` (`approval.own`, `approval.right`), `ConflictError`
    (`approval.closed`), `StaleError` (`approval.stale`), `InvalidError` (`approval.note`).
    """
    approval = queries.approval(tx, approval_id)
    given = Vote(approval_id, person, choice, note.check(note_text), act.at)
    _may_vote(tx, approval, given)
    if digest != approval.digest:
        raise StaleError(
            "approval.stale",
            "This vote is for something else than what is asked now.",
            "Read the request again, then vote.",
            asked=approval.digest,
        )
    before = [earlier for earlier in queries.votes(tx, approval_id) if earlier.person == person]
    writes.cast(tx, given)
    standing = queries.standing(tx, approval, act.at)
    facts: dict[str, Json] = {
        "after": {"choice": choice.value, "note": given.note},
        "before": {"choice": before[0].choice.value, "note": before[0].note} if before else None,
        "digest": approval.digest,
        "needed": approval.needed,
        "person": person,
        "sentence": approval.sentence,
        "standing": type(standing).__name__.lower(),
        "subject": approval.subject,
    }
    audit_writes.record(tx, act, "approval.vote", f"approval:{approval_id}", approval.scope, facts)
    return standing


def _may_vote(tx: Tx, approval: Approval, given: Vote) -> None:
    if given.person == approval.requester:
        raise ForbiddenError("approval.own", "Nobody approves what they asked for.", "Ask someone else to vote.")
    # A no ends the approval for good (count, rule 3), so it must come from someone entitled when it is cast.
    if given.person not in queries.entitled(tx, approval.scope, [given.person], given.at):
        raise ForbiddenError(
            "approval.right", "You hold no right to vote there.", "Ask an administrator for the role access-approver."
        )
    standing = queries.standing(tx, approval, given.at)
    if not count.is_open(standing):
        raise ConflictError("approval.closed", count.said(standing), "No vote can be cast on it any more.")
