# SPDX-License-Identifier: Apache-2.0
"""Rows of assessments and gap plans, without an entry. What was said is added and stays."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import assessments, decisions, evidence, gaps, replies, standards
from checkvalve.server.scorecard import tables
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Gap, Reply
from checkvalve.server.scorecard.standard import Standard


def keep(tx: Tx, standard: Standard, at: datetime) -> None:
    """Keep the bytes of a standard; those that are kept already are left as they are."""
    digests = standard.digests
    there = {
        row.digest for row in tx.all(sa.select(standards.c.digest).where(standards.c.digest.in_(digests.values())))
    }
    for kind, content in standard.documents.items():
        if digests[kind] not in there:
            tx.run(sa.insert(standards).values(digest=digests[kind], kind=kind, content=content, kept_at=at))


def open_(tx: Tx, assessment: Assessment) -> None:
    """Insert an assessment."""
    tx.run(sa.insert(assessments).values(**tables.row(assessment)))


def end(tx: Tx, assessment: Assessment) -> None:
    """Keep how an assessment ended."""
    tx.run(sa.update(assessments).where(assessments.c.id == assessment.id).values(**tables.row(assessment)))


def reply(tx: Tx, reply: Reply) -> None:
    """Add what somebody said."""
    tx.run(sa.insert(replies).values(**tables.row(reply)))


def decision(tx: Tx, decision: Decision) -> None:
    """Add what was settled."""
    tx.run(sa.insert(decisions).values(**tables.row(decision)))


def evidence_(tx: Tx, added: Evidence) -> None:
    """Add a piece of evidence."""
    tx.run(sa.insert(evidence).values(**tables.row(added)))


def removed(tx: Tx, after: Evidence) -> None:
    """Keep who removed a piece of evidence, and why."""
    values = {"removed_by": after.removed_by, "removed_at": after.removed_at, "removed_why": after.removed_why}
    tx.run(sa.update(evidence).where(evidence.c.id == after.id).values(**values))


def plan(tx: Tx, gap: Gap) -> None:
    """Add a row to a gap plan."""
    tx.run(sa.insert(gaps).values(**tables.row(gap)))


def change(tx: Tx, gap: Gap) -> None:
    """Keep a row of a gap plan as it is now; the record has what it was."""
    tx.run(sa.update(gaps).where(gaps.c.id == gap.id).values(**tables.row(gap)))
