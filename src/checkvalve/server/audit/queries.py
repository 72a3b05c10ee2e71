# SPDX-License-Identifier: Apache-2.0
"""Reading the record. The caller hands in the predicate of what it may see."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve import canonical
from checkvalve.errors import NotFoundError
from checkvalve.ids import EntryId
from checkvalve.server.audit.model import Actor, Entry, Kind
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.db.schema import entries

Predicate = sa.ColumnElement[bool]


def latest(
    tx: Tx,
    seen: Predicate,
    *,
    limit: int,
    before: str = "",
    action: str = "",
    subject: str = "",
    actor: str = "",
    since: datetime | None = None,
) -> list[Entry]:
    """Return the newest entries first, at most `limit`; `before` is the id of the last one had (paging)."""
    wanted = [seen]
    if before:
        wanted.append(entries.c.id < before)
    if action:
        wanted.append(entries.c.action.startswith(action, autoescape=True))
    if subject:
        wanted.append(entries.c.subject == subject)
    if actor:
        wanted.append(entries.c.actor == actor)
    if since is not None:
        wanted.append(entries.c.at >= since)
    rows = tx.all(
        sa.select(entries.c.bytes, entries.c.leaf_hash).where(*wanted).order_by(entries.c.id.desc()).limit(limit)
    )
    return [_entry(row) for row in rows]


def entry(tx: Tx, seen: Predicate, entry_id: EntryId) -> Entry:
    """Return one entry; `NotFoundError` (`entry.not_found`) if there is none that the caller may see."""
    row = tx.first(sa.select(entries.c.bytes, entries.c.leaf_hash).where(entries.c.id == entry_id, seen))
    if row is None:
        raise NotFoundError("entry.not_found", "There is no such entry, or not for you.", "Search the record for it.")
    return _entry(row)


def _entry(row: Row) -> Entry:
    said = canonical.loads(row.bytes)
    if not isinstance(said, dict):
        raise TypeError(type(said))
    actor = said["actor"]
    return Entry(
        id=EntryId(said["id"]),
        at=datetime.fromisoformat(said["at"]),
        kind=Kind(said["kind"]),
        action=said["action"],
        actor=Actor(kind=actor["kind"], id=actor["id"], name=actor["name"]),
        subject=said["subject"],
        scope=said["scope"],
        request=said["request"],
        reason=said["reason"],
        data=row.bytes,
        leaf_hash=row.leaf_hash,
        bindings=tuple(said["bindings"]),
        facts=said["facts"],
    )
