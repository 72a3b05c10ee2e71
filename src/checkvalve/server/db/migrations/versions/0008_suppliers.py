# SPDX-License-Identifier: Apache-2.0
"""Suppliers, the documents that are asked of them, and what they said."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables: the code of the release before knows nothing of them."""
    _suppliers()
    _documents()
    _agreements()


def _suppliers() -> None:
    op.create_table(
        "suppliers",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("supplies", sa.String(), nullable=False),
        sa.Column("support_end", sa.Date()),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_by", Key, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("ended_why", sa.String(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppliers")),
    )
    op.create_index(op.f("ix_suppliers_scope"), "suppliers", ["scope"], unique=False)


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("approval", Key),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_by", Key, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("approved_at", Instant),
        sa.ForeignKeyConstraint(["approval"], ["approvals.id"], name=op.f("fk_documents_approval")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("scope", "kind", "version", name=op.f("uq_documents_scope_kind_version")),
    )


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("id", Key, nullable=False),
        sa.Column("supplier", Key, nullable=False),
        sa.Column("document", Key, nullable=False),
        sa.Column("said", Key, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("by", Key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["supplier"], ["suppliers.id"], name=op.f("fk_agreements_supplier")),
        sa.ForeignKeyConstraint(["document"], ["documents.id"], name=op.f("fk_agreements_document")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreements")),
    )
    op.create_index(op.f("ix_agreements_supplier"), "agreements", ["supplier"], unique=False)
    op.create_index(op.f("ix_agreements_document"), "agreements", ["document"], unique=False)
