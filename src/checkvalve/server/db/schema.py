# SPDX-License-Identifier: Apache-2.0
# long: one table after the other, so that the whole schema is read in one place
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
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("wave", sa.Integer, nullable=False, server_default="-1"),  # the newest that is open
    sa.Column("waves", sa.Integer, nullable=False, server_default="0"),
    sa.Column("code", Key, nullable=False, server_default=""),  # why it is paused
    sa.Column("reason", sa.String, nullable=False, server_default=""),
    sa.Column("undoes", Key, sa.ForeignKey("rollouts.id")),
    sa.Column("undone_by", Key, sa.ForeignKey("rollouts.id")),
)

# Who goes when, fixed at the start, and how it ended on each: by its receipt, or by what the device said of itself.
rollout_devices = sa.Table(
    "rollout_devices",
    metadata,
    sa.Column("rollout", Key, sa.ForeignKey("rollouts.id"), primary_key=True),
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("wave", sa.Integer, nullable=False),
    sa.Column("attempt", Key, nullable=False, unique=True),
    sa.Column("release", Key, sa.ForeignKey("releases.id"), nullable=False),
    sa.Column("target", Key, nullable=False),
    sa.Column("before", Key, nullable=False),  # digest of what ran at the start, or empty
    sa.Column("outcome", Key, nullable=False),  # empty while it has not ended
    sa.Column("code", Key, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("left", sa.Boolean, nullable=False),
    sa.Column(
        "binding", sa.String, nullable=False, server_default=""
    ),  # JSON: kind/name -> value_entries.id, or a document's digest
    sa.Column("given_before", Key, nullable=False, server_default=""),  # digest of what it ran with at the start
    sa.Index("ix_rollout_devices_wave", "rollout", "wave", "outcome"),
    sa.Index("ix_rollout_devices_device", "device", "outcome"),
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

# How devices come in: a token of one use, or of several, until it ends. Only its digest is kept.
invites = sa.Table(
    "invites",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("digest", Key, nullable=False, unique=True),
    sa.Column("tags", sa.String, nullable=False),  # canonical JSON list, in order
    sa.Column("link", Key, nullable=False),
    sa.Column("observe", sa.Boolean, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("folded", Key, nullable=False),
    sa.Column("tags", sa.String, nullable=False),  # canonical JSON list, in order
    sa.Column("trust", Key, nullable=False),
    sa.Column("trust_reason", sa.String, nullable=False),
    sa.Column("link", Key, nullable=False),
    sa.Column("interval", sa.Integer, nullable=False),  # seconds
    sa.Column("key", Key, nullable=False, unique=True),  # fingerprint of its public key
    sa.Column("public", sa.LargeBinary, nullable=False),  # PEM
    sa.Column("machine", Key, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),  # confirmed by the device
    sa.Column("pending", sa.Integer, nullable=False),  # newest one issued; equal to `generation` if none waits
    sa.Column("certificate_ends_at", Instant, nullable=False),  # of the newest one issued
    sa.Column("invite", Key, sa.ForeignKey("invites.id"), nullable=False, index=True),
    sa.Column("journal", Key, nullable=False),  # empty until the first exchange
    sa.Column("known", sa.BigInteger, nullable=False),  # newest event of that journal that is kept
    sa.Column("told", sa.BigInteger, nullable=False),  # newest event it says it has
    sa.Column("capability", sa.Integer, nullable=False),
    sa.Column("status", sa.LargeBinary, nullable=False),  # canonical JSON of protocol.exchange.Status, or empty
    sa.Column("status_digest", Key, nullable=False),
    sa.Column("state", Key, nullable=False),  # of the attempt, from the status: to find by
    sa.Column("attempt", Key, nullable=False),
    sa.Column("active", Key, nullable=False),
    sa.Column("given", Key, nullable=False, server_default=""),  # digest of what the active release runs with
    sa.Column("held", Key, nullable=False, server_default=""),  # digest of the plane's tags that it knows of
    sa.Column("locked", sa.Boolean, nullable=False, server_default=sa.false()),  # a tag hangs at the device itself
    sa.Column("errands", sa.String, nullable=False, server_default=""),  # ids of those to be ordered, in order
    sa.Column("crashing", sa.Integer, nullable=False, server_default="0"),  # services that crashed within a day
    sa.Column("epoch", sa.BigInteger, nullable=False),  # newest order it accepted
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger),  # its clock minus the plane's, ms
    sa.Column("joined_at", Instant, nullable=False),
    sa.Column("seen_at", Instant),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Index("ix_devices_scope_name", "scope", "name"),
)

# What each device is to run: at most one attempt at a time. Rollouts write it; the device finds it at its next visit.
assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("attempt", Key, nullable=False, unique=True),
    sa.Column("release", Key, sa.ForeignKey("releases.id"), nullable=False, index=True),
    sa.Column("target", Key, nullable=False),
    sa.Column("by", Key, nullable=False),  # `rollout:<id>`
    sa.Column("made_at", Instant, nullable=False),
)

# The orders last signed for a device; final bytes. Its counter is the plane's own, over all devices.
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("attempt", Key, nullable=False),
    sa.Column("held", Key, nullable=False, server_default=""),  # digest of the tags it tells of
    sa.Column("errands", sa.String, nullable=False, server_default=""),  # ids of those in it, in order
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
)

