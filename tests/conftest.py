# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a database on each engine, and a clock that stands where a test puts it."""

import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from checkvalve import clock, ids
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database
from tests.parts import memory, postgres
from tests.parts.plane import PlaneProcess

settings.register_profile("checkvalve", deadline=None)
settings.load_profile("checkvalve")
if there := memory.folder():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(there))  # where pytest makes the directories of tests


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once which test failed: a run that somebody ends later never prints its summary."""
    if report.failed and os.environ.get("CI") and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext[-2_000:]}", flush=True)


NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """Return the moment at which most tests play."""
    return NOON


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Return a maker of ids that differ and are ordered, from no clock and no entropy."""
    numbers = itertools.count(1)
    return lambda: ids.encode(1_793_707_200_000, next(numbers).to_bytes(10))


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """Start one PostgreSQL for all tests of this process, with a migrated database to copy from."""
    # Not below pytest's own directory: that is for its owner only, and the server runs as another account.
    directory = Path(tempfile.mkdtemp(prefix="checkvalve-pg-", dir=memory.folder()))
    cluster = postgres.start(directory)
    cluster.sql("CREATE DATABASE migrated")
    database = Database.open(cluster.url("migrated"), Path("/"))
    migrate.upgrade(database)
    database.close()
    yield cluster
    cluster.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite file to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    database = Database.open(f"sqlite:{path}", path.parent)
    migrate.upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def made_plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a plane that `init` made, to copy from."""
    plane = PlaneProcess(tmp_path_factory.mktemp("made") / "plane")
    made = plane.init()
    assert made.returncode == 0, made.stderr
    return plane.directory


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_parts)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty, migrated database: every test that asks runs once on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "checkvalve.sqlite"
        shutil.copy(request.getfixturevalue("migrated"), path)
        yield f"sqlite:{path}"
        return
    cluster: postgres.Cluster = request.getfixturevalue("cluster")
    name = f"test_{abs(hash(request.node.nodeid)) % 10**12}"
    cluster.copy("migrated", name)
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """Return an open database, on each engine."""
    database = Database.open(database_url, tmp_path)
    yield database
    database.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Return a wait for a condition that another process brings about, at most 20 seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = clock.monotonic() + 20
        while not condition():
            assert clock.monotonic() < deadline, "the condition did not come about in 20 seconds"
            threading.Event().wait(0.02)

    return wait
