# SPDX-License-Identifier: Apache-2.0
"""All that differs between SQLite and PostgreSQL, in one file (the schema's types aside)."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from checkvalve.errors import InvalidError

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

# SQLSTATE of PostgreSQL: serialization_failure, deadlock_detected, and unique_violation, which under SERIALIZABLE may
# stand for a conflict with a transaction that our own check could not see yet; the next try sees it.
_AGAIN = frozenset({"40001", "40P01", "23505"})

# SQLite's primary result codes that speak of file, memory or lock (sqlite.org/rescode.html); 1 is a wrong statement.
_ENGINE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)


def kind(url: str) -> str:
    """Return `sqlite` or `postgresql`; `InvalidError` (`settings.database`) for any other address."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in {SQLITE, POSTGRESQL}:
        return scheme
    raise InvalidError(
        "settings.database",
        f"A database address begins with sqlite: or postgresql:, not {scheme[:20]!r}.",
        "For instance postgresql://checkvalve@db.plant.example/checkvalve, or leave it out for SQLite.",
    )


def sqlite_engine(path: Path, *, writable: bool) -> sa.Engine:
    """Return an engine on one file whose transactions we begin and end ourselves.

    The driver's own transaction rules are off: they never begin IMMEDIATE, and commit on their own before some
    statements.
    """

    def connect() -> sqlite3.Connection:
        mode = "rwc" if writable else "rw"
        raw = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=10
        )
        raw.execute("PRAGMA journal_mode=WAL")
        # FULL: a committed transaction survives a power cut; NORMAL in WAL would only keep the file whole.
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")
        if not writable:
            raw.execute("PRAGMA query_only=ON")
        return raw

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def postgresql_engine(url: str, connections: int) -> sa.Engine:
    """Return an engine with a pool of `connections`, each statement's transaction SERIALIZABLE."""
    address = sa.make_url(url).set(drivername="postgresql+psycopg")
    return sa.create_engine(
        address,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="SERIALIZABLE",
        connect_args={"connect_timeout": 10, "application_name": "checkvalve"},
    )


def worth_another_try(error: BaseException) -> bool:
    """Tell whether PostgreSQL refused a transaction only because of another one at the same time."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _AGAIN


def engine_failed(error: BaseException) -> bool:
    """Tell whether the engine itself failed (away, locked, disk full), not the statement."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _ENGINE
    return isinstance(error, OperationalError)
