# SPDX-License-Identifier: Apache-2.0
"""Transactions as plain functions: `await db.write("rollout.start", rollouts.actions.start, act, rollout)` (ADR 0002).

A function gets a `Tx` first and is run whole on a thread; it never awaits. Writes on SQLite share commits: one thread
takes what waits, gives each function a savepoint, and commits once, so that a thousand actions do not pay a thousand
fsyncs. No caller hears of success before the commit. On PostgreSQL each write has a SERIALIZABLE transaction of its
own, tried again when the engine says that it met another.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from checkvalve import clock
from checkvalve.errors import UnavailableError
from checkvalve.server.db import dialect
from checkvalve.server.db.mailbox import Mailbox
from checkvalve.server.db.sqlite import Writer

P = ParamSpec("P")
T = TypeVar("T")
Row = sa.Row[Any]

READERS = 4
CONNECTIONS = 8
TRIES = 20


class Tx:
    """One transaction, as the rooms see it. It ends when the function that got it returns or raises."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name

    def all(self, statement: sa.Executable, values: Mapping[str, object] | None = None) -> Sequence[Row]:
        """Return all rows; `values` as `run` has them."""
        return self._connection.execute(statement, values).all()

    def first(self, statement: sa.Executable, values: Mapping[str, object] | None = None) -> Row | None:
        """Return the first row, or None; `values` as `run` has them."""
        return self._connection.execute(statement, values).first()

    def scalar(self, statement: sa.Executable) -> Any:  # noqa: ANN401 - the column says the type
        """Return the first column of the first row, or None."""
        return self._connection.execute(statement).scalar()

    def run(self, statement: sa.Executable, values: Mapping[str, object] | None = None) -> int:
        """Carry out a change; return how many rows it touched.

        A statement made once, with `values` apart, costs half of one made anew: worth it on the paths every act takes.
        """
        return self._connection.execute(statement, values).rowcount

    def run_all(self, statement: sa.Executable, rows: Sequence[Mapping[str, object]]) -> None:
        """Carry out a change once with each of `rows`: thousands at a quarter of what they cost one by one."""
        if rows:
            self._connection.execute(statement, rows)


class _Engine(Protocol):
    def write(self, work: Callable[[sa.Connection], T]) -> Future[T]: ...
    def read(self, work: Callable[[sa.Connection], T]) -> Future[T]: ...
    def close(self) -> None: ...


class Database:
    """The handle that faces and ticks hold. Safe to use from any thread and any event loop."""

    def __init__(self, engine: _Engine, kind: str) -> None:
        self._engine = engine
        self._mailboxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}
        self.kind = kind

    @classmethod
    def open(cls, url: str, directory: Path) -> "Database":
        """Open `url`; `sqlite:` alone means `checkvalve.sqlite` in `directory`.

        Raises `InvalidError` for an address that is none, `UnavailableError` (`database.unavailable`) if it does not
        answer.
        """
        kind = dialect.kind(url)
        try:
            if kind == dialect.POSTGRESQL:
                return cls(_Postgresql(dialect.postgresql_engine(url, CONNECTIONS)), kind)
            name = url.partition(":")[2].removeprefix("//")
            return cls(_Sqlite(Path(name) if name else directory / "checkvalve.sqlite"), kind)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    async def write(self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, ...)` and return its value after the commit. What it raises undoes it alone."""
        return await self._awaited(self._submit_write(name, function, *args, **kwargs))

    async def read(self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, ...)` on one snapshot; it cannot write."""
        return await self._awaited(self._submit_read(name, function, *args, **kwargs))

    def write_now(self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what `write` does for callers without an event loop."""
        return self._submit_write(name, function, *args, **kwargs).result()

    def read_now(self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what `read` does for callers without an event loop."""
        return self._submit_read(name, function, *args, **kwargs).result()

    def on_connection(self, work: Callable[[sa.Connection], T]) -> T:
        """Give `work` the bare connection of a write transaction: for migrations only."""
        return self._engine.write(work).result()

    def close(self) -> None:
        """Finish what was accepted and close the connections."""
        self._engine.close()

    def _awaited(self, result: "Future[T]") -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox(loop)
        return mailbox.awaited(result)

    def _submit_write(
        self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        return self._engine.write(_named(name, lambda connection: function(Tx(connection), *args, **kwargs)))

    def _submit_read(
        self, name: str, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        return self._engine.read(_named(name, lambda connection: function(Tx(connection), *args, **kwargs)))


def unavailable(error: BaseException) -> UnavailableError:
    """Return the error that callers see when the engine failed; the engine's own words stay in its cause."""
    return UnavailableError(
        "database.unavailable",
        "The database did not take this; nothing was changed.",
        "Check that it runs and has space (the plane's log has its words), then try again.",
        cause=type(error).__name__,
    )


def _named(name: str, work: Callable[[sa.Connection], T]) -> Callable[[sa.Connection], T]:
    work.__name__ = name
    return work


def _pause(turn: int) -> float:
    """Return seconds to wait before the next try: full jitter below 1, 2, 4 ... 128 ms, so that rivals drift apart."""
    return int.from_bytes(clock.entropy(2)) / 65_536 * min(1 << turn, 128) / 1000


class _Sqlite:
    def __init__(self, path: Path) -> None:
        self._writer = Writer(dialect.sqlite_engine(path, writable=True), unavailable)
        self._reading = dialect.sqlite_engine(path, writable=False)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._free: list[sa.Connection] = []

    def write(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        return self._writer.submit(work)

    def read(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        return self._readers.submit(self._read, work)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        # list.pop and append are atomic, so the free list needs no lock; it never exceeds the number of readers.
        try:
            connection = self._free.pop() if self._free else self._reading.connect()
            connection.exec_driver_sql("BEGIN")
            try:
                return work(connection)
            finally:
                connection.exec_driver_sql("ROLLBACK")
                self._free.append(connection)
        except SQLAlchemyError as error:
            if dialect.engine_failed(error):
                raise unavailable(error) from error
            raise

    def close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        for connection in self._free:
            connection.close()


class _Postgresql:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="database")
        self._closing = threading.Event()
        with engine.connect():
            pass

    def write(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        return self._threads.submit(self._write, work)

    def read(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        return self._threads.submit(self._read, work)

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        for turn in range(TRIES):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                if dialect.worth_another_try(error) and turn < TRIES - 1:
                    self._closing.wait(_pause(turn))
                    continue
                if dialect.engine_failed(error) or dialect.worth_another_try(error):
                    raise unavailable(error) from error
                raise
        raise AssertionError(TRIES)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._reading.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            if dialect.engine_failed(error):
                raise unavailable(error) from error
            raise

    def close(self) -> None:
        self._closing.set()
        self._threads.shutdown()
        self._engine.dispose()
