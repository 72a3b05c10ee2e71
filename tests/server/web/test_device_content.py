# SPDX-License-Identifier: Apache-2.0
"""Files that small orders bring: whole and right, for an open one of the device that sends it, or nothing is kept."""

import asyncio
import errno
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve.agent.link.tls import Tls
from checkvalve.crypto import keys
from checkvalve.crypto.digests import sha256_hex
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.ids import DeviceId, ErrandId
from checkvalve.protocol.errand import CONTENT, LARGEST_CONTENT
from checkvalve.server.blobs import store
from checkvalve.server.blobs.store import Coming
from checkvalve.server.db.database import Database
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import Asked, Errand, Kind
from checkvalve.server.web import device_content, presence
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.web.crossing import Crossing, problem, served, until

FILE = bytes(range(256)) * 2_000 + b"the end"
OTHER = FILE[::-1]
FIRST = FILE[:1_000]


def digest(data: bytes) -> str:
    return f"sha256:{sha256_hex(data)}"


@dataclass
class Yard(Crossing):
    """A plane, and a device that was sent to bring something."""

    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.machine = self.world.machine()

    def order(self, kind: Kind = Kind.LOGS, machine: Machine | None = None) -> str:
        """Order an errand; return its id."""
        one = DeviceId((machine or self.machine).id)
        service = "pump" if kind is Kind.RESTART else ""
        asked = Asked(ErrandId(self.world.new_id()), one, kind, service=service, why="It hangs.")
        act = self.world.act(self.world.maker)
        return self.world.database.write_now("order", errand_actions.order, act, asked).id

    def end(self, errand: str) -> None:
        """Cancel an errand."""
        act = self.world.act(self.world.maker)
        self.world.database.write_now("cancel", errand_actions.cancel, act, ErrandId(errand), "Enough.")

    def errand(self, errand: str) -> Errand:
        """Read an errand."""
        return self.world.database.read_now("errand", errand_queries.errand, ErrandId(errand))

    async def put(
        self, errand: str, data: bytes = FILE, said: str = "", machine: Machine | None = None, **headers: str
    ) -> httpx.Response:
        """Send a file; `said` is its digest as the device has it."""
        head = {CONTENT: said or digest(data), **headers}
        return await self.ask("PUT", f"/v1/errands/{errand}", machine or self.machine, data, **head)

    @property
    def files(self) -> list[str]:
        """Name every file of the plane's blobs, those on their way too."""
        return sorted(path.name for path in (self.directory / "blobs").rglob("*") if path.is_file())

    @property
    def nothing(self) -> bool:
        """Tell whether no file is kept or on its way, and no transfer runs."""
        slot = self.plane.presence.of(self.machine.id)
        return not self.files and slot is not None and not slot.streams


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Yard:
    return Yard(world.started(database, new_id, now), tmp_path)


class Sender:
    """A device that sends a file by hand: what is put into `line` comes, and nothing else."""

    def __init__(self, here: Yard, errand: str, data: bytes = FILE, machine: Machine | None = None) -> None:
        self.line: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: list[dict[str, Any]] = []
        self.asked = 0
        headers = [(CONTENT.encode(), digest(data).encode()), (b"content-length", str(len(data)).encode())]
        scope = {"type": "http", "method": "PUT", "path": f"/v1/errands/{errand}", "headers": headers}
        running: Any = here.shown(machine or here.machine)(scope, self._receive, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(running)

    def says(self, data: bytes, *, more: bool = True) -> None:
        """Let some bytes come."""
        self.line.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def hangs_up(self) -> None:
        """Be gone."""
        self.line.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        """Return the answer's, 0 if there was none."""
        return self.answers[0]["status"] if self.answers else 0

    @property
    def waited_for(self) -> bool:
        """Tell whether the plane has taken all that came, and waits for more."""
        return self.asked > 0 and self.line.empty()

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        return await self.line.get()

    async def _send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)


def test_a_file_is_kept_as_what_its_errand_brought_and_comes_again_without_harm(here: Yard) -> None:
    async def tell() -> None:
        logs, bundle = here.order(Kind.LOGS), here.order(Kind.BUNDLE)
        for errand, data in ((logs, FILE), (logs, FILE), (bundle, OTHER)):
            response = await here.put(errand, data)
            assert (response.status_code, response.content) == (204, b"")
            assert here.plane.blobs.read(digest(data), LARGEST_CONTENT) == data
            assert (here.errand(errand).content, here.errand(errand).size) == (digest(data), len(data))
        assert len(here.files) == 2
        assert problem(await here.put(logs, OTHER)) == (409, "errand.content")
        assert here.errand(logs).content == digest(FILE)
        here.end(logs)
        assert problem(await here.put(logs)) == (409, "errand.ended")

    here.story(tell)


