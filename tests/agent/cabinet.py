# SPDX-License-Identifier: Apache-2.0
"""The socket of a simulated device, and somebody who stands at it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from checkvalve.agent.cabinet import asked, asking
from checkvalve.agent.cabinet.asked import Asked
from checkvalve.agent.cabinet.door import Door
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.exchange import Event
from tests.agent.device import Device

SOON = 20.0


class Cabinet:
    """A device whose agent listens at `path`."""

    def __init__(self, device: Device, directory: Path, *, patience: float = 5.0, group: str = "") -> None:
        self.device = device
        self.data = directory / "data"
        self.data.mkdir(exist_ok=True)
        self.path = directory / "run" / "agent.sock"
        self.door = Door(self.path, self.data, group, patience=patience)

    async def ask(self, request: Asked) -> Any:  # noqa: ANN401  # JSON
        """Return the answer; errors are raised as the agent raised them."""
        return (await self.parts(request))[0]

    async def parts(self, request: Asked) -> tuple[Any, list[Any]]:
        """Return the answer, and the parts that came before it."""
        found = list[Any]()
        return await asyncio.to_thread(asking.ask, self.path, request, found.append, SOON), found

    async def refused(self, request: Asked) -> CheckvalveError:
        """Return what a request raises."""
        try:
            said = await self.ask(request)
        except CheckvalveError as error:
            return error
        message = f"it was answered: {said}"
        raise AssertionError(message)

    def notes(self) -> list[Event]:
        """Return the journal's lines on what was done here."""
        journal = self.device.parts.journal
        return [each for each in journal.events(0, 10_000) if each.kind == "note" and "who" in each.facts]

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, and return all that comes back."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            writer.write_eof()
        came = bytearray()
        with contextlib.suppress(ConnectionError):
            came += await asyncio.wait_for(reader.read(), SOON)
        writer.close()
        return bytes(came)


@contextlib.asynccontextmanager
async def opened(device: Device, directory: Path, *, patience: float = 5.0, group: str = "") -> AsyncIterator[Cabinet]:
    """Lend a device whose agent listens."""
    found = Cabinet(device, directory, patience=patience, group=group)
    listening = asyncio.ensure_future(found.door.listen(device.parts))
    try:
        async with asyncio.timeout(SOON):
            ready = asyncio.ensure_future(found.door.listening.wait())
            await asyncio.wait({ready, listening}, return_when=asyncio.FIRST_COMPLETED)
            assert not listening.done(), listening.exception()
        yield found
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


STATUS = asked.Status()
