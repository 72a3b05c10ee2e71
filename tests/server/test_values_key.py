# SPDX-License-Identifier: Apache-2.0
"""The key that secrets are locked with: without the right one a plane does not start, and nothing is locked."""

import json
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from checkvalve import clock
from checkvalve.errors import CheckvalveError, ConflictError
from checkvalve.server import founding, keys
from checkvalve.server.audit.model import PLANE
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.founding import Origins
from checkvalve.server.settings import Settings
from tests.parts import postgres
from tests.parts.plane import CHECKVALVE, PlaneProcess
from tests.server.values.world import World, secret, variable

ORIGINS = Origins(clock.now, clock.new_id, clock.entropy)
OTHER = bytes(31) + b"x"


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    """Return the small organisation."""
    return World(database, new_id, now)


def begin(world: World, directory: Path) -> bytes:
    """Start a process of the plane, as far as its key."""
    return founding.values_key(directory, world.database, ORIGINS)


def refused(world: World, directory: Path) -> str:
    """Start a process that must not start, and touches nothing; return why."""
    before = sorted(file.name for file in directory.iterdir()) if directory.exists() else []
    with pytest.raises(ConflictError) as caught:
        begin(world, directory)
    assert "new-values-key" in caught.value.remedy
    assert before == (sorted(file.name for file in directory.iterdir()) if directory.exists() else [])
    return caught.value.code


def test_the_key_is_made_once_and_a_plane_that_lost_it_or_has_another_does_not_start(
    world: World, tmp_path: Path
) -> None:
    there, file = tmp_path / "keys", tmp_path / "keys" / keys.VALUES
    made = begin(world, there)
    assert begin(world, there) == made == file.read_bytes()
    file.rename(tmp_path / "kept")
    assert refused(world, there) == "values.key_lost"
    assert refused(world, tmp_path / "second process") == "values.key_lost"
    file.write_bytes(OTHER)
    assert refused(world, there) == "values.key_other"
    shutil.copy(tmp_path / "kept", file)
    assert begin(world, there) == made


def test_where_no_key_was_noted_yet_a_secret_tells_which_it_is(world: World, tmp_path: Path) -> None:
    there, made = tmp_path / "keys", bytes(range(32))
    world.set(world.org, secret("mqtt", "planted"), key=made)
    assert refused(world, there) == "values.key_lost"
    keys.values(there, OTHER)
    assert refused(world, there) == "values.key_other"
    (there / keys.VALUES).write_bytes(made)
    assert begin(world, there) == made


def test_of_two_processes_with_two_keys_that_start_at_once_one_starts(world: World, tmp_path: Path) -> None:
    places = [tmp_path / str(number) for number in range(4)]

    def start(place: Path) -> bytes | str:
        try:
            return begin(world, place)
        except CheckvalveError as error:
            return error.code

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(start, places))
    assert sum(isinstance(each, bytes) for each in found) == 1
    assert {each for each in found if isinstance(each, str)} <= {"values.key_other", "values.key_lost"}


def test_nothing_is_locked_with_another_key_than_the_one_that_was_noted(world: World, tmp_path: Path) -> None:
    key = begin(world, tmp_path)
    world.set(world.org, secret("mqtt", "planted"), key=key)
    world.refused("values.key_other", world.set, world.org, secret("mqtt", "other"), key=OTHER)
    world.set(world.org, variable("RATE", "12"), key=OTHER)  # it locks nothing


def test_with_a_new_key_the_secrets_that_do_not_open_are_taken_away_and_the_record_says_so(
    world: World, database_url: str, tmp_path: Path
) -> None:
    there, settings = tmp_path / "keys", Settings(database=database_url)
    key = begin(world, there)
    world.set(world.org, secret("mqtt", "planted"), variable("RATE", "12"), key=key)
    world.set(world.site, secret("mqtt", "other"), key=key)
    assert _refusal(tmp_path, settings, sure=True) == "values.key_there"
    (there / keys.VALUES).write_bytes(OTHER)
    assert _refusal(tmp_path, settings, sure=False) == "values.key_sure"
    assert (there / keys.VALUES).read_bytes() == OTHER
    assert founding.new_values_key(tmp_path, settings, ORIGINS, sure=True) == 2
    assert [file.read_bytes() for file in there.glob("*.before")] == [OTHER]
    assert begin(world, there) not in (key, OTHER)
    assert [one.key.name for one in world.current()] == ["RATE"]
    (entry,) = world.entries("values.new_key")
    assert (entry.actor, entry.facts["taken"]) == (PLANE, 2)
    table = schema.value_entries.c
    notes = world.database.read_now("n", lambda tx: tx.all(sa.select(table.note).where(table.content.is_(None))))
    assert {row.note for row in notes} == {"The key that it was locked with is lost."}


def _refusal(directory: Path, settings: Settings, *, sure: bool) -> str:
    with pytest.raises(CheckvalveError) as caught:
        founding.new_values_key(directory, settings, ORIGINS, sure=sure)
    return caught.value.code


# Whole processes


def _run(word: str, plane: PlaneProcess, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*CHECKVALVE, word, "--data", str(plane.directory), "--json", *more]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)


def _code(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    return done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]


@pytest.mark.slow
def test_a_plane_whose_key_is_lost_says_so_and_goes_on_with_a_new_one_if_that_is_wanted(
    tmp_path: Path, made_plane: Path
) -> None:
    plane = PlaneProcess(tmp_path / "plane").like(made_plane)
    file = plane.directory / "keys" / keys.VALUES
    file.unlink()
    assert _code(_run("serve", plane)) == (1, "values.key_lost")
    assert not file.exists()
    done = _run("new-values-key", plane, "--yes")
    assert (done.returncode, json.loads(done.stdout)["taken"]) == (0, 0)
    caller = plane.start().caller()
    (entry,) = caller.get("/api/v1/audit", action="values.new_key")["items"]
    assert entry["reason"] == "checkvalve new-values-key on this machine"
    plane.close()


@pytest.mark.slow
@pytest.mark.real_parts
def test_a_second_process_of_one_postgresql_with_a_key_of_its_own_does_not_start(
    tmp_path: Path, cluster: postgres.Cluster
) -> None:
    cluster.sql("CREATE DATABASE values_key")
    first = PlaneProcess(tmp_path / "first", cluster.url("values_key"))
    assert first.init().returncode == 0
    second = PlaneProcess(tmp_path / "second", first.database).like(first.directory)
    (second.directory / "keys" / keys.VALUES).write_bytes(OTHER)
    assert _code(_run("serve", second, "--role", "devices")) == (1, "values.key_other")
    cluster.drop("values_key")
