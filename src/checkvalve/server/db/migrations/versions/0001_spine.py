# SPDX-License-Identifier: Apache-2.0
"""The spine: entries, people, scopes, bindings, approvals and the first form of a rollout."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; nothing was there before."""
    _audit()
    _identity()
    _access()
    _approvals_and_rollouts()


def _audit() -> None:
    op.create_table(
        "entries",
        sa.Column("id", Key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("action", Key, nullable=False),
        sa.Column("actor", Key, nullable=False),
        sa.Column("subject", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
    )
    op.create_index("ix_entries_scope_id", "entries", ["scope", "id"], unique=False)
    op.create_index("ix_entries_subject_id", "entries", ["subject", "id"], unique=False)


def _identity() -> None:
    op.create_table(
        "people",
        sa.Column("id", Key, nullable=False),
        sa.Column("login", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("home", Key, nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("disabled_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("login", name=op.f("uq_people_login")),
    )
    op.create_index(op.f("ix_people_home"), "people", ["home"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", Key, nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_sessions_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_sessions_digest")),
    )
    op.create_index(op.f("ix_sessions_person"), "sessions", ["person"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", Key, nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("permissions", sa.String(), nullable=True),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.Column("used_at", Instant, nullable=True),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_tokens_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index(op.f("ix_tokens_person"), "tokens", ["person"], unique=False)


def _access() -> None:
    op.create_table(
        "scopes",
        sa.Column("id", Key, nullable=False),
        sa.Column("path", Key, nullable=False),
        sa.Column("parent", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folded", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scopes")),
        sa.UniqueConstraint("parent", "folded", name=op.f("uq_scopes_parent_folded")),
        sa.UniqueConstraint("path", name=op.f("uq_scopes_path")),
    )
    op.create_table(
        "bindings",
        sa.Column("id", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("role", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("not_before", Instant, nullable=True),
        sa.Column("not_after", Instant, nullable=True),
        sa.Column("networks", sa.String(), nullable=False),
        sa.Column("origin", Key, nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_bindings_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bindings")),
    )
    op.create_index(op.f("ix_bindings_person"), "bindings", ["person"], unique=False)
    op.create_index(op.f("ix_bindings_scope"), "bindings", ["scope"], unique=False)


def _approvals_and_rollouts() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("subject", Key, nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("requester", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("used_at", Instant, nullable=True),
        sa.Column("withdrawn_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_scope"), "approvals", ["scope"], unique=False)
    op.create_index(op.f("ix_approvals_subject"), "approvals", ["subject"], unique=False)
    op.create_table(
        "votes",
        sa.Column("approval", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("choice", Key, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["approval"], ["approvals.id"], name=op.f("fk_votes_approval")),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_votes_person")),
        sa.PrimaryKeyConstraint("approval", "person", name=op.f("pk_votes")),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("intent", sa.LargeBinary(), nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("approval", Key, nullable=True),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["approval"], ["approvals.id"], name=op.f("fk_rollouts_approval")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(op.f("ix_rollouts_scope"), "rollouts", ["scope"], unique=False)
