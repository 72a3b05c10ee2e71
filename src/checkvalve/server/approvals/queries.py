# SPDX-License-Identifier: Apache-2.0
"""Reading approvals and votes; where one stands is judged anew at each reading, by the rights that hold then."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import NotFoundError
from checkvalve.ids import ApprovalId, PersonId
from checkvalve.server.access import decide
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, STANDING, Permission, Visibility
from checkvalve.server.approvals import count
from checkvalve.server.approvals.model import Approval, Choice, Standing, Vote, Waiting
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx

EVERYWHERE = Visibility((ROOT,))

_APPROVAL = tuple(schema.approvals.c)
_VOTE = tuple(schema.votes.c)


def approval(tx: Tx, approval_id: ApprovalId, seen: Visibility = EVERYWHERE) -> Approval:
    """Return one approval; `NotFoundError` (`approval.not_found`) if there is none that may be seen."""
    within = access_queries.within(schema.approvals.c.scope, seen)
    row = tx.first(sa.select(*_APPROVAL).where(schema.approvals.c.id == approval_id, within))
    if row is None:
        raise NotFoundError(
            "approval.not_found", "There is no such request for approval, or not for you.", "List those you can see."
        )
    return _approval(row)


def scope_of(tx: Tx, approval_id: ApprovalId) -> str:
    """Return the path at which rights on it are judged; `NotFoundError` (`approval.not_found`)."""
    return approval(tx, approval_id).scope


def votes(tx: Tx, approval_id: ApprovalId) -> list[Vote]:
    """Return the votes as they stand, oldest first, those that do not count included."""
    wanted = sa.select(*_VOTE).where(schema.votes.c.approval == approval_id)
    return [_vote(row) for row in tx.all(wanted.order_by(schema.votes.c.at, schema.votes.c.person))]


def listed(tx: Tx, seen: Visibility, *, limit: int = 100, before: str = "") -> list[Approval]:
    """Return the newest first, at most `limit`; `before` is the id of the last one had (paging)."""
    wanted = [access_queries.within(schema.approvals.c.scope, seen)]
    if before:
        wanted.append(schema.approvals.c.id < before)
    newest = schema.approvals.c.id.desc()
    return [_approval(row) for row in tx.all(sa.select(*_APPROVAL).where(*wanted).order_by(newest).limit(limit))]


def waiting_for(tx: Tx, seen: Visibility, person: PersonId, now: datetime) -> list[Approval]:
    """Return what waits for this person's word, oldest first.

    Those are open, asked for by someone else, in scopes where the person may vote now, short of approvals, and without
    a vote of theirs.
    """
    voted = sa.exists().where(schema.votes.c.approval == schema.approvals.c.id, schema.votes.c.person == person)
    wanted = (
        access_queries.within(schema.approvals.c.scope, seen),
        schema.approvals.c.used_at.is_(None),
        schema.approvals.c.withdrawn_at.is_(None),
        schema.approvals.c.expires_at > now,
        schema.approvals.c.requester != person,
        ~voted,
    )
    found = [_approval(row) for row in tx.all(sa.select(*_APPROVAL).where(*wanted).order_by(schema.approvals.c.id))]
    may = decide.visible(access_queries.principal(tx, person), Permission.APPROVAL_VOTE, now, STANDING)
    here = [one for one in found if one.scope.startswith(may.prefixes)]
    return [one for one in here if isinstance(standing(tx, one, now), Waiting)]


def standing(tx: Tx, approval: Approval, now: datetime) -> Standing:
    """Return where it stands by the votes and by each voter's right at its scope now."""
    cast = votes(tx, approval.id)
    return count.judge(approval, cast, entitled(tx, approval.scope, (vote.person for vote in cast), now), now)


def entitled(tx: Tx, scope: str, people: Iterable[PersonId], now: datetime) -> frozenset[PersonId]:
    """Return those who hold `approval.vote` at `scope` now and are not disabled.

    The right itself is asked, not a request: from which address a vote came was judged when it was cast.
    """
    return frozenset(
        person
        for person in people
        if decide.decide(access_queries.principal(tx, person), Permission.APPROVAL_VOTE, scope, now, STANDING).allow
    )


def _approval(row: Row) -> Approval:
    return Approval(
        id=ApprovalId(row.id),
        scope=row.scope,
        subject=row.subject,
        sentence=row.sentence,
        digest=row.digest,
        needed=row.needed,
        requester=PersonId(row.requester),
        made_at=row.made_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        withdrawn_at=row.withdrawn_at,
    )


def _vote(row: Row) -> Vote:
    return Vote(ApprovalId(row.approval), PersonId(row.person), Choice(row.choice), row.note, row.at)
