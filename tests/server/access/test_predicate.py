# SPDX-License-Identifier: Apache-2.0
"""The predicate of lists, compiled to SQL, finds what the decision allows, on both engines."""

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from checkvalve.server.access import queries
from checkvalve.server.access.decide import decide, visible
from checkvalve.server.access.model import Context, Permission, Principal
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from tests.conftest import NOON
from tests.server.access import worlds

# `-` and `0` sort right before and after the slash, `ä` far behind it: where a range could be off by one.
NEIGHBOURS = (*worlds.PATHS, "/a-/", "/a0/", "/aä/", "/A/", "/a/b0/", "/a/b-/")


def _fill(tx: Tx) -> None:
    for number, path in enumerate(NEIGHBOURS):
        tx.run(
            sa.insert(schema.scopes).values(
                id=f"{number}", path=path, parent="", kind="area", name=path, folded=path, made_at=NOON
            )
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(worlds.principals(), worlds.permissions, worlds.contexts)
def _law(database: Database, principal: Principal, permission: Permission, context: Context) -> None:
    seen = visible(principal, permission, NOON, context)
    rows = database.read_now(
        "paths", lambda tx: tx.all(sa.select(schema.scopes.c.path).where(queries.within(schema.scopes.c.path, seen)))
    )
    allowed = {path for path in NEIGHBOURS if decide(principal, permission, path, NOON, context).allow}
    assert {row.path for row in rows} == allowed


def test_sql_and_decision_agree_in_every_world(database: Database) -> None:
    database.write_now("fill", _fill)
    _law(database)
