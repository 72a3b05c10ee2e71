# SPDX-License-Identifier: Apache-2.0
"""The scorecard: standards, assessments and what was said, evidence, the gap plan; the declared estate."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables: the code of the release before knows nothing of them."""
    _standards()
    _assessments()
    _replies()
    _decisions()
    _evidence()
    _gaps()
    _estate()


def _standards() -> None:
    op.create_table(
        "standards",
        sa.Column("digest", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_standards")),
    )


def _assessments() -> None:
    op.create_table(
        "assessments",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("questions", Key, nullable=False),
        sa.Column("scheme", Key, nullable=False),
        sa.Column("guide", Key, nullable=False),
        sa.Column("opened_by", Key, nullable=False),
        sa.Column("opened_at", Instant, nullable=False),
        sa.Column("ended_by", Key),
        sa.Column("ended_at", Instant),
        sa.Column("why", sa.String(), nullable=False, server_default=""),
        sa.Column("result", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["questions"], ["standards.digest"], name=op.f("fk_assessments_questions")),
        sa.ForeignKeyConstraint(["scheme"], ["standards.digest"], name=op.f("fk_assessments_scheme")),
        sa.ForeignKeyConstraint(["guide"], ["standards.digest"], name=op.f("fk_assessments_guide")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assessments")),
    )
    op.create_index(op.f("ix_assessments_scope"), "assessments", ["scope"], unique=False)
    op.create_index(op.f("ix_assessments_state"), "assessments", ["state"], unique=False)


def _replies() -> None:
    op.create_table(
        "replies",
        sa.Column("id", Key, nullable=False),
        sa.Column("assessment", Key, nullable=False),
        sa.Column("question", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("said", Key, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["assessment"], ["assessments.id"], name=op.f("fk_replies_assessment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replies")),
    )
    op.create_index(op.f("ix_replies_assessment"), "replies", ["assessment"], unique=False)
    op.create_index(op.f("ix_replies_person"), "replies", ["person"], unique=False)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", Key, nullable=False),
        sa.Column("assessment", Key, nullable=False),
        sa.Column("question", Key, nullable=False),
        sa.Column("said", Key, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("by", Key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["assessment"], ["assessments.id"], name=op.f("fk_decisions_assessment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_assessment"), "decisions", ["assessment"], unique=False)


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", Key, nullable=False),
        sa.Column("assessment", Key, nullable=False),
        sa.Column("question", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("period_from", sa.Date()),
        sa.Column("period_to", sa.Date()),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires", sa.Date()),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("added_by", Key, nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.Column("removed_by", Key),
        sa.Column("removed_at", Instant),
        sa.Column("removed_why", sa.String(), nullable=False, server_default=""),
        sa.ForeignKeyConstraint(["assessment"], ["assessments.id"], name=op.f("fk_evidence_assessment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_assessment"), "evidence", ["assessment"], unique=False)
    op.create_index(op.f("ix_evidence_digest"), "evidence", ["digest"], unique=False)


def _gaps() -> None:
    op.create_table(
        "gaps",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("section", Key, nullable=False),
        sa.Column("step", Key, nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("due", sa.Date()),
        sa.Column("state", Key, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_by", Key, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gaps")),
    )
    op.create_index(op.f("ix_gaps_scope"), "gaps", ["scope"], unique=False)
    op.create_index(op.f("ix_gaps_state"), "gaps", ["state"], unique=False)


def _estate() -> None:
    op.create_table(
        "declarations",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("class_name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_declarations")),
    )
    op.create_index(op.f("ix_declarations_scope"), "declarations", ["scope"], unique=False)
