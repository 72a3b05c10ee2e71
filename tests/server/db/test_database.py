# SPDX-License-Identifier: Apache-2.0
"""Transactions: each function whole or not at all, nobody told of success before the commit, both engines."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from checkvalve.errors import ConflictError, InvalidError, UnavailableError
from checkvalve.ids import DeviceId
from checkvalve.server.db import migrate, schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet import queries as fleet_queries
from tests.conftest import NOON
from tests.parts import postgres


def _add(tx: Tx, number: int) -> int:
    tx.run(
        sa.insert(schema.scopes).values(
            id=f"{number:026}", path=f"/{number}/", parent="/", kind="site", name="x", folded=f"{number}", made_at=NOON
        )
    )
    return number


def _count(tx: Tx) -> int:
    count = tx.scalar(sa.select(sa.func.count()).select_from(schema.scopes))
    assert isinstance(count, int)
    return count


def _add_and_fail(tx: Tx, number: int) -> None:
    _add(tx, number)
    raise ConflictError("test.no", "No.")


def test_what_a_function_raises_undoes_it_alone(database: Database) -> None:
    async def all_at_once() -> list[object]:
        tasks = [database.write("add", _add if number % 3 else _add_and_fail, number) for number in range(60)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(all_at_once())
    assert [n for n in range(60) if isinstance(results[n], ConflictError)] == list(range(0, 60, 3))
    assert database.read_now("count", _count) == 40


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only|unavailable"):
        database.read_now("add", _add, 1)
    assert database.read_now("count", _count) == 0


def test_a_read_sees_one_snapshot(database: Database) -> None:
    first_done, second_may = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[int, int]:
        before = _count(tx)
        first_done.set()
        assert second_may.wait(10)
        return before, _count(tx)

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(database.read_now, "twice", twice)
        assert first_done.wait(10)
        database.write_now("add", _add, 1)
        second_may.set()
        assert reading.result() == (0, 0)
    assert database.read_now("count", _count) == 1


def test_read_modify_write_from_many_threads_loses_nothing(database: Database) -> None:
    database.write_now("add", _add, 0)

    def longer(tx: Tx) -> None:
        name = tx.scalar(sa.select(schema.scopes.c.name))
        tx.run(sa.update(schema.scopes).values(name=f"{name}x"))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(database.write_now, "longer", longer) for _ in range(40)]:
            future.result()
    assert database.read_now("name", lambda tx: tx.scalar(sa.select(schema.scopes.c.name))) == "x" * 41


def test_the_migrated_database_is_what_the_schema_says(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    assert database.on_connection(differences) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.write_now("add", _add, 1)
    migrate.upgrade(database)
    assert database.read_now("count", _count) == 1


def test_a_database_of_a_later_release_is_refused(database: Database) -> None:
    database.write_now("later", lambda tx: tx.run(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConflictError) as caught:
        migrate.upgrade(database)
    assert caught.value.code == "database.newer"


def _at_revision(connection: sa.Connection, revision: str) -> None:
    MigrationContext.configure(connection).get_current_revision()  # as `migrate` does: the transaction has begun
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _rollout(tx: Tx, ident: str, state: str) -> None:
    """Insert a rollout as the release before did, which knew no columns of devices."""
    values = {"id": ident, "scope": "/", "name": "x", "intent": b"", "state": state, "made_by": ""}
    tx.run(sa.insert(schema.rollouts).values(**values, made_at=NOON, changed_at=NOON))


def test_what_was_started_before_rollouts_had_devices_is_done_and_old_code_goes_on(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    database.on_connection(lambda connection: _at_revision(connection, "0003"))
    for state in ("draft", "proposed", "started", "cancelled"):
        database.write_now("before", _rollout, state, state)
    migrate.upgrade(database)
    database.write_now("after", _rollout, "later", "draft")
    columns = schema.rollouts.c.id, schema.rollouts.c.state, schema.rollouts.c.wave
    rows = database.read_now("rows", Tx.all, sa.select(*columns).order_by(schema.rollouts.c.id))
    database.close()
    states = {"cancelled": "cancelled", "draft": "draft", "later": "draft", "proposed": "proposed", "started": "done"}
    assert [tuple(row) for row in rows] == [(ident, state, -1) for ident, state in states.items()]


def _device(tx: Tx, ident: str) -> None:
    """Insert a device as the release before did, which knew neither errands nor crashes."""
    of_invite = {"scope": "/", "digest": ident, "tags": "[]", "link": "remote", "observe": False, "uses": 1, "used": 1}
    tx.run(sa.insert(schema.invites).values(id=ident, made_by="", made_at=NOON, ends_at=NOON, **of_invite))
    values: dict[str, object] = {"id": ident, "scope": "/", "name": ident, "folded": ident, "tags": "[]"}
    values |= {"trust": "accepted", "trust_reason": "", "link": "remote", "interval": 60, "key": ident, "public": b""}
    values |= {"machine": "", "generation": 1, "pending": 1, "invite": ident, "journal": "", "known": 0, "told": 0}
    values |= {"capability": 3, "status": b"", "status_digest": "", "state": "idle", "attempt": "", "active": ""}
    moments = dict.fromkeys(("certificate_ends_at", "joined_at", "changed_at"), NOON)
    tx.run(sa.insert(schema.devices).values(epoch=0, counter=0, **moments, **values))


def test_devices_of_before_errands_have_none_and_old_code_goes_on(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    database.on_connection(lambda connection: _at_revision(connection, "0005"))
    first, second = (f"0123456789abcdefghjkmnpqr{number}" for number in (1, 2))
    database.write_now("before", _device, first)
    migrate.upgrade(database)
    database.write_now("after", _device, second)
    found = [database.read_now("device", fleet_queries.device, DeviceId(ident)) for ident in (first, second)]
    standings = database.read_now("standings", fleet_queries.standings)
    database.close()
    assert [(one.errands, one.crashing) for one in found] == [("", 0)] * 2
    assert {one.errands for one in standings.values()} == {""}


def test_a_change_carried_out_with_many_rows_is_one_change(database: Database) -> None:
    row = {"parent": "/", "kind": "site", "name": "x", "made_at": NOON}
    many = [row | {"id": f"{number:026}", "path": f"/{number}/", "folded": f"{number}"} for number in range(500)]

    def add(tx: Tx, rows: list[dict[str, object]]) -> None:
        tx.run_all(sa.insert(schema.scopes), rows)

    database.write_now("none", add, [])
    database.write_now("many", add, many)
    assert database.read_now("count", _count) == 500


def test_every_table_has_an_owner() -> None:
    assert set(schema.OWNERS) == set(schema.metadata.tables)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    database.on_connection(lambda connection: connection.exec_driver_sql("CREATE TABLE votes (broken)"))
    with pytest.raises(Exception, match="votes"):
        migrate.upgrade(database)
    names = database.on_connection(lambda connection: sa.inspect(connection).get_table_names())
    database.close()
    assert names == ["votes"]


@pytest.mark.parametrize("url", ["mysql://x", "file.db", "", "postgres//x"])
def test_an_address_that_is_no_database_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        Database.open(url, tmp_path)
    assert caught.value.code == "settings.database"


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        Database.open(f"postgresql://nobody@/none?host={tmp_path}", tmp_path)


def test_after_close_writes_are_refused_and_accepted_ones_are_kept(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    migrate.upgrade(database)
    futures = [database._engine.write(lambda c, n=n: _add(Tx(c), n)) for n in range(200)]  # type: ignore[misc]
    database.close()
    with pytest.raises(UnavailableError):
        database.write_now("add", _add, 500)
    assert [future.result() for future in futures] == list(range(200))
    assert sqlite3.connect(tmp_path / "checkvalve.sqlite").execute("select count(*) from scopes").fetchone() == (200,)


def test_a_full_disk_refuses_and_keeps_what_was_committed(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    migrate.upgrade(database)
    database.write_now("add", _add, 1)
    pages = database.on_connection(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar())
    database.on_connection(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar())

    def large(tx: Tx) -> None:
        for number in range(10, 2000):
            _add(tx, number)

    with pytest.raises(UnavailableError) as caught:
        database.write_now("large", large)
    assert caught.value.code == "database.unavailable"
    assert database.read_now("count", _count) == 1
    database.on_connection(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 100000").scalar())
    assert database.write_now("add", _add, 2) == 2
    database.close()


_KILLED = """
import sys, asyncio
from pathlib import Path
from checkvalve.server.db.database import Database
from tests.server.db.test_database import _add
database = Database.open("sqlite:", Path(sys.argv[1]))
async def main():
    async def one(start):
        for number in range(start, 10**9, 8):
            await database.write("add", _add, number)
            print(number, flush=True)
    await asyncio.gather(*(one(start) for start in range(8)))
