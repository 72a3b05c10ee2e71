# SPDX-License-Identifier: Apache-2.0
"""A device's transfer, either way: few at once, and broken off when the device is shut out.

All of them together are bounded, for each holds a piece in memory, and a connection for as long as its line takes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from checkvalve.errors import ThrottledError
from checkvalve.server.fleet.model import LET_IN
from checkvalve.server.web import peers
from checkvalve.server.web.peers import Peer
from checkvalve.server.web.plane import Plane


@asynccontextmanager
async def running(plane: Plane, peer: Peer) -> AsyncIterator[None]:
    """Count the current task as a transfer of the device, which is let in.

    Raises as `peers.admit` does, at the beginning and when the device is shut out, and `ThrottledError` (`blob.busy`).
    """
    slot = await peers.admitted(plane, peer)
    task = cast("asyncio.Task[None]", asyncio.current_task())
    if not plane.presence.begin(slot, task):
        raise ThrottledError(
            "blob.busy", "Too many transfers run at this moment.", "Try again in a few seconds.", retry_after=3
        )
    try:
        yield
    except asyncio.CancelledError:
        if slot.standing.trust in LET_IN:
            raise  # the plane stops
        task.uncancel()
        peers.admit(peer, slot.standing, plane.now())
        raise
    finally:
        plane.presence.end(slot, task)
