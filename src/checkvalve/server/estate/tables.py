# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of declarations has in common."""

from checkvalve.ids import DeclarationId, PersonId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.estate.model import Declaration, Kind

DECLARATION = tuple(getattr(schema.declarations.c, name) for name in Declaration.__slots__)


def declaration(row: Row) -> Declaration:
    """Return the declaration of a row of `DECLARATION`."""
    return Declaration(
        id=DeclarationId(row.id),
        scope=row.scope,
        kind=Kind(row.kind),
        class_name=row.class_name,
        number=row.number,
        note=row.note,
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
    )