asyncio.run(main())
"""


def test_whatever_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    database = Database.open("sqlite:", tmp_path)
    migrate.upgrade(database)
    database.close()
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(300)]
        child.kill()
        told += [int(line) for line in child.stdout.read().splitlines() if line]
    rows = (
        sqlite3.connect(tmp_path / "checkvalve.sqlite").execute("select cast(folded as integer) from scopes").fetchall()
    )
    assert set(told) <= {row[0] for row in rows}


@pytest.mark.real_parts
def test_a_postgresql_that_goes_away_is_unavailable_and_serves_again_when_it_is_back(
    cluster: postgres.Cluster, tmp_path: Path
) -> None:
    cluster.copy("migrated", "away")
    database = Database.open(cluster.url("away"), tmp_path)
    database.write_now("add", _add, 1)
    cluster.stop()
    for attempt in (database.write_now, database.read_now):
        with pytest.raises(UnavailableError):
            attempt("count", _count)
    cluster.start()
    assert database.write_now("add", _add, 2) == 2
    assert database.read_now("count", _count) == 2
    database.close()
    cluster.drop("away")


def test_a_caller_that_stopped_waiting_harms_nobody(database: Database) -> None:
    async def some_give_up() -> list[object]:
        tasks = [asyncio.ensure_future(database.write("add", _add, number)) for number in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(some_give_up())
    assert results[1::2] == list(range(1, 100, 2))
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert database.write_now("add", _add, 1000) == 1000


def test_one_database_serves_one_loop_after_another(database: Database) -> None:
    async def one(number: int) -> int:
        return await database.write("add", _add, number)

    assert [asyncio.run(one(number)) for number in range(3)] == [0, 1, 2]
