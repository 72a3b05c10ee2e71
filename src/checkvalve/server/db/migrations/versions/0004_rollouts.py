# SPDX-License-Identifier: Apache-2.0
"""Rollouts reach devices: who goes when, how far they are, why one is paused, and what takes one back."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and a table: the code of the release before runs beside them.

    What that release started had no devices, so that nothing of it is left to do.
    """
    for column in (
        sa.Column("started_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("wave", sa.Integer(), nullable=False, server_default="-1"),
        sa.Column("waves", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("code", Key, nullable=False, server_default=""),
        sa.Column("reason", sa.String(), nullable=False, server_default=""),
        sa.Column("undoes", Key, sa.ForeignKey("rollouts.id", name=op.f("fk_rollouts_undoes"))),
        sa.Column("undone_by", Key, sa.ForeignKey("rollouts.id", name=op.f("fk_rollouts_undone_by"))),
    ):
        op.add_column("rollouts", column, inline_references=True)  # SQLite adds no constraint afterwards
    _members()
    rollouts = sa.table("rollouts", sa.column("state"))
    op.execute(rollouts.update().where(rollouts.c.state == "started").values(state="done"))


def _members() -> None:
    op.create_table(
        "rollout_devices",
        sa.Column("rollout", Key, nullable=False),
        sa.Column("device", Key, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("attempt", Key, nullable=False),
        sa.Column("release", Key, nullable=False),
        sa.Column("target", Key, nullable=False),
        sa.Column("before", Key, nullable=False),
        sa.Column("outcome", Key, nullable=False),
        sa.Column("code", Key, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("left", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name=op.f("fk_rollout_devices_rollout")),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_rollout_devices_device")),
        sa.ForeignKeyConstraint(["release"], ["releases.id"], name=op.f("fk_rollout_devices_release")),
        sa.PrimaryKeyConstraint("rollout", "device", name=op.f("pk_rollout_devices")),
        sa.UniqueConstraint("attempt", name=op.f("uq_rollout_devices_attempt")),
    )
    op.create_index("ix_rollout_devices_wave", "rollout_devices", ["rollout", "wave", "outcome"], unique=False)
    op.create_index("ix_rollout_devices_device", "rollout_devices", ["device", "outcome"], unique=False)
