# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of values and documents has in common."""

import sqlalchemy as sa

from checkvalve.ids import DeviceId, ValueId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.values.model import Document, Entry, Key, Kind

ENTRIES = schema.value_entries.c
DOCUMENTS = schema.device_values.c

ENTRY = tuple(ENTRIES)
DOCUMENT = tuple(getattr(DOCUMENTS, name) for name in Document.__slots__)

# What a secret holds is not even read where nobody may know it.
SHOWN = (
    *(column for column in ENTRIES if column.key != "content"),
    sa.case(
        (sa.and_(ENTRIES.kind == Kind.SECRET.value, ENTRIES.content.is_not(None)), sa.literal(b"", sa.LargeBinary)),
        else_=ENTRIES.content,
    ).label("content"),
)


def entry(row: Row) -> Entry:
    """Return the entry of a row of `ENTRY` or `SHOWN`."""
    return Entry(
        id=ValueId(row.id),
        place=row.place,
        scope=row.scope,
        key=Key(row.line, Kind(row.kind), row.name),
        content=row.content,
        current=row.current,
        made_by=row.made_by,
        made_at=row.made_at,
        note=row.note,
    )


def document(row: Row) -> Document:
    """Return the document of a row of `DOCUMENT`."""
    return Document(DeviceId(row.device), row.digest, row.attempt, row.identity, row.document, row.made_at)