device_events = sa.Table(
    "device_events",
    metadata,
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("journal", Key, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("attempt", Key, nullable=False),
    sa.Column("state", Key, nullable=False),
    sa.Column("line", sa.LargeBinary, nullable=False),  # the journal's own line: canonical JSON
    sa.Column("came_at", Instant, nullable=False),
    sa.Index("ix_device_events_attempt", "attempt"),
)

receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("digest", Key, primary_key=True),  # SHA-256, in hex, of the payload
    sa.Column("scope", Key, nullable=False, index=True),  # of the device when it came
    sa.Column("attempt", Key, nullable=False, index=True),
    sa.Column("release", Key, nullable=False),  # sha256:… of the manifest
    sa.Column("outcome", Key, nullable=False),
    sa.Column("code", Key, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),  # final bytes, with the device's signature
    sa.Column("came_at", Instant, nullable=False),
)

# Numbers of which there is one: `orders.epoch`, `orders.counter`, `fleet.revision` (raised by whatever changes what a
# device is told or whether it is let in).
numbers = sa.Table(
    "numbers",
    metadata,
    sa.Column("name", Key, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# What somebody set for variables, files and secrets; rows are never changed but for `current`, and so are the history.
value_entries = sa.Table(
    "value_entries",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("place", Key, nullable=False),  # a scope's path, or `device:<id>`
    sa.Column("scope", Key, nullable=False),  # the path itself, or that of the device when it was set
    sa.Column("line", Key, nullable=False),  # the release's name it is for; empty: for all
    sa.Column("kind", Key, nullable=False),  # variable, file, secret
    sa.Column("name", Key, nullable=False),
    sa.Column("content", sa.LargeBinary),  # UTF-8; a secret's is locked with the plane's key; NULL: taken away
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("note", sa.String, nullable=False),
    sa.Index(
        "ux_value_entries_current",
        "place",
        "line",
        "kind",
        "name",
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    ),
    sa.Index("ix_value_entries_scope", "scope", "current"),
)

# What devices were given: final bytes, in which secrets are sealed to the device.
device_values = sa.Table(
    "device_values",
    metadata,
    sa.Column("device", Key, sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("digest", Key, primary_key=True),  # sha256:… of the document
    sa.Column("attempt", Key, nullable=False, index=True),  # the one it was made for
    sa.Column("identity", Key, nullable=False),  # sha256:… of what it means: protocol.values
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
)

# Lock-out tags that people hung at the plane; those hung at a device are in its status.
holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),  # below it nothing is switched
    sa.Column("device", Key, sa.ForeignKey("devices.id"), index=True),  # or on this device only
    sa.Column("name", sa.String, nullable=False),  # who hung it, as the tag shows
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("number", sa.String, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("lifted_by", Key),
    sa.Column("lifted_at", Instant),
    sa.Column("lifted_why", sa.String, nullable=False, server_default=""),
)

# Small orders to one device, and what came of each; rows stay, what they brought goes after some time.
errands = sa.Table(
    "errands",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("device", Key, sa.ForeignKey("devices.id"), nullable=False, index=True),
    sa.Column("scope", Key, nullable=False, index=True),  # of the device when it was ordered
    sa.Column("kind", Key, nullable=False),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),  # seconds back
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("why", sa.String, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),  # not begun after that
    sa.Column("state", Key, nullable=False, index=True),
    sa.Column("given_at", Instant),  # first put into orders
    sa.Column("ended_at", Instant),
    sa.Column("code", Key, nullable=False, server_default=""),
    sa.Column("reason", sa.String, nullable=False, server_default=""),
    sa.Column("content", Key, nullable=False, server_default="", index=True),  # sha256:… of what it brought
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("digest", Key, nullable=False, server_default="", index=True),  # of the payload of what the device signed
    sa.Column("envelope", sa.LargeBinary),  # final bytes of that
)

# The one row says which key (`keys/values.key`) the secrets here are locked with; the key itself is not here.
values_key = sa.Table(
    "values_key",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("fingerprint", Key, nullable=False),
    sa.Column("noted_at", Instant, nullable=False),
)

# What a scorecard was read by (questions, scheme, guide), as bytes by digest, kept at first use: history stays true.
standards = sa.Table(
    "standards",
    metadata,
    sa.Column("digest", Key, primary_key=True),  # sha256:… of the content
    sa.Column("kind", Key, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", Instant, nullable=False),
)

# One assessment of an organisation or a site. `result` is what it came to, canonical JSON, kept when it was closed.
assessments = sa.Table(
    "assessments",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("state", Key, nullable=False, index=True),
    sa.Column("questions", Key, sa.ForeignKey("standards.digest"), nullable=False),
    sa.Column("scheme", Key, sa.ForeignKey("standards.digest"), nullable=False),
    sa.Column("guide", Key, sa.ForeignKey("standards.digest"), nullable=False),
    sa.Column("opened_by", Key, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("ended_by", Key),
    sa.Column("ended_at", Instant),
    sa.Column("why", sa.String, nullable=False, server_default=""),  # of one that was dropped
    sa.Column("result", sa.LargeBinary),
)

# Who said what: rows are added and stay; a person's newest on a question counts, and "" takes back what they said.
replies = sa.Table(
    "replies",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("assessment", Key, sa.ForeignKey("assessments.id"), nullable=False, index=True),
    sa.Column("question", Key, nullable=False),
    sa.Column("person", Key, nullable=False, index=True),
    sa.Column("said", Key, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("comment", sa.String, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

# What was settled where people said different things; rows are added and stay, the newest on a question counts.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("assessment", Key, sa.ForeignKey("assessments.id"), nullable=False, index=True),
    sa.Column("question", Key, nullable=False),
    sa.Column("said", Key, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("comment", sa.String, nullable=False),
    sa.Column("by", Key, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

# What backs an answer: a file that is kept here, or the address and digest of one that is kept elsewhere.
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("assessment", Key, sa.ForeignKey("assessments.id"), nullable=False, index=True),
    sa.Column("question", Key, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("link", sa.String, nullable=False),  # "" of a file
    sa.Column("digest", Key, nullable=False, index=True),  # sha256:…
    sa.Column("size", sa.BigInteger, nullable=False),  # 0 of a link
    sa.Column("period_from", sa.Date),
    sa.Column("period_to", sa.Date),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("expires", sa.Date),
    sa.Column("note", sa.String, nullable=False),
    sa.Column("added_by", Key, nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("removed_by", Key),
    sa.Column("removed_at", Instant),
    sa.Column("removed_why", sa.String, nullable=False, server_default=""),
)

# The gap plan of a place: a step of the guide, or one of its own.
gaps = sa.Table(
    "gaps",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("section", Key, nullable=False),
    sa.Column("step", Key, nullable=False),  # "" of one's own
    sa.Column("text", sa.String, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("due", sa.Date),
    sa.Column("state", Key, nullable=False, index=True),
    sa.Column("note", sa.String, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_by", Key, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)

# How many of a class there are at a place, managed or not. Rows are added and stay; the newest of a class counts.
declarations = sa.Table(
    "declarations",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("kind", Key, nullable=False),  # device or legacy
    sa.Column("class_name", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("note", sa.String, nullable=False),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
)

# Whom an organisation buys from. Rows stay when a supplier is not one any more.
suppliers = sa.Table(
    "suppliers",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("contact", sa.String, nullable=False),
    sa.Column("supplies", sa.String, nullable=False),
    sa.Column("support_end", sa.Date),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_by", Key, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("ended_why", sa.String, nullable=False, server_default=""),
)

# What an organisation asks of suppliers, version by version; final from the moment in which approval is asked for it.
documents = sa.Table(
    "documents",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("scope", Key, nullable=False),
    sa.Column("kind", Key, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("digest", Key, nullable=False),  # of kind, version, title and text
    sa.Column("approval", Key, sa.ForeignKey("approvals.id")),
    sa.Column("made_by", Key, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_by", Key, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("approved_at", Instant),
    sa.UniqueConstraint("scope", "kind", "version"),
)

# What a supplier said to a document; rows are added and stay, the newest counts.
agreements = sa.Table(
    "agreements",
    metadata,
    sa.Column("id", Key, primary_key=True),
    sa.Column("supplier", Key, sa.ForeignKey("suppliers.id"), nullable=False, index=True),
    sa.Column("document", Key, sa.ForeignKey("documents.id"), nullable=False, index=True),
    sa.Column("said", Key, nullable=False),
    sa.Column("note", sa.String, nullable=False),
    sa.Column("by", Key, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

OWNERS = {
    "suppliers": "suppliers",
    "documents": "suppliers",
    "agreements": "suppliers",
    "standards": "scorecard",
    "assessments": "scorecard",
    "replies": "scorecard",
    "decisions": "scorecard",
    "evidence": "scorecard",
    "gaps": "scorecard",
    "declarations": "estate",
    "errands": "errands",
    "values_key": "values",
    "value_entries": "values",
    "device_values": "values",
    "holds": "fleet",
    "invites": "fleet",
    "devices": "fleet",
    "assignments": "fleet",
    "orders": "fleet",
    "device_events": "fleet",
    "receipts": "fleet",
    "numbers": "fleet",
    "entries": "audit",
    "people": "identity",
    "sessions": "identity",
    "tokens": "identity",
    "scopes": "access",
    "bindings": "access",
    "approvals": "approvals",
    "votes": "approvals",
    "rollouts": "rollouts",
    "rollout_devices": "rollouts",
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
