# SPDX-License-Identifier: Apache-2.0
"""Speaks HTTP to an engine over its Unix socket.

Rules: 1. an engine is asked in API 1.41, or in the oldest that it still speaks: Debian's Docker, Podman and the newest
Docker all do; 2. no answer, or none in time, is `engine.unreachable`, an answer that says no is `engine.refused` with
the engine's own words; 3. nothing of any size is held whole: archives go through in pieces; 4. a name that is taken is
status 409, and a log that nobody keeps 501, also where Podman says 500.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from checkvalve.errors import ConflictError, UnavailableError

OLDEST = (1, 41)
SOON = 60.0  # seconds for what an engine answers at once
PIECE = 256 * 1024
MOST = 32 * 1024 * 1024  # bytes of an answer that is held whole
_TAKEN = ("that name is already in use", "network already exists", "volume already exists")  # rule 4
_SILENT = "this container is not logging output"
Params = Mapping[str, str]


class RefusedError(ConflictError):
    """The engine's no, with the HTTP status it came with."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(
            "engine.refused",
            f"The engine refused: {said.strip()[:800] or f'status {status}'}",
            "The engine's own log says more.",
            status=status,
        )
        self.status = status


@dataclass(frozen=True, slots=True)
class Version:
    """Which engine it is, and how it is asked."""

    api: str  # `v1.41`
    kind: str  # docker, podman
    number: str


class Wire:
    """One engine's API. `socket` is `unix:///path`; nothing is dialled before it is needed."""

    def __init__(self, socket: str) -> None:
        self._path = socket.removeprefix("unix://")
        self._session: aiohttp.ClientSession | None = None
        self._version: Version | None = None

    async def version(self) -> Version:
        """Return what answers; `UnavailableError` (`engine.unreachable`)."""
        if self._version is None:
            async with self._ask("GET", "/version", None, None, SOON) as answer:
                self._version = _version(_json(await _whole(answer)))
        return self._version

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        seconds: float = SOON,
    ) -> Any:  # noqa: ANN401 -- JSON of the engine
        """Return the answer's JSON, None if it has none.

        Raises `UnavailableError` (`engine.unreachable`) and `RefusedError` (`engine.refused`).
        """
        async with self.open(method, path, params=params, body=body, seconds=seconds) as answer:
            return _json(await _whole(answer))

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        data: AsyncIterator[bytes] | None = None,
        seconds: float | None = SOON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Lend the answer, to be read in pieces; `seconds` None: as long as it takes. `data` is sent as a tar."""
        version = await self.version()
        sent = data if data is not None else None if body is None else json.dumps(body).encode()
        kind = "application/x-tar" if data is not None else "application/json"
        async with self._ask(method, f"/{version.api}{path}", params, sent, seconds, kind) as answer:
            yield answer

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def _ask(
        self,
        method: str,
        path: str,
        params: Params | None,
        sent: bytes | AsyncIterator[bytes] | None,
        seconds: float | None,
        kind: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and raise what is no good answer (rule 2)."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._path, limit=64), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"Content-Type": kind} if sent is not None else {}
        time = aiohttp.ClientTimeout(total=seconds, sock_connect=SOON)
        try:
            async with self._session.request(
                method, f"http://engine{path}", params=params, data=sent, headers=headers, timeout=time
            ) as answer:
                if answer.status >= 400:
                    raise _refused(answer.status, await _whole(answer))
                yield answer
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            self._version = None  # whatever answers next may be another one
            raise UnavailableError(
                "engine.unreachable",
                f"The container engine at {self._path} does not answer: {str(error) or type(error).__name__}",
                "Start it, and see that this account may use its socket.",
            ) from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body; one that is too large is cut, and then is no JSON."""
    pieces, size = [], 0
    async for piece in answer.content.iter_chunked(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST:
            break
    return b"".join(pieces)


def _json(data: bytes) -> Any:  # noqa: ANN401 -- JSON of the engine
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise UnavailableError(
            "engine.unreachable", "What answers at the engine's socket is no engine.", "Look at the socket's path."
        ) from error


def _refused(status: int, data: bytes) -> RefusedError:
    """Return the engine's refusal, in its words."""
    with contextlib.suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            cause = str(found.get("cause") or "")
            status = 409 if cause in _TAKEN else 501 if cause == _SILENT else status
            return RefusedError(status, str(found.get("message") or cause))
    return RefusedError(status, data.decode(errors="replace"))


def _version(said: Any) -> Version:  # noqa: ANN401 -- JSON of the engine
    said = said if isinstance(said, dict) else {}
    oldest, newest = _pair(said.get("MinAPIVersion")), _pair(said.get("ApiVersion"))
    major, minor = max(oldest, min(OLDEST, newest))  # rule 1
    names = [str(part.get("Name", "")) for part in said.get("Components") or []]
    kind = "podman" if any("podman" in name.lower() for name in names) else "docker"
    return Version(f"v{major}.{minor}", kind, str(said.get("Version", "")))


def _pair(text: object) -> tuple[int, int]:
    parts = str(text or "").split(".")[:2]
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else OLDEST
