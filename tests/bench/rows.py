# SPDX-License-Identifier: Apache-2.0
"""Audited actions per second, on each engine, with every commit on disk."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkvalve import clock
from checkvalve.errors import ForbiddenError
from checkvalve.ids import EntryId
from checkvalve.server.audit import actions
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database
from tests.bench.measure import Measure, median_of, seconds
from tests.parts import postgres

ANNA = Actor("person", "01anna", "Anna")
REFUSAL = ForbiddenError("access.denied", "No role here holds rollout.start.")
CALLERS = 256
EACH = 40


def measures() -> Iterator[Measure]:
    """Measure SQLite, PostgreSQL and the disk below both."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "build") as text:
        directory = Path(text)
        yield Measure(
            "fsync of a 4 KiB append",
            median_of(200, lambda: _fsync(directory / "fsync")) * 1000,
            "ms",
            "",
            "median of 200 on the disk of the work tree; what every durable commit waits for",
        )
        with _migrated(Database.open("sqlite:", directory)) as database:
            yield Measure(
                "audited actions, SQLite",
                median_of(3, lambda: _rate(database)),
                "1/s",
                ">= 8860",
                f"{CALLERS} callers in one process, synchronous=FULL, group commit, one entry each; median of 3 runs",
            )
            yield Measure(
                "one audited action alone, SQLite",
                median_of(50, lambda: seconds(lambda: _one(database))) * 1000,
                "ms",
                "",
                "median of 50, one caller: a commit of its own",
            )
    with _cluster() as url, _migrated(Database.open(url, Path("/"))) as database:
        yield Measure(
            "audited actions, PostgreSQL",
            median_of(3, lambda: _rate(database)),
            "1/s",
            "",
            f"{CALLERS} callers at once over 8 connections, fsync on, SERIALIZABLE, a commit each; median of 3 runs",
        )


def _one(database: Database) -> None:
    act = Act(EntryId(clock.new_id()), clock.now(), ANNA)
    database.write_now("refuse", actions.refuse, act, "rollout.start", "rollout:1", "/a/", REFUSAL)


def _rate(database: Database) -> float:
    async def caller() -> None:
        for _ in range(EACH):
            act = Act(EntryId(clock.new_id()), clock.now(), ANNA)
            await database.write("refuse", actions.refuse, act, "rollout.start", "rollout:1", "/a/", REFUSAL)

    async def everybody() -> None:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    return CALLERS * EACH / seconds(lambda: asyncio.run(everybody()))


def _fsync(file: Path) -> float:
    with file.open("ab") as out:
        out.write(bytes(4096))
        out.flush()
        return seconds(lambda: os.fsync(out.fileno()))


@contextmanager
def _migrated(database: Database) -> Iterator[Database]:
    migrate.upgrade(database)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _cluster() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="checkvalve-bench-") as text:
        cluster = postgres.start(Path(text), durable=True)
        try:
            cluster.sql("CREATE DATABASE bench")
            yield cluster.url("bench")
        finally:
            cluster.stop()