def test_what_is_here_already_is_answered_before_it_is_sent_but_a_digest_alone_brings_nothing(here: Yard) -> None:
    async def tell() -> None:
        errand, another = here.order(Kind.LOGS), here.order(Kind.BUNDLE)
        assert (await here.put(errand)).status_code == 204
        again, claims = Sender(here, errand), Sender(here, another)
        await again.task
        assert (again.status, again.asked) == (204, 0)
        await until(lambda: claims.waited_for)
        claims.hangs_up()
        await claims.task
        assert not claims.answers
        assert not here.errand(another).content
        for file in (here.directory / "blobs" / "sha256").glob("*/*"):
            file.unlink()
        assert (await here.put(errand)).status_code == 204  # the disk has forgotten it, and the row has not
        assert here.plane.blobs.has(digest(FILE))

    here.story(tell)


def test_a_file_is_for_an_open_errand_of_the_device_that_sends_it(here: Yard) -> None:
    other = here.world.machine()

    async def tell() -> None:
        mine, restart = here.order(), here.order(Kind.RESTART)
        for errand in (
            here.order(machine=other),
            here.world.new_id(),
            "",
            "%00",
            "..%2fblobs",
            mine + "/",
            "x" * 9_000,
        ):
            assert problem(await here.put(errand)) == (404, "errand.not_found")
        assert problem(await here.put(mine, machine=other)) == (404, "errand.not_found")
        assert problem(await here.put(restart)) == (409, "errand.content")
        assert problem(await here.ask("PUT", f"/v1/errands/{mine}", None, FILE)) == (401, "device.no_certificate")
        assert not here.errand(mine).content
        assert here.nothing

    here.story(tell)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Length": "20971521"}, 413, "request.too_large"),
        ({"Content-Length": "9" * 400}, 413, "request.too_large"),
        ({"Content-Length": "-1"}, 411, "request.length"),
        ({"Content-Length": "²"}, 411, "request.length"),
        ({"Content-Length": "12"}, 413, "request.too_large"),
        ({CONTENT: "sha256:" + "0" * 64}, 422, "errand.digest"),
        ({CONTENT: "sha256:../../keys"}, 422, "blob.digest"),
        ({CONTENT: ""}, 422, "blob.digest"),
    ],
    ids=["over", "far over", "less than none", "another digit", "longer than said", "other bytes", "a path", "none"],
)
def test_what_is_not_what_was_announced_leaves_nothing(
    here: Yard, headers: dict[str, str], status: int, code: str
) -> None:
    async def tell() -> None:
        errand = here.order()
        encoded: Any = {name: value.encode("utf-8") for name, value in headers.items()}
        response = await here.put(errand, **encoded)
        assert problem(response) == (status, code)
        assert ("connection" in response.headers) == (status in {411, 413})
        assert here.nothing
        assert (await here.put(errand)).status_code == 204

    here.story(tell)


def test_a_body_without_a_length_is_not_read(here: Yard) -> None:
    async def tell() -> None:
        async def pieces() -> Any:  # noqa: ANN401 - an iterator that httpx takes
            yield FILE

        path, head = f"/v1/errands/{here.order()}", {CONTENT: digest(FILE)}
        assert problem(await here.ask("PUT", path, here.machine, pieces(), **head)) == (411, "request.length")
        for method in ("GET", "POST", "DELETE"):
            response = await here.ask(method, path, here.machine)
            assert (response.status_code, response.headers["allow"]) == (405, "PUT")
        assert here.nothing

    here.story(tell)


