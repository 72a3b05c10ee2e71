# SPDX-License-Identifier: Apache-2.0
"""How a file comes off the wire into a blob: disks are worked on in threads, to the end, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import ParamSpec, TypeVar

from checkvalve.server.blobs.store import Blobs, Coming

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def coming(blobs: Blobs) -> AsyncIterator[Coming]:
    """Lend what takes a blob piece by piece, as `Blobs.coming` does, without holding up the event loop."""
    stack = ExitStack()
    try:
        yield await whole(stack.enter_context, blobs.coming())
    finally:
        await whole(stack.close)


async def whole(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on a thread, to its end even if this is cancelled: else a file would be closed while it is written."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise
