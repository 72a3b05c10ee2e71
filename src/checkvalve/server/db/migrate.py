# SPDX-License-Identifier: Apache-2.0
"""Brings a database to this program's schema, whole or not at all."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from checkvalve.errors import ConflictError
from checkvalve.server.db import dialect
from checkvalve.server.db.database import Database

# Any number, the same in every release: planes that start together migrate one after the other.
_LOCK = 4_242_001


def upgrade(database: Database) -> None:
    """Run what is missing; may be called at every start.

    Raises `ConflictError` (`database.newer`) if the database was made by a later release.
    """
    database.on_connection(_upgrade)


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == dialect.POSTGRESQL:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    have = MigrationContext.configure(connection).get_current_revision()
    try:
        if have is not None:
            ScriptDirectory.from_config(config).get_revision(have)
    except CommandError as error:
        raise ConflictError(
            "database.newer",
            f"The database has schema {have}, which this release does not know.",
            "Start the release that made it, or a later one.",
        ) from error
    command.upgrade(config, "head")
