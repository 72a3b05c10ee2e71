# SPDX-License-Identifier: Apache-2.0
"""Blobs for devices: those of their release, from any byte on, as long as the device is let in."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from checkvalve import clock
from checkvalve.server.db.database import Database
from checkvalve.server.supply.model import Blob, Found
from checkvalve.server.web import device_files, presence
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.supply.world import LAYER, found, source
from tests.server.web.crossing import Crossing, problem, until

CONFIG = b'{"architecture":"amd64"}'
DATA = bytes(range(256)) * 4_096 + b"the end"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(data: bytes = DATA) -> Found:
    """Return an image whose blobs are real."""
    layer = Blob(digest(data), len(data), LAYER, digest(b"unpacked"))
    return replace(found("pump:1"), config=Blob(digest(CONFIG), len(CONFIG), "application/json"), layers=(layer,))


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


@pytest.fixture
def machine(here: Crossing) -> Machine:
    """Return a device that is assigned a release of that image."""
    for data in (CONFIG, DATA):
        here.plane.blobs.put(data)
    here.world.bring(image())
    machine = here.world.machine()
    here.world.assign(machine, here.world.made(source(name="pump", image="pump:1")).id)
    return machine


def path(data: bytes = DATA) -> str:
    return f"/v1/blobs/{digest(data)}"


def test_a_device_fetches_config_and_layers_byte_by_byte_as_they_are(here: Crossing, machine: Machine) -> None:
    async def tell() -> None:
        for data in (CONFIG, DATA):
            response = await here.ask("GET", path(data), machine)
            assert (response.status_code, response.content) == (200, data)
            assert response.headers["content-length"] == str(len(data))

    here.story(tell)


@pytest.mark.parametrize("start", [0, 1, device_files.PIECE - 1, device_files.PIECE, len(DATA) - 1])
def test_a_transfer_goes_on_where_it_was_broken_off(here: Crossing, machine: Machine, start: int) -> None:
    async def tell() -> None:
        response = await here.ask("GET", path(), machine, Range=f"bytes={start}-")
        assert (response.status_code, response.content) == (206, DATA[start:])
        assert response.headers["content-range"] == f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"

    here.story(tell)


@pytest.mark.parametrize("start", [len(DATA), len(DATA) + 1, 10**15])
def test_beyond_the_end_there_is_nothing(here: Crossing, machine: Machine, start: int) -> None:
    async def tell() -> None:
        response = await here.ask("GET", path(), machine, Range=f"bytes={start}-")
        assert (response.status_code, response.content) == (416, b"")
        assert response.headers["content-range"] == f"bytes */{len(DATA)}"

    here.story(tell)


@pytest.mark.parametrize("said", ["bytes=0-5", "bytes=-5", "bytes=1-,5-", "octets=1-", "bytes=x-", "bytes=" + "9" * 30])
def test_another_form_of_range_is_answered_with_the_whole(here: Crossing, machine: Machine, said: str) -> None:
    async def tell() -> None:
        response = await here.ask("GET", path(CONFIG), machine, Range=said)
        assert (response.status_code, response.content) == (200, CONFIG)

    here.story(tell)


def test_what_is_not_of_its_release_is_not_there_for_it(here: Crossing, machine: Machine) -> None:
    other = here.world.machine()
    secret = b"another organisation's"
    here.plane.blobs.put(secret)

    async def tell() -> None:
        absent = "sha256:" + "0" * 64
        for asker, where in ((machine, path(secret)), (machine, f"/v1/blobs/{absent}"), (other, path())):
            assert problem(await here.ask("GET", where, asker)) == (404, "blob.not_found")

    here.story(tell)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "sha512:" + "0" * 64,
        "sha256:" + "0" * 64 + "/",
        "sha256:../../../../etc/passwd",
        "../checkvalve.sqlite",
        "%2e%2e/%2e%2e/keys/authority.key",
        "sha256:" + "0" * 62 + "%00",
        "sha256:%EF%BC%90" + "0" * 63,
    ],
)
def test_a_name_is_a_digest_or_nothing(here: Crossing, machine: Machine, name: str) -> None:
    async def tell() -> None:
        transport_path = f"/v1/blobs/{name}"
        response = await here.ask("GET", transport_path, machine)
        assert response.status_code in {404, 422}
        assert problem(response)[1] in {"blob.digest", "route.not_found"}

    here.story(tell)


def test_a_blob_that_is_gone_from_the_disk_is_named_so(here: Crossing, machine: Machine) -> None:
    async def tell() -> None:
        for file in (here.directory / "blobs" / "sha256").glob("*/*"):
            file.unlink()
        assert problem(await here.ask("GET", path(), machine)) == (404, "blob.not_found")

    here.story(tell)


def test_only_getting_is_known_here(here: Crossing, machine: Machine) -> None:
    async def tell() -> None:
        for method in ("POST", "PUT", "DELETE", "HEAD"):
            response = await here.ask(method, path(), machine)
            assert (response.status_code, response.headers["allow"]) == (405, "GET")

    here.story(tell)


class Slow:
    """A device that takes the first piece and then nothing more until it is let go."""

    def __init__(self, here: Crossing, machine: Machine) -> None:
        self.taken: list[dict[str, Any]] = []
        self.on = asyncio.Event()
        scope = {"type": "http", "method": "GET", "path": path(), "headers": []}
        running: Any = here.shown(machine)(scope, None, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(running)

    async def _send(self, message: dict[str, Any]) -> None:
        if self.began and self.taken[0]["status"] == 200:
            await self.on.wait()
        self.taken.append(message)

    @property
    def began(self) -> bool:
        return bool(self.taken)

    @property
    def size(self) -> int:
        return sum(len(message.get("body", b"")) for message in self.taken)


def test_a_device_has_a_few_transfers_at_once_and_others_are_not_kept_waiting(here: Crossing, machine: Machine) -> None:
    async def tell() -> None:
        running = [Slow(here, machine) for _ in range(presence.STREAMS)]
        await until(lambda: all(one.began for one in running))
        response = await here.ask("GET", path(), machine)
        assert problem(response) == (429, "blob.busy")
        assert int(response.headers["retry-after"]) >= 1
        for one in running:
            one.on.set()
            await one.task
            assert one.size == len(DATA)
        assert (await here.ask("GET", path(), machine)).status_code == 200

    here.story(tell)


@pytest.mark.parametrize("how", ["quarantine", "retire"])
def test_a_transfer_of_a_device_that_is_shut_out_is_broken_off_at_once(
    here: Crossing, machine: Machine, how: str
) -> None:
    async def tell() -> None:
        running = Slow(here, machine)
        await until(lambda: running.began)
        here.shut_out(machine, how)
        begun = clock.monotonic()
        await here.plane.presence.stir()
        await running.task
        assert clock.monotonic() - begun < 5
        assert running.size < len(DATA)
        assert running.taken[-1].get("more_body", True)
        slot = here.plane.presence.of(machine.id)
        assert slot is not None
        assert not slot.streams

    here.story(tell)
