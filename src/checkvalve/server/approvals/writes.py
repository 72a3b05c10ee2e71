# SPDX-License-Identifier: Apache-2.0
"""Rows of approvals and votes, without an entry: for actions of this room and of those whose acts need approval."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import ConflictError
from checkvalve.ids import ApprovalId
from checkvalve.server.approvals import count, queries
from checkvalve.server.approvals.model import Approval, Approved, Expired, Rejected, Used, Vote, Waiting, Withdrawn
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import approvals, votes

_AGAIN = "Ask for approval anew."


def open_(tx: Tx, approval: Approval) -> None:
    """Insert a request for approval, open until it expires."""
    tx.run(
        sa.insert(approvals).values(
            id=approval.id,
            scope=approval.scope,
            subject=approval.subject,
            sentence=approval.sentence,
            digest=approval.digest,
            needed=approval.needed,
            requester=approval.requester,
            made_at=approval.made_at,
            expires_at=approval.expires_at,
        )
    )


def use(tx: Tx, approval: Approval, now: datetime) -> Approved:
    """Spend the approval on the act it was given for, judged anew here; return by whom it was given.

    Raises `ConflictError`: `approval.used`, `approval.waiting`, `approval.rejected`, `approval.expired`,
    `approval.withdrawn`.
    """
    match queries.standing(tx, approval, now):
        case Approved() as approved:
            _spend(tx, approval.id, now)
            return approved
        case Waiting() as standing:
            raise ConflictError("approval.waiting", count.said(standing), "Ask those who may vote there.")
        case Rejected() as standing:
            raise ConflictError("approval.rejected", count.said(standing), _AGAIN)
        case Expired() as standing:
            raise ConflictError("approval.expired", count.said(standing), _AGAIN)
        case Used() as standing:
            raise ConflictError("approval.used", count.said(standing), _AGAIN)
        case Withdrawn() as standing:
            raise ConflictError("approval.withdrawn", count.said(standing), _AGAIN)


def withdraw(tx: Tx, approval_id: ApprovalId, at: datetime) -> None:
    """End an approval that nobody used; `ConflictError` (`approval.closed`) if it was used or withdrawn before."""
    unspent = (approvals.c.id == approval_id, approvals.c.used_at.is_(None), approvals.c.withdrawn_at.is_(None))
    if tx.run(sa.update(approvals).where(*unspent).values(withdrawn_at=at)) != 1:
        raise ConflictError("approval.closed", "The approval was used or withdrawn already.", "Look at it again.")


def cast(tx: Tx, vote: Vote) -> None:
    """Keep a vote in the place of the same person's earlier one."""
    said = {"choice": vote.choice.value, "note": vote.note, "at": vote.at}
    theirs = (votes.c.approval == vote.approval, votes.c.person == vote.person)
    if tx.run(sa.update(votes).where(*theirs).values(said)) == 0:
        tx.run(sa.insert(votes).values(approval=vote.approval, person=vote.person, **said))


def _spend(tx: Tx, approval_id: ApprovalId, now: datetime) -> None:
    # The row itself says whether it was used: a caller's copy of it may be older than another's use.
    unspent = (approvals.c.id == approval_id, approvals.c.used_at.is_(None), approvals.c.withdrawn_at.is_(None))
    if tx.run(sa.update(approvals).where(*unspent).values(used_at=now)) != 1:
        raise ConflictError("approval.used", "The approval was used or withdrawn already.", _AGAIN)
