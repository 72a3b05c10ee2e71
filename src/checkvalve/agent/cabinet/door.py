# SPDX-License-Identifier: Apache-2.0
"""The agent's Unix socket for the person at the cabinet. There is no other way in, and this one is in no network.

Rules: 1. who may open the file may act: its mode (0660) and its folder's (0750) are the right, and the journal says who
it was; 2. a socket that nobody answers at is replaced; another agent's is not; 3. where it cannot be had the work goes
on, and it is tried again each minute; 4. a request has a size, and everything a time: who is slow, silent or gone holds
up nobody but himself; 5. so many connections at once, and the next is told so; 6. nothing that is asked ends the agent.
"""

import asyncio
import contextlib
import grp
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from checkvalve.agent.cabinet import asked, asking, peer
from checkvalve.agent.cabinet.answers import Answers
from checkvalve.agent.parts import Parts
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, UnavailableError

MOST = 8  # connections
PATIENCE = 10.0  # seconds for a request to come, and for a part of an answer to go
SLOW = 12  # times as long for a part of a volume: it may go to a memory stick, which stalls
AGAIN = 60.0  # seconds until a socket that could not be had is tried for again
MODE, FOLDER_MODE = 0o660, 0o750
LONGEST = 100  # bytes of a socket's path: the kernel's own limit is 107

Send = Callable[[Any], Awaitable[None]]

_log = logging.getLogger("checkvalve.agent")


class Door:
    """Listens at `path` for the device whose directory is `data`; what follows is as `run` was told."""

    def __init__(
        self,
        path: Path,
        data: Path,
        group: str = "",
        *,
        runtime: Path | None = None,
        proxy: str = "",
        source: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self.path = path
        self._data = data
        self._group = group
        self._runtime = runtime
        self._dialled = (proxy, source)
        self._patience = patience
        self.open = 0  # connections
        self.listening = asyncio.Event()
        self._logged = ""

    async def run(self, parts: Parts) -> None:
        """Listen until cancelled (rule 3)."""
        while True:
            try:
                await self.listen(parts)
            except (CheckvalveError, OSError) as error:
                self._tell(error)
            await parts.clock.sleep(AGAIN)

    async def listen(self, parts: Parts) -> None:
        """Listen until cancelled; `ConflictError` (`cabinet.taken`), `InvalidError` (`cabinet.path`), `OSError`."""
        answers = Answers(parts, self._data, self._runtime, *self._dialled)
        line = await asyncio.to_thread(_bound, self.path, self._data, self._group)
        mark = _mark(self.path)
        people = set[asyncio.Task[None]]()

        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                people.add(task)
                task.add_done_callback(people.discard)
            await self._take(answers, reader, writer)

        server = await asyncio.start_unix_server(taken, sock=line, limit=asked.LARGEST)
        self._logged = ""
        self.listening.set()
        try:
            async with server:
                await server.serve_forever()
        finally:
            self.listening.clear()
            for task in people:
                task.cancel()
            await asyncio.gather(*people, return_exceptions=True)
            if mark == _mark(self.path):  # not one that came in its place
                self.path.unlink(missing_ok=True)

    async def _take(self, answers: Answers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end (rules 4 to 6)."""
        self.open += 1
        try:
            self._count()
            who = await self._who(writer)
            while await self._one(answers, who, reader, writer):
                pass
        except CheckvalveError as error:
            with contextlib.suppress(OSError):
                await self._send(writer, asked.failed(error))
        except OSError:  # TimeoutError is one: gone, or too slow
            writer.transport.abort()
        except Exception:  # noqa: BLE001  # rule 6
            _log.exception("A request at the cabinet met what nobody foresaw.")
            writer.transport.abort()
        finally:
            self.open -= 1
            writer.close()

    def _count(self) -> None:
        if self.open > MOST:  # rule 5
            raise UnavailableError("cabinet.busy", f"{MOST} connections are open already.", "Try again soon.")

    async def _one(
        self, answers: Answers, who: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False if there is none more."""
        try:
            async with asyncio.timeout(self._patience):
                data = await reader.readline()
        except ValueError as error:
            raise InvalidError(
                "cabinet.size", f"A request has at most {asked.LARGEST} bytes.", "One JSON object a line."
            ) from error
        if not data.endswith(b"\n"):  # cut short: what was meant is not known
            return False

        slow = 1

        async def send(value: Any) -> None:  # noqa: ANN401  # JSON
            await self._send(writer, asked.part(value), slow)

        try:
            request = asked.read(data)
            slow = SLOW if isinstance(request, asked.Export) else 1
            done = await answers.answer(request, who, send)
        except CheckvalveError as error:
            await self._send(writer, asked.failed(error))
            return True
        await self._send(writer, asked.done(done))
        return True

    async def _send(self, writer: asyncio.StreamWriter, data: bytes, slow: int = 1) -> None:
        async with asyncio.timeout(self._patience * slow):
            writer.write(data)
            await writer.drain()

    async def _who(self, writer: asyncio.StreamWriter) -> str:
        """Return who it is; a directory of users that does not answer leaves the number."""
        line: socket.socket = writer.get_extra_info("socket")
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.to_thread(peer.of, line)
        except TimeoutError:
            return "somebody at the device"

    def _tell(self, error: CheckvalveError | OSError) -> None:
        said = error.sentence if isinstance(error, CheckvalveError) else f"{self.path}: {error.strerror or error}."
        if said != self._logged:
            self._logged = said
            _log.warning("Nobody can speak with this agent at the cabinet: %s", said)


def _bound(path: Path, data: Path, group: str) -> socket.socket:
    """Return a socket that listens at `path` (rules 1 and 2). It comes to be there all at once, with its mode."""
    if len(str(path).encode()) > LONGEST:
        raise InvalidError(
            "cabinet.path", f"The path {path} is too long for a socket.", f"At most {LONGEST} bytes: --socket-path."
        )
    number = _group(group)
    if path.parent != data and (not path.parent.exists() or str(path.parent) == asking.FOLDER):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(FOLDER_MODE)
        _give(path.parent, number)
    if _answers(path):
        raise ConflictError(
            "cabinet.taken", f"Another agent listens at {path}.", "Give this one a socket of its own: --socket-path."
        )
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.bind(str(fresh))
        fresh.chmod(MODE)
        _give(fresh, number)
        line.listen(MOST)
        line.settimeout(0.0)
        fresh.replace(path)
    except OSError:
        line.close()
        fresh.unlink(missing_ok=True)
        raise
    return line


def _answers(path: Path) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(1.0)
        try:
            line.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # its queue is full: it lives
            return path.is_socket()
    return True


def _group(name: str) -> int | None:
    """Return the number of a group, None if there is none of this name."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        return None


def _give(path: Path, group: int | None) -> None:
    if group is not None:
        with contextlib.suppress(PermissionError):  # not root, and not a member: then it is the user's alone
            os.chown(path, -1, group)


def _mark(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        said = path.stat()
        return said.st_dev, said.st_ino
    return None
