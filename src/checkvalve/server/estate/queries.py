# SPDX-License-Identifier: Apache-2.0
"""Reading what is declared, now and at a date, and how much of it is managed.

Texts from outside may be anything; what nothing can be called finds nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve import lines
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.estate import csvs, decide, filed, managed, tables
from checkvalve.server.estate.model import Changes, Declaration, File, Key, Kind, Said, Share
from checkvalve.server.estate.naming import Places
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Condition

Predicate = sa.ColumnElement[bool]
_rows = schema.declarations.c
_SHUT_OUT = frozenset({Condition.QUARANTINED, Condition.RETIRED})
_AT_ONCE = 500  # places asked for in one statement


def now(tx: Tx, seen: Visibility, *, at: datetime | None = None) -> list[Declaration]:
    """Return what counts, by path, kind and class; `at` a moment: what counted then."""
    wanted = [access_queries.within(_rows.scope, seen)]
    if at is not None:
        wanted.append(_rows.made_at <= at)
    return _in_order(one for one in decide.newest(_newest(tx, wanted)).values() if one.number)


def history(
    tx: Tx,
    seen: Visibility,
    *,
    scope: str = "",
    kind: Kind | None = None,
    class_name: str = "",
    limit: int | None = 100,
    before: str = "",
) -> list[Declaration]:
    """Return everything ever declared, newest first: of exactly this scope, of this kind, of this class in any case.

    `before` is the id of the last one had (paging).
    """
    wanted = [access_queries.within(_rows.scope, seen)]
    if scope:
        wanted.append(_rows.scope == scope)
    if kind is not None:
        wanted.append(_rows.kind == kind.value)
    if class_name:
        # No engine folds as `lines.folded` does: the spellings there are, are few.
        spelt = tx.all(sa.select(_rows.class_name).where(*wanted).distinct())
        folded = lines.folded(class_name.strip())
        wanted.append(_rows.class_name.in_([row[0] for row in spelt if lines.folded(row[0]) == folded]))
    if before:
        wanted.append(_rows.id < before)
    newest = sa.select(*tables.DECLARATION).where(*wanted).order_by(_rows.id.desc()).limit(limit)
    return [tables.declaration(row) for row in tx.all(newest)]


def compare(tx: Tx, seen: Visibility, declared: Sequence[Declaration], moment: datetime) -> list[Share]:
    """Return, place by place, what `declared` comes to and how many devices there are enrolled and let in at `moment`.

    Devices are counted as they stand now, whatever date `declared` is of.
    """
    there: dict[str, int] = {}
    for tally in fleet_queries.by_scope(tx, seen, moment):
        if tally.condition not in _SHUT_OUT:
            there[tally.scope] = there.get(tally.scope, 0) + tally.count
    return managed.shares(declared, there)


def would(tx: Tx, wanted: Sequence[Said]) -> Changes:
    """Return what declaring this would change. Raises what `decide.changes` does."""
    return decide.changes(wanted, _there(tx, wanted))


def places(tx: Tx, seen: Visibility) -> Places:
    """Return the places in `seen`, by their names from the organisation down."""
    above: dict[str, str] = {}
    for place in seen.prefixes:  # whoever sees a site is told whose it is, on every page too
        path = ROOT
        for name, step in zip(access_queries.names(tx, place), place.strip("/").split("/"), strict=False):
            path += f"{step}/"
            above[path] = name
    return Places(access_queries.listed(tx, seen), above)


def of_file(tx: Tx, file: File, seen: Visibility) -> tuple[Said, ...]:
    """Return what a file declares at the places in `seen`; `InvalidError` (`estate.file`)."""
    return filed.judge(file, places(tx, seen))


def exported(tx: Tx, seen: Visibility) -> bytes:
    """Return what counts as a file that imports again and changes nothing."""
    names = places(tx, seen)
    every = [(names.called(one.scope), one) for one in now(tx, seen)]
    every.sort(key=lambda pair: lines.folded(pair[0]))
    return csvs.write((site, one.kind.value, one.class_name, one.number, one.note) for site, one in every)


def _there(tx: Tx, wanted: Sequence[Said]) -> dict[Key, Declaration]:
    scopes = sorted({one.scope for one in wanted})
    found: list[Declaration] = []
    for first in range(0, len(scopes), _AT_ONCE):
        found += _newest(tx, [_rows.scope.in_(scopes[first : first + _AT_ONCE])])
    return decide.newest(found)


def _newest(tx: Tx, wanted: Sequence[Predicate]) -> list[Declaration]:
    """Return the newest row of each spelling: a little more than what counts, and never all that was ever said."""
    alike = (_rows.scope, _rows.kind, _rows.class_name)
    rank = sa.func.row_number().over(partition_by=alike, order_by=(_rows.made_at.desc(), _rows.id.desc()))
    ranked = sa.select(*tables.DECLARATION, rank.label("rank")).where(*wanted).subquery()
    return [tables.declaration(row) for row in tx.all(sa.select(*ranked.c).where(ranked.c.rank == 1))]


def _in_order(rows: Iterable[Declaration]) -> list[Declaration]:
    return sorted(rows, key=lambda one: (one.scope, one.kind, lines.folded(one.class_name)))
