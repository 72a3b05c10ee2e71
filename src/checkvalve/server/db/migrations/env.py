# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the steps on the connection that `upgrade` hands over; there is no offline mode."""

from alembic import context

from checkvalve.server.db import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=False,  # the caller holds the one transaction around all steps
)
context.run_migrations()
