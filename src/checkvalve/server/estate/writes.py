# SPDX-License-Identifier: Apache-2.0
"""Rows of declarations, without an entry: added, and never changed."""

from collections.abc import Iterable

import sqlalchemy as sa

from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import declarations
from checkvalve.server.estate.model import Declaration


def add(tx: Tx, made: Iterable[Declaration]) -> None:
    """Insert declarations; the newest of a class counts from now on."""
    tx.run_all(sa.insert(declarations), [_row(one) for one in made])


def _row(one: Declaration) -> dict[str, object]:
    return {name: getattr(one, name) for name in Declaration.__slots__} | {"kind": one.kind.value}
