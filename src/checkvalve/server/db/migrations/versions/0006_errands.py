# SPDX-License-Identifier: Apache-2.0
"""Errands of devices, how many of their services crash, and which key secrets are locked with."""

import sqlalchemy as sa
from alembic import op

from checkvalve.server.db.types import Instant, Key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and a table: the code of the release before runs beside them."""
    op.add_column("devices", sa.Column("errands", sa.String(), nullable=False, server_default=""))
    op.add_column("devices", sa.Column("crashing", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("errands", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "errands",
        sa.Column("id", Key, nullable=False),
        sa.Column("device", Key, nullable=False),
        sa.Column("scope", Key, nullable=False),
        sa.Column("kind", Key, nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("made_by", Key, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.Column("state", Key, nullable=False),
        sa.Column("given_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("code", Key, nullable=False, server_default=""),
        sa.Column("reason", sa.String(), nullable=False, server_default=""),
        sa.Column("content", Key, nullable=False, server_default=""),
        sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("digest", Key, nullable=False, server_default=""),
        sa.Column("envelope", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_errands_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errands")),
    )
    op.create_table(
        "values_key",
        sa.Column("id", Key, nullable=False),
        sa.Column("fingerprint", Key, nullable=False),
        sa.Column("noted_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_values_key")),
    )
    for column in ("device", "scope", "state", "content", "digest"):
        op.create_index(op.f(f"ix_errands_{column}"), "errands", [column], unique=False)
