# SPDX-License-Identifier: Apache-2.0
"""Values and secrets that fill releases, and lock-out tags."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and tables: the code of the release before runs beside them."""
    for table, name, kind in (
        ("devices", "given", Key),
        ("devices", "held", Key),
        ("orders", "held", Key),
        ("rollout_devices", "binding", sa.String()),
        ("rollout_devices", "given_before", Key),
    ):
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("locked", sa.Boolean(), nullable=False, server_default=sa.false()))
    _values()
    _holds()


def _values() -> None:
    op.create_table(
        "value_entries",
        sa.Column("id", Key, nullable=False),
        sa.Column("place", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("line", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("name", Key, nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_value_entries")),
    )
    op.create_index(
        "ux_value_entries_current",
        "value_entries",
        ["place", "line", "kind", "name"],
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    )
    op.create_index("ix_value_entries_scope", "value_entries", ["scope", "current"], unique=False)
    op.create_table(
        "device_values",
        sa.Column("device", Key, nullable=False),
        sa.Column("digest", Key, nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("identity", Key, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_device_values_device")),
        sa.PrimaryKeyConstraint("device", "digest", name=op.f("pk_device_values")),
    )
    op.create_index(op.f("ix_device_values_attempt"), "device_values", ["attempt"], unique=False)


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("device", Key),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("lifted_by", Key),
        sa.Column("lifted_at", Instant),
        sa.Column("lifted_why", sa.String(), nullable=False, server_default=""),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_holds_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(op.f("ix_holds_scope"), "holds", ["scope"], unique=False)
    op.create_index(op.f("ix_holds_device"), "holds", ["device"], unique=False)
