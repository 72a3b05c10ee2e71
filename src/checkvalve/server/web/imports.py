# SPDX-License-Identifier: Apache-2.0
"""Takes an archive off the wire and has it unpacked: neither in memory nor on the event loop, and not too many at once.

Rules: 1. `MOST` archives at a time, whoever sends them: each takes disk, and a thread for as long as it is unpacked;
2. what cannot end well is refused before it is read: by the length that the client announces, against the setting and
against the free space; 3. what comes is counted as it comes, since an announced length may be a lie or missing;
4. a client may be slow and may not be silent: a stalled upload would hold one of the `MOST` places; 5. the spooled file
is gone when this ends, however it ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

from litestar import Request
from litestar.exceptions import InternalServerException

from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.server.blobs.store import Blobs, failures

P = ParamSpec("P")
T = TypeVar("T")

MOST = 2
PIECE = 1 << 20  # bytes of one write: the body comes in pieces of 64 KiB, and a change of thread for each costs more
SILENCE = 25.0  # seconds without a byte; the listener hangs up without a word after 30
SPARE = 256 << 20  # bytes that stay free beside the archive


@dataclass(slots=True)
class Imports:
    """Of one plane, for the life of its process. `largest` is in bytes, `silence` in seconds."""

    largest: int = 16 << 30
    silence: float = SILENCE
    _running: int = 0
    _pool: ThreadPoolExecutor | None = None

    async def take(self, request: Request[Any, Any, Any], blobs: Blobs, unpack: Callable[[BinaryIO], T]) -> T:
        """Spool the body of `request` and return `unpack` of it.

        Raises `InvalidError` (`archive.size`, `archive.slow`, `archive.broken_off`), `UnavailableError`
        (`image.busy`, `blobs.full`), and what `unpack` raises.
        """
        if self._running >= MOST:  # rule 1
            raise UnavailableError(
                "image.busy", f"{MOST} archives are being imported already.", "Wait until one is done, then try again."
            )
        self._running += 1
        try:
            announced = _announced(request)
            if announced > self.largest:
                raise self._too_large()
            await self.run(_room, blobs, announced)
            async with self._spooled(blobs) as spool:
                await self._fill(spool, request)
                return await self.run(unpack, spool)
        finally:
            self._running -= 1

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a thread for files: whoever waits for a disk keeps nobody else waiting."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(2 * MOST, thread_name_prefix="import")
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    @contextlib.asynccontextmanager
    async def _spooled(self, blobs: Blobs) -> AsyncIterator[BinaryIO]:
        stack = contextlib.ExitStack()
        try:
            yield cast("BinaryIO", await self.run(stack.enter_context, blobs.spool()))
        finally:
            with contextlib.suppress(OSError):  # of a full disk, whose last bytes nobody needs any more
                await self.run(stack.close)  # rule 5

    async def _fill(self, spool: BinaryIO, request: Request[Any, Any, Any]) -> None:
        size, piece = 0, bytearray()
        async with contextlib.aclosing(request.stream()) as body:
            while True:
                came = await self._next(body)
                size += len(came)
                if size > self.largest:  # rule 3
                    raise self._too_large()
                piece += came
                if len(piece) >= PIECE or not came:
                    await self.run(_write, spool, bytes(piece))
                    piece.clear()
                if not came:
                    break
        await self.run(_rewind, spool)

    async def _next(self, body: AsyncGenerator[bytes, None]) -> bytes:
        """Return what comes next; nothing is the end."""
        try:
            async with asyncio.timeout(self.silence):
                return await anext(body, b"")
        except TimeoutError as error:  # rule 4
            sentence = f"For {self.silence:.0f} seconds nothing came of the archive."
            raise InvalidError("archive.slow", sentence, "Send it again, over a steadier line.") from error
        except InternalServerException as error:  # the framework's word for a client that went away
            raise InvalidError(
                "archive.broken_off", "The archive was broken off before its end.", "Send it again."
            ) from error

    def _too_large(self) -> InvalidError:
        return InvalidError(
            "archive.size",
            f"The archive is larger than {self.largest} bytes, the most that this plane takes.",
            "Divide it into several, or raise largest_archive in checkvalve.toml.",
            largest=self.largest,
        )


def _announced(request: Request[Any, Any, Any]) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() else 0


def _room(blobs: Blobs, announced: int) -> None:
    free = blobs.free()
    needed = 2 * announced + SPARE
    if free < needed:  # rule 2
        raise UnavailableError(
            "blobs.full",
            f"The archive is {announced} bytes and is there twice while it is unpacked: {needed} bytes are needed, "
            f"and {free} are free.",
            "Make space where the blobs are (setting `blobs`), then send it again.",
            needed=needed,
            free=free,
        )


def _write(spool: BinaryIO, piece: bytes) -> None:
    with failures():
        spool.write(piece)


def _rewind(spool: BinaryIO) -> None:
    with failures():  # what was kept back is written first
        spool.seek(0)
