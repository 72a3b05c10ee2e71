# SPDX-License-Identifier: Apache-2.0
"""Files on their way to the plane, over real TLS: whole or not at all, never all in memory, each answer heard."""

import asyncio
import io
import tracemalloc
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from checkvalve.agent.link.simulated import Simulated
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.agent.ports import Link
from checkvalve.crypto.digests import sha256_hex
from checkvalve.errors import (
    CheckvalveError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from tests.agent.plane import Estate, Listener, listening, port, served
from tests.parts import proxy
from tests.parts.proxy import Weather

QUICK = Patience(connect=2.0, answer=0.3, stall=0.15, pace=10_000_000)
ERRAND, ANOTHER = "0" * 26, "1" * 26
FILE = bytes(range(256)) * 4_000
LARGE = 20 << 20


def digest(data: bytes) -> str:
    return f"sha256:{sha256_hex(data)}"


class Met:
    """A plane that is dialled, and a device of it."""

    def __init__(self, estate: Estate, listener: Listener) -> None:
        self.plane, self.listener = estate.plane, listener
        self.device = estate.device()
        self.open = AsyncExitStack()
        self.link = self.dial(listener.address)

    def dial(self, *addresses: str, patience: Patience = QUICK) -> Tls:
        link = Tls(addresses, self.device.ca, self.device.pair(), patience=patience)
        self.open.push_async_callback(link.close)
        return link


@asynccontextmanager
async def meeting(directory: Path) -> AsyncIterator[Met]:
    estate = Estate()
    async with served(estate.plane, directory) as listener:
        met = Met(estate, listener)
        async with met.open:
            yield met


async def put(link: Link, data: bytes = FILE, errand: str = ERRAND, *, said: str = "") -> CheckvalveError | None:
    """Send a file; return what was raised."""
    return await raised(link.put(errand, said or digest(data), io.BytesIO(data), len(data)))


async def raised(deed: Coroutine[None, None, None]) -> CheckvalveError | None:
    """Return what was raised."""
    try:
        await deed
    except CheckvalveError as error:
        return error
    return None


def test_both_links_bring_a_file_whole_and_say_why_not(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            simulated = Simulated(met.plane, met.device.device)
            met.plane.closed["2" * 26] = ConflictError("errand.ended", "It has ended.")
            met.plane.closed["3" * 26] = NotFoundError("errand.not_found", "There is none.")
            for errand, link in ((ERRAND, met.link), (ANOTHER, simulated)):
                for data in (FILE, FILE):  # twice is once
                    assert await put(link, data, errand) is None
                    assert met.plane.kept.contents[errand] == FILE
                for error, kind, code in (
                    (await put(link, b"else", errand), ConflictError, "errand.content"),
                    (await put(link, errand="2" * 26), ConflictError, "errand.ended"),
                    (await put(link, errand="3" * 26), NotFoundError, "errand.not_found"),
                    (await put(link, errand="4" * 26, said=digest(b"")), InvalidError, "errand.digest"),
                ):
                    assert isinstance(error, kind)
                    assert error.code == code
                    assert met.plane.kept.contents.keys() <= {ERRAND, ANOTHER}

    asyncio.run(play())


def test_a_file_is_sent_from_its_beginning_and_not_beyond_its_size_wherever_it_stands(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            file = io.BytesIO(FILE + b"and more")
            file.seek(77)
            await met.link.put(ERRAND, digest(FILE), file, len(FILE))
            await met.link.put(ANOTHER, digest(b""), file, 0)
            assert met.plane.kept.contents == {ERRAND: FILE, ANOTHER: b""}

    asyncio.run(play())


def test_a_file_that_cannot_be_read_is_no_failure_of_the_line(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            closed = io.BytesIO(FILE)
            closed.close()
            for file in (io.BytesIO(FILE[:-1]), closed):
                with pytest.raises(UnavailableError) as caught:
                    await met.link.put(ERRAND, digest(FILE), file, len(FILE))
                assert caught.value.code == "disk.failed"
            assert not met.plane.kept.contents

    asyncio.run(play())


@pytest.mark.parametrize("read", [0, 100_000], ids=["at once", "halfway"])
def test_an_answer_before_the_end_is_the_answer_and_the_rest_is_not_sent(tmp_path: Path, read: int) -> None:
    sent = Counted(LARGE)

    async def play() -> None:
        async with meeting(tmp_path) as met:
            for status, code, kind in (
                (204, "", type(None)),
                (409, "errand.ended", ConflictError),
                (503, "blobs.full", UnavailableError),
                (403, "device.retired", ForbiddenError),
            ):

                async def early(request: web.Request, status: int = status, code: str = code) -> web.StreamResponse:
                    if read:
                        await request.content.readexactly(read)
                    body = f'{{"title":"no","status":{status},"detail":"No.","code":"{code}"}}' if code else ""
                    return web.Response(status=status, text=body)

                met.listener.instead = early
                sent.bytes = 0
                error = await raised(met.link.put(ERRAND, digest(b""), sent, LARGE))
                assert (error.code if error else "") == code
                assert isinstance(error, kind)
                assert sent.bytes < LARGE // 2
            met.listener.instead = None
            assert await put(met.link) is None  # over a connection that is in order

    asyncio.run(play())


def test_a_refusal_before_the_body_costs_no_body(tmp_path: Path) -> None:
    sent = Counted(LARGE)

    async def play() -> None:
        async with meeting(tmp_path) as met, proxy.rogue(met.plane, tmp_path) as plane:
            plane.says = b"HTTP/1.1 204 No Content\r\n\r\n"
            await met.dial(plane.address).put(ERRAND, digest(b""), sent, LARGE)
            assert sent.bytes == 0

    asyncio.run(play())


class Counted(io.BytesIO):
    """A file of zeros that counts what was read of it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.bytes = size, 0
        self._at = 0

    def seek(self, at: int, _whence: int = 0, /) -> int:
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        data = bytes(max(0, min(size or 0, self.size - self._at)))
        self._at += len(data)
        self.bytes += len(data)
        return data


@pytest.mark.slow
def test_a_line_that_takes_nothing_or_a_plane_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:

            async def silent(request: web.Request) -> web.StreamResponse:
                await request.read()
                await asyncio.Event().wait()
                raise AssertionError

            async def deaf(_: web.Request) -> web.StreamResponse:
                await asyncio.Event().wait()
                raise AssertionError

            for instead in (silent, deaf):
                met.listener.instead = instead
                for file in (Counted(1_000), Counted(LARGE)):
                    with pytest.raises(UnavailableError) as caught:
                        await met.link.put(ERRAND, digest(b""), file, file.size)
                    assert caught.value.code == "link.unreachable"
            async with listening(_mute) as number:
                away = met.dial(f"https://127.0.0.1:{number}", patience=Patience(connect=0.1, stall=0.1, pace=10**7))
                error = await put(away)
                assert error is not None
                assert error.code == "link.unreachable"

    asyncio.run(play())


async def _mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(4_096):
        pass


def test_another_address_is_tried_from_the_files_beginning(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, proxy.between(port(met.listener.address)) as way:
            way.weather = Weather(breaks=0.05)  # no file of 250 pieces passes
            assert await put(met.dial(way.address, met.listener.address)) is None
            assert way.broken > 0
            assert met.plane.kept.contents == {ERRAND: FILE}

    asyncio.run(play())


@pytest.mark.slow
def test_a_file_gets_through_a_line_that_breaks_three_times_in_ten_by_beginning_anew(tmp_path: Path) -> None:
    large = FILE * 5

    async def play() -> None:
        async with meeting(tmp_path) as met, proxy.between(port(met.listener.address), seed=3) as way:
            way.weather = Weather(breaks=0.36 * proxy.PIECE / len(large))  # 1 - 1/e^0.36 is 0.3
            link = met.dial(way.address)
            for number in range(12):
                errand = f"{number:026}"
                while (error := await put(link, large, errand)) is not None:
                    assert error.code == "link.unreachable"
                assert met.plane.kept.contents.pop(errand) == large
            assert way.broken > 0

    asyncio.run(play())


@pytest.mark.slow
def test_no_more_than_some_pieces_of_a_file_are_in_memory(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:

            async def counts(request: web.Request) -> web.StreamResponse:
                size = 0
                async for piece in request.content.iter_any():
                    size += len(piece)
                return web.Response(status=204 if size == LARGE else 500)

            met.listener.instead = counts
            assert await put(met.link) is not None  # what a first connection costs is not the file's
            tracemalloc.start()
            try:
                await met.link.put(ERRAND, digest(b""), Counted(LARGE), LARGE)
                _, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert most < 3 << 20  # of both ends

    asyncio.run(play())
