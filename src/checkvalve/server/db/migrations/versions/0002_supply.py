# SPDX-License-Identifier: Apache-2.0
"""Supply: images, releases, the draft of what may run, its signatures, and the metadata that devices believe."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables only: the code of the release before runs beside them."""
    _images()
    _releases()
    _drafts()


def _images() -> None:
    op.create_table(
        "images",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("config", Key, nullable=False),
        sa.Column("manifest", Key, nullable=False),
        sa.Column("platform", Key, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("scope", "config", name=op.f("uq_images_scope_config")),
    )
    op.create_table(
        "image_names",
        sa.Column("scope", Key, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("platform", Key, nullable=False),
        sa.Column("image", Key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["image"], ["images.id"], name=op.f("fk_image_names_image")),
        sa.PrimaryKeyConstraint("scope", "name", "platform", name=op.f("pk_image_names")),
    )
    op.create_index(op.f("ix_image_names_image"), "image_names", ["image"], unique=False)
    op.create_table(
        "image_blobs",
        sa.Column("image", Key, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("diff_id", Key, nullable=False),
        sa.ForeignKeyConstraint(["image"], ["images.id"], name=op.f("fk_image_blobs_image")),
        sa.PrimaryKeyConstraint("image", "position", name=op.f("pk_image_blobs")),
    )
    op.create_index(op.f("ix_image_blobs_digest"), "image_blobs", ["digest"], unique=False)


def _releases() -> None:
    op.create_table(
        "releases",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("line", Key, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("version", Key, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("line", "number", name=op.f("uq_releases_line_number")),
    )
    op.create_index(op.f("ix_releases_scope"), "releases", ["scope"], unique=False)
    op.create_index(op.f("ix_releases_digest"), "releases", ["digest"], unique=False)
    op.create_table(
        "release_images",
        sa.Column("release", Key, nullable=False),
        sa.Column("config", Key, nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.id"], name=op.f("fk_release_images_release")),
        sa.PrimaryKeyConstraint("release", "config", name=op.f("pk_release_images")),
    )
    op.create_index("ix_release_images_config", "release_images", ["config"], unique=False)
    op.create_table(
        "floors",
        sa.Column("line", Key, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("line", name=op.f("pk_floors")),
    )


def _drafts() -> None:
    op.create_table(
        "drafts",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("open", sa.Integer()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
        sa.UniqueConstraint("open", name=op.f("uq_drafts_open")),
    )
    op.create_index(op.f("ix_drafts_scope"), "drafts", ["scope"], unique=False)
    op.create_table(
        "draft_changes",
        sa.Column("draft", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("release", Key, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["draft"], ["drafts.id"], name=op.f("fk_draft_changes_draft")),
        sa.ForeignKeyConstraint(["release"], ["releases.id"], name=op.f("fk_draft_changes_release")),
        sa.PrimaryKeyConstraint("draft", "kind", "release", name=op.f("pk_draft_changes")),
    )
    op.create_table(
        "signatures",
        sa.Column("draft", Key, nullable=False),
        sa.Column("keyid", Key, nullable=False),
        sa.Column("signature", Key, nullable=False),
        sa.Column("person", Key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["draft"], ["drafts.id"], name=op.f("fk_signatures_draft")),
        sa.PrimaryKeyConstraint("draft", "keyid", name=op.f("pk_signatures")),
    )
    op.create_table(
        "trust",
        sa.Column("role", Key, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("role", "version", name=op.f("pk_trust")),
    )
