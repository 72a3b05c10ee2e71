# SPDX-License-Identifier: Apache-2.0
"""The one writer of a SQLite file: a thread, a queue, and one commit for all that waits in it (group commit).

Each function runs in a savepoint, so what it raises undoes it alone. SQLite itself may end the whole transaction
(disk full, I/O error: sqlite.org/lang_transaction.html, section 3): then every function of that group is told that
nothing was changed.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.server.db import dialect

T = TypeVar("T")
_Job = tuple[Callable[[sa.Connection], Any], "Future[Any]"]
_Outcome = tuple["Future[Any]", Any, BaseException | None]

GROUP = 256  # functions that may share a commit: bounds how long the first of them waits for the last


class _GroupLostError(Exception):
    """SQLite ended the transaction under us."""


class Writer:
    """Runs functions one after the other on one connection; `submit` is safe from any thread."""

    def __init__(self, engine: sa.Engine, failed: Callable[[BaseException], CheckvalveError]) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._failed = failed
        self._connection = engine.connect()
        self._raw = _driver(self._connection)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[sa.Connection], T]) -> "Future[T]":
        """Queue `function`; its future holds the value once the commit is on disk."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(_stopping())
        else:
            self._jobs.put((function, future))
        return future

    def close(self) -> None:
        """Finish what was queued, then stop."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            last = False
            while len(group) < GROUP and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    last = True
                    break
                group.append(following)
            self._commit([job for job in group if job[1].set_running_or_notify_cancel()])
            if last:
                break
        self._connection.close()
        while not self._jobs.empty():  # what slipped in between `close` and the end of the loop
            if (late := self._jobs.get()) is not None:
                late[1].set_exception(_stopping())

    def _commit(self, group: list[_Job]) -> None:
        outcomes: list[_Outcome] = []
        try:
            self._sql("BEGIN IMMEDIATE")
            for function, future in group:
                outcomes.append((future, *self._run(function)))
            self._sql("COMMIT")
        except (SQLAlchemyError, sqlite3.Error, _GroupLostError) as error:
            if self._in_transaction():
                self._sql("ROLLBACK")
            for _, future in group:
                future.set_exception(self._refusal(error))
            return
        for future, value, problem in outcomes:
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)

    def _run(self, function: Callable[[sa.Connection], Any]) -> tuple[Any, BaseException | None]:
        self._sql("SAVEPOINT one")
        try:
            value = function(self._connection)
        except BaseException as error:
            if not self._in_transaction():
                raise _GroupLostError from error
            self._sql("ROLLBACK TO one")
            self._sql("RELEASE one")
            return None, self._failed(error) if dialect.engine_failed(error) else error
        self._sql("RELEASE one")
        return value, None

    def _refusal(self, error: BaseException) -> CheckvalveError:
        refusal = self._failed(error.__cause__ or error)
        refusal.__cause__ = error
        return refusal

    def _sql(self, text: str) -> None:
        self._raw.execute(text)

    def _in_transaction(self) -> bool:
        return self._raw.in_transaction


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        message = "the driver gave no connection"
        raise TypeError(message)
    return raw


def _stopping() -> UnavailableError:
    return UnavailableError("database.closed", "The plane is stopping.", "Try again shortly.")
