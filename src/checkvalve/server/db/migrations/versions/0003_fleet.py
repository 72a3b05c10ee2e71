# SPDX-License-Identifier: Apache-2.0
"""Fleet: invites, devices, what they are to run, the orders that say so, their journals and their receipts."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables only: the code of the release before runs beside them."""
    _invites()
    _devices()
    _orders()
    _told()


def _invites() -> None:
    op.create_table(
        "invites",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("tags", sa.String(), nullable=False),
        sa.Column("link", Key, nullable=False),
        sa.Column("observe", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.Column("revoked_at", Instant),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invites")),
        sa.UniqueConstraint("digest", name=op.f("uq_invites_digest")),
    )
    op.create_index(op.f("ix_invites_scope"), "invites", ["scope"], unique=False)


def _devices() -> None:
    op.create_table(
        "devices",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folded", Key, nullable=False),
        sa.Column("tags", sa.String(), nullable=False),
        sa.Column("trust", Key, nullable=False),
        sa.Column("trust_reason", sa.String(), nullable=False),
        sa.Column("link", Key, nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("key", Key, nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("machine", Key, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("certificate_ends_at", Instant, nullable=False),
        sa.Column("invite", Key, nullable=False),
        sa.Column("journal", Key, nullable=False),
        sa.Column("known", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sa.Column("capability", sa.Integer(), nullable=False),
        sa.Column("status", sa.LargeBinary(), nullable=False),
        sa.Column("status_digest", Key, nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("active", Key, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger()),
        sa.Column("joined_at", Instant, nullable=False),
        sa.Column("seen_at", Instant),
        sa.Column("changed_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["invite"], ["invites.id"], name=op.f("fk_devices_invite")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("key", name=op.f("uq_devices_key")),
    )
    op.create_index(op.f("ix_devices_scope"), "devices", ["scope"], unique=False)
    op.create_index(op.f("ix_devices_invite"), "devices", ["invite"], unique=False)
    op.create_index("ix_devices_scope_name", "devices", ["scope", "name"], unique=False)


def _orders() -> None:
    op.create_table(
        "assignments",
        sa.Column("device", Key, nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("release", Key, nullable=False),
        sa.Column("target", Key, nullable=False),
        sa.Column("by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_assignments_device")),
        sa.ForeignKeyConstraint(["release"], ["releases.id"], name=op.f("fk_assignments_release")),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_assignments")),
        sa.UniqueConstraint("attempt", name=op.f("uq_assignments_attempt")),
    )
    op.create_index(op.f("ix_assignments_release"), "assignments", ["release"], unique=False)
    op.create_table(
        "orders",
        sa.Column("device", Key, nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_orders_device")),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_orders")),
    )
    op.create_table(
        "numbers",
        sa.Column("name", Key, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_numbers")),
    )


def _told() -> None:
    op.create_table(
        "device_events",
        sa.Column("device", Key, nullable=False),
        sa.Column("journal", Key, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("came_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_device_events_device")),
        sa.PrimaryKeyConstraint("device", "journal", "seq", name=op.f("pk_device_events")),
    )
    op.create_index("ix_device_events_attempt", "device_events", ["attempt"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("device", Key, nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("release", Key, nullable=False),
        sa.Column("outcome", Key, nullable=False),
        sa.Column("code", Key, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("came_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_receipts_device")),
        sa.PrimaryKeyConstraint("device", "digest", name=op.f("pk_receipts")),
    )
    op.create_index(op.f("ix_receipts_scope"), "receipts", ["scope"], unique=False)
    op.create_index(op.f("ix_receipts_attempt"), "receipts", ["attempt"], unique=False)
