# SPDX-License-Identifier: Apache-2.0
"""A reader of a stream of events, as a browser is one."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from checkvalve.server.web import live
from tests.server.web.plant import ORIGIN, Plant, User


@dataclass
class Reader:
    """What comes of one stream."""

    status: int = 0
    body: bytes = b""
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[tuple[str, str]]:
        """Name and text of each event."""
        found = []
        for block in self.body.decode().split("\n\n"):
            name = re.search(r"^event: (.*)$", block, re.MULTILINE)
            if name:
                found.append((name[1], "\n".join(re.findall(r"^data: ?(.*)$", block, re.MULTILINE))))
        return found

    def named(self, name: str) -> list[str]:
        return [text for each, text in self.events if each == name]

    @property
    def last_id(self) -> str:
        return str(re.findall(r"^id: (.*)$", self.body.decode(), re.MULTILINE)[-1])

    async def until(self, condition: Callable[["Reader"], object]) -> None:
        """Wait for what is to come."""
        async with asyncio.timeout(20):
            while not condition(self):
                self.news.clear()
                await self.news.wait()

    async def receive(self) -> dict[str, Any]:
        if not self.news.is_set() and not self.status:
            self.news.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401 - of ASGI
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        self.ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        self.news.set()


@asynccontextmanager
async def reading(plant: Plant, user: User, path: str, *, known: str = "", last: str = "") -> AsyncIterator[Reader]:
    """Read the stream of the page at `path`; at the end its reader hangs up."""
    reader, headers = Reader(), user.headers
    headers |= {"host": ORIGIN.partition("://")[2], "accept": live.MEDIA_TYPE} | (
        {"last-event-id": last} if last else {}
    )
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": f"{path}/events",
        "raw_path": f"{path}/events".encode(),
        "root_path": "",
        "query_string": f"known={known}".encode() if known else b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 40_000),
        "server": ("plane.test", 9443),
        "extensions": {},
    }
    task = asyncio.create_task(plant.door(scope, reader.receive, reader.send))  # type: ignore[arg-type]
    try:
        await reader.until(lambda it: it.status)
        yield reader
    finally:
        reader.gone.set()
        await task
