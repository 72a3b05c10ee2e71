# SPDX-License-Identifier: Apache-2.0
"""What the plane does by itself: metadata is signed anew in time, and blobs that nothing names go after a day."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.crypto import keys, metadata
from checkvalve.errors import ConflictError
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database
from checkvalve.server.supply.model import Blob, Found
from checkvalve.server.tasks import refresh, sweep
from tests.server.supply import world
from tests.server.supply.world import World


@pytest.fixture
def plane(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    """Return a plane with a published list."""
    made = world.started(database, new_id, now)
    made.made()
    made.published()
    return made


def _refresh(plane: World, later: timedelta) -> str:
    return asyncio.run(refresh.run(plane.database, plane.online, lambda: plane.now + later, plane.new_id))


def _timestamp(plane: World) -> metadata.Seen:
    return metadata.seen(plane.anchor().timestamp or b"")


def test_before_it_is_time_nothing_is_signed(plane: World) -> None:
    before = plane.anchor()
    assert _refresh(plane, timedelta(hours=1)) == ""
    assert plane.anchor() == before


def test_a_day_later_snapshot_and_timestamp_are_signed_anew_once(plane: World) -> None:
    before, old = plane.anchor(), _timestamp(plane)
    assert _refresh(plane, timedelta(days=1, minutes=1))
    assert _timestamp(plane).version > old.version
    assert _timestamp(plane).expires > old.expires
    assert plane.anchor().targets == before.targets
    after = plane.anchor()
    assert _refresh(plane, timedelta(days=1, minutes=2)) == ""
    assert plane.anchor() == after
    (entry,) = plane.entries("trust.refresh")
    assert entry.actor.kind == "plane"


def test_two_processes_that_both_see_that_it_is_time_do_it_once(plane: World) -> None:
    later, start = plane.now + timedelta(days=2), threading.Barrier(4)

    def one() -> None:
        start.wait()
        asyncio.run(refresh.run(plane.database, plane.online, lambda: later, plane.new_id))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plane.entries("trust.refresh")) == 1


def test_a_plane_without_a_list_has_nothing_to_sign(
    database: Database, new_id: Callable[[], str], now: datetime
) -> None:
    bare = World(database, new_id, now)
    assert _refresh(bare, timedelta(days=400)) == ""
    bare.install()
    assert _refresh(bare, timedelta(days=400)) == ""


def test_a_plane_whose_key_is_another_now_says_so_and_hands_nothing_out(plane: World) -> None:
    before = plane.anchor()
    plane.online = keys.make()
    with pytest.raises(ConflictError) as refused:
        _refresh(plane, timedelta(days=2))
    assert refused.value.code == "trust.not_this_plane"
    assert plane.anchor() == before


def _stored(blobs: Blobs, directory: Path, text: bytes, age: timedelta, now: datetime) -> str:
    digest = blobs.put(text).digest
    moment = (now - age).timestamp()
    (path,) = directory.glob(f"sha256/{digest[7:9]}/{digest[9:]}")
    os.utime(path, (moment, moment))
    return digest


def _sweep(database: Database, blobs: Blobs, now: datetime) -> str:
    return asyncio.run(sweep.run(database, blobs, lambda: now))


def test_blobs_that_no_image_names_go_after_a_day_and_all_others_stay(
    database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path
) -> None:
    directory = tmp_path / "blobs"
    blobs, plane = Blobs(directory), World(database, new_id, now)
    old, young = timedelta(hours=25), timedelta(hours=23)
    kept = [_stored(blobs, directory, text, old, now) for text in (b"config", b"manifest", b"layer")]
    left, fresh = _stored(blobs, directory, b"left", old, now), _stored(blobs, directory, b"fresh", young, now)
    config, manifest, layer = (Blob(digest, 8, "", digest) for digest in kept)
    (image,) = plane.bring(Found(("a:1",), world.AMD, config, manifest, (layer,)))
    assert _sweep(database, blobs, now) == "1 blobs of 4 bytes are removed"
    assert [blobs.has(digest) for digest in (*kept, left, fresh)] == [True, True, True, False, True]
    assert _sweep(database, blobs, now) == ""
    plane.remove(image.id)
    _sweep(database, blobs, now)
    assert [blobs.has(digest) for digest in (*kept, fresh)] == [False, False, False, True]


def test_a_sweep_spares_what_an_import_has_found_here_again(database: Database, now: datetime, tmp_path: Path) -> None:
    directory = tmp_path / "blobs"
    blobs = Blobs(directory)
    digest = _stored(blobs, directory, b"found again", timedelta(days=400), now)
    assert not blobs.put(b"found again").added
    _sweep(database, blobs, clock.now())  # what a file system writes down is the real time
    assert blobs.has(digest)
