# SPDX-License-Identifier: Apache-2.0
"""What the plane does by itself about errands: it gives up those of which nothing was heard, and lets old files go."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from checkvalve.protocol.errand import Content
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database
from checkvalve.server.errands.model import KEPT, SILENT, Kind, State
from checkvalve.server.tasks import errands, sweep
from tests.server.errands.world import World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def look(world: World) -> str:
    return asyncio.run(errands.run(world.database, lambda: world.now, world.new_id))


def test_what_nobody_heard_of_is_given_up_once_by_however_many_processes(world: World) -> None:
    device = world.able()
    first, second, waits = (
        world.order(device),
        world.order(device, lines=9),
        world.order(device, Kind.BUNDLE, within=2 * SILENT),
    )
    world.now = second.until + SILENT - timedelta(seconds=1)
    assert look(world) == ""
    world.hear(second)
    world.now = first.until + SILENT
    start = threading.Barrier(3)

    def one() -> None:
        start.wait()
        look(world)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (entry,) = world.entries("errand.lose")
    assert (entry.actor.kind, entry.subject, entry.facts["given"]) == ("plane", f"errand:{first.id}", False)
    states = [world.errand(each).state for each in (first, second, waits)]
    assert states == [State.LOST, State.DONE, State.WAITING]
    assert world.to_order(device) == [waits.id]
    assert look(world) == ""


def test_what_errands_brought_goes_thirty_days_after_their_end(world: World, tmp_path: Path) -> None:
    directory = tmp_path / "blobs"
    blobs, errand = Blobs(directory), world.order(world.able())

    def stored(text: bytes) -> Content:
        put = blobs.put(text)
        moment = (world.now - timedelta(days=2)).timestamp()
        os.utime(directory / "sha256" / put.digest[7:9] / put.digest[9:], (moment, moment))
        return Content(digest=put.digest, size=put.size)

    def swept() -> bool:
        asyncio.run(sweep.run(world.database, blobs, lambda: world.now))
        return not blobs.has(brought.digest)

    brought, never_named = stored(b"lines"), stored(b"never named")
    world.bring(errand, brought.digest, brought.size)
    assert not swept(), "its errand is open"
    assert not blobs.has(never_named.digest)
    world.hear(errand, content=brought)
    world.now += KEPT - timedelta(minutes=1)
    assert not swept()
    world.now += timedelta(minutes=1)
    assert swept()