def test_a_sender_that_is_cut_or_silent_leaves_nothing_and_may_begin_anew(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell() -> None:
        errand = here.order()
        cut = Sender(here, errand)
        cut.says(FIRST)
        cut.says(FILE[:300_000])
        await until(lambda: cut.waited_for)
        assert len(here.files) == 1  # on its way
        cut.hangs_up()
        await cut.task
        assert (cut.status, here.nothing) == (0, True)
        short = Sender(here, errand)
        short.says(FIRST, more=False)
        await short.task
        assert (short.status, here.nothing) == (422, True)
        monkeypatch.setattr(device_content, "SILENCE", 0.05)
        silent = Sender(here, errand)
        silent.says(FIRST)
        await silent.task
        assert (silent.status, here.nothing) == (408, True)
        monkeypatch.undo()
        monkeypatch.setattr(device_content, "GRACE", -1_000.0)  # one that sends without end
        endless = Sender(here, errand)
        endless.says(FIRST)
        await endless.task
        assert (endless.status, here.nothing) == (408, True)
        monkeypatch.undo()
        assert (await here.put(errand)).status_code == 204

    here.story(tell)


def test_a_device_that_is_shut_out_while_it_sends_is_cut(here: Yard) -> None:
    async def tell() -> None:
        sender = Sender(here, here.order())
        sender.says(FILE[:300_000])
        await until(lambda: sender.waited_for)
        here.shut_out(here.machine)
        await here.plane.presence.stir()
        await asyncio.wait_for(sender.task, 5)
        assert sender.status == 403
        assert (b"connection", b"close") in sender.answers[0]["headers"]
        assert here.nothing

    here.story(tell)


def test_the_same_file_twice_at_once_is_one_and_of_two_files_the_first_to_end_stays(here: Yard) -> None:
    async def tell() -> None:
        errand = here.order()
        senders = [Sender(here, errand, data) for data in (FILE, FILE, OTHER)]
        for sender, data in zip(senders, (FILE, FILE, OTHER), strict=True):
            sender.says(data)
        await until(lambda: all(sender.waited_for for sender in senders))
        for sender in senders:
            sender.says(b"", more=False)
            await sender.task
        assert [sender.status for sender in senders] == [204, 204, 409]
        assert here.errand(errand).content == digest(FILE)

    here.story(tell)


def test_transfers_are_counted_and_an_errand_that_ends_meanwhile_takes_no_file(here: Yard) -> None:
    async def tell() -> None:
        errand = here.order()
        running = [Sender(here, errand) for _ in range(presence.STREAMS)]
        for one in running:
            one.says(FIRST)
        await until(lambda: all(one.waited_for for one in running))
        response = await here.put(errand)
        assert problem(response) == (429, "blob.busy")
        assert int(response.headers["retry-after"]) >= 1
        here.end(errand)
        for one in running:
            one.says(FILE[len(FIRST) :], more=False)
            await one.task
            assert one.status == 409
        assert not here.errand(errand).content

    here.story(tell)


@pytest.mark.slow
def test_an_agent_hears_every_answer_of_a_real_listener_and_what_is_sent_in_vain_is_little(here: Yard) -> None:
    large = bytes(LARGEST_CONTENT)
    file = Read(large)

    async def tell() -> None:
        async with served(here) as number:
            key = keys.dump(here.machine.key).decode()
            link = Tls((f"https://127.0.0.1:{number}",), here.plane.ca_pem.decode(), (here.machine.certificate, key))
            errand, other = here.order(Kind.BUNDLE), here.order(Kind.LOGS)
            await link.put(errand, digest(large), file, len(large))
            assert here.errand(errand).size == len(large)
            file.count = 0
            await link.put(errand, digest(large), file, len(large))
            for one, kind, code in (
                (errand, ConflictError, "errand.content"),
                (here.world.new_id(), NotFoundError, "errand.not_found"),
            ):
                with pytest.raises(kind) as caught:
                    await link.put(one, digest(FILE), file, len(large))
                assert caught.value.code == code
            assert file.count == 0
            for size, code in ((1, "errand.digest"), (len(large) + 1, "request.too_large")):
                with pytest.raises(InvalidError) as wrong:
                    await link.put(other, digest(FILE), file, size)
                assert wrong.value.code == code
            here.shut_out(here.machine)
            await here.plane.presence.stir()
            with pytest.raises(ForbiddenError) as shut:
                await link.put(other, digest(large), file, len(large))
            assert shut.value.code == "device.quarantined"
            assert file.count <= 1
            await link.close()

    asyncio.run(asyncio.wait_for(tell(), 60))


class Read(io.BytesIO):
    """A file that counts what was read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_a_disk_that_is_full_or_fails_is_told_and_the_device_comes_later(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        with store.failures():
            raise OSError(errno.ENOSPC, "full")

    async def tell() -> None:
        errand = here.order()
        for where, name, work in ((here.plane.blobs, "free", lambda: device_content.SPARE), (Coming, "add", full)):
            with monkeypatch.context() as patch:
                patch.setattr(where, name, work)
                response = await here.put(errand)
                assert problem(response) == (503, "blobs.full")
                assert int(response.headers["retry-after"]) >= 1
                assert here.nothing
        assert (await here.put(errand)).status_code == 204

    here.story(tell)
