# SPDX-License-Identifier: Apache-2.0
"""All tables, and which room writes each. Reading across rooms is allowed downward; writing never (tests/house).

A column `scope` is a materialised path (`/org/site/`): one range comparison finds everything below a node. Migrations
make these tables; a test proves that the two agree on both engines.
"""

import sqlalchemy as sa

from checkvalve.server.db.types import Instant, Key

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Entries are final bytes; the columns beside them only find them (details of the log come with the ledger).
entries = sa.Table(
    "entries",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("action", Key, nullable=False),
    sa.Column("actor", Key, nullable=False),
    sa.Column("subject", Key, nullable=False),
    sa.Column("scope", Key, nullable=False),
    sa.Column("bytes", sa.LargeBinary, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_entries_scope_id", "scope", "id"),
    sa.Index("ix_entries_subject_id", "subject", "id"),
)

people = sa.Table(
    "people",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("login", Key, nullable=False, unique=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("home", Key, nullable=False, index=True),
    sa.Column("password", sa.String, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
)

# Secrets of sessions and tokens are 256 random bits, so a plain SHA-256 of them is what is kept (ADR 0008).
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("digest", Key, nullable=False, unique=True),
    sa.Column("person", Key, sa.ForeignKey("people.id"), nullable=False, index=True),
    sa.Column("address", sa.String, nullable=False),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("digest", Key, nullable=False, unique=True),
    sa.Column("person", Key, sa.ForeignKey("people.id"), nullable=False, index=True),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("scope", Key, nullable=False),
    sa.Column("permissions", sa.String),  # canonical JSON list; NULL is all that the owner has
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Column("revoked_at", Instant),
)

scopes = sa.Table(
    "scopes",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("path", Key, nullable=False, unique=True),
    sa.Column("parent", Key, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("folded", Key, nullable=False),  # casefolded name: `Visby` and `visby` are one site
    sa.Column("made_at", Instant, nullable=False),
    sa.UniqueConstraint("parent", "folded"),
)

bindings = sa.Table(
    "bindings",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("person", Key, sa.ForeignKey("people.id"), nullable=False, index=True),
    sa.Column("role", Key, nullable=False),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("not_before", Instant),
    sa.Column("not_after", Instant),
    sa.Column("networks", sa.String, nullable=False),  # canonical JSON list of CIDR texts; empty is anywhere
    sa.Column("origin", Key, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("subject", Key, nullable=False, index=True),
    sa.Column("sentence", sa.String, nullable=False),
    sa.Column("digest", Key, nullable=False),  # SHA-256 of exactly what is approved
    sa.Column("needed", sa.Integer, nullable=False),
    sa.Column("requester", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Column("withdrawn_at", Instant),
)

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("approval", Key, sa.ForeignKey("approvals.id"), primary_key=True),
    sa.Column("person", Key, sa.ForeignKey("people.id"), primary_key=True),
    sa.Column("choice", Key, nullable=False),
    sa.Column("note", sa.String, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("intent", sa.LargeBinary, nullable=False),  # canonical JSON: release, selector, plan; final bytes
    sa.Column("state", Key, nullable=False),
    sa.Column("approval", Key, sa.ForeignKey("approvals.id")),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

OWNERS = {
    "entries": "audit",
    "people": "identity",
    "sessions": "identity",
    "tokens": "identity",
    "scopes": "access",
    "bindings": "access",
    "approvals": "approvals",
    "votes": "approvals",
    "rollouts": "rollouts",
}
