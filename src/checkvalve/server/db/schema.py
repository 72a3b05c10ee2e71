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

images = sa.Table(
    "images",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False),
    sa.Column("config", Key, nullable=False),  # digest of the OCI config: the image's identity
    sa.Column("manifest", Key, nullable=False),  # digest of the OCI manifest: where it came from
    sa.Column("platform", Key, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.UniqueConstraint("scope", "config"),
)

# A name is moved by a later import, as an engine moves a tag; releases hold digests, so nothing moves with it.
image_names = sa.Table(
    "image_names",
    metadata,
    sa.Column("scope", Key, primary_key=True),
    sa.Column("name", Key, primary_key=True),
    sa.Column("platform", Key, primary_key=True),
    sa.Column("image", Key, sa.ForeignKey("images.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
)

image_blobs = sa.Table(
    "image_blobs",
    metadata,
    sa.Column("image", Key, sa.ForeignKey("images.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # -2 manifest, -1 config, 0 and up layers from the bottom
    sa.Column("digest", Key, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("media_type", sa.String, nullable=False),
    sa.Column("diff_id", Key, nullable=False),  # of a layer: digest of it unpacked; else empty
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("line", Key, nullable=False),  # `ORG/name`: what numbers and floors are counted in
    sa.Column("name", Key, nullable=False),
    sa.Column("version", Key, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # its place in the line, from 1
    sa.Column("digest", Key, nullable=False, index=True),
    sa.Column("manifest", sa.LargeBinary, nullable=False),  # canonical JSON; final bytes
    sa.Column("source", sa.LargeBinary, nullable=False),  # the compose file it was made of
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("state", Key, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.UniqueConstraint("line", "number"),
)

release_images = sa.Table(
    "release_images",
    metadata,
    sa.Column("release", Key, sa.ForeignKey("releases.id"), primary_key=True),
    sa.Column("config", Key, primary_key=True),
    sa.Index("ix_release_images_config", "config"),
)

floors = sa.Table(
    "floors",
    metadata,
    sa.Column("line", Key, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),  # as published; only ever raised
)

drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),  # the organisation whose releases it changes, or `/`
    sa.Column("state", Key, nullable=False),
    sa.Column("open", sa.Integer, unique=True),  # 1 while open, else NULL: there is at most one
    sa.Column("version", sa.Integer, nullable=False),  # of the targets metadata it will be
    sa.Column("payload", sa.LargeBinary, nullable=False),  # exactly the bytes that are signed
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

draft_changes = sa.Table(
    "draft_changes",
    metadata,
    sa.Column("draft", Key, sa.ForeignKey("drafts.id"), primary_key=True),
    sa.Column("kind", Key, primary_key=True),
    sa.Column("release", Key, sa.ForeignKey("releases.id"), primary_key=True),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

signatures = sa.Table(
    "signatures",
    metadata,
    sa.Column("draft", Key, sa.ForeignKey("drafts.id"), primary_key=True),
    sa.Column("keyid", Key, primary_key=True),
    sa.Column("signature", Key, nullable=False),
    sa.Column("person", Key, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

# Files of TUF metadata, as they are handed out; final bytes.
trust = sa.Table(
    "trust",
    metadata,
    sa.Column("role", Key, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
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
    "images": "supply",
    "image_names": "supply",
    "image_blobs": "supply",
    "releases": "supply",
    "release_images": "supply",
    "floors": "supply",
    "drafts": "supply",
    "draft_changes": "supply",
    "signatures": "supply",
    "trust": "supply",
}
