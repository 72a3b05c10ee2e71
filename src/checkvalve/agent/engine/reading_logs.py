# SPDX-License-Identifier: Apache-2.0
"""Reads what a container says off an engine: the end of it, and what comes from then on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from checkvalve import clock
from checkvalve.agent.engine import streams
from checkvalve.agent.engine.wire import RefusedError, Wire

_NOTHING = (404, 501)  # it is gone; its release says that nothing is kept (`reach.Log`)
QUIET = 10.0  # seconds without a word, after which an empty one is yielded


async def last(wire: Wire, identity: str, lines: int, limit: int, since: int = 0) -> str:
    """Return the last lines of both streams, at most `limit` bytes, from `since` seconds before now on (0: all)."""
    tail = streams.Tail(limit)
    try:
        async with wire.open("GET", f"/containers/{identity}/logs", params=_params(lines, since)) as answer:
            async for piece in answer.content.iter_any():
                tail.add(piece)
    except RefusedError as error:
        if error.status not in _NOTHING:
            raise
    return tail.text(limit)


async def following(wire: Wire, identity: str, lines: int, since: int = 0) -> AsyncIterator[str]:
    """Yield the last lines and what comes after, until the container ends; "" after each `QUIET` without a word."""
    flow = streams.Flow()
    params = {**_params(lines, since), "follow": "1"}
    with contextlib.suppress(RefusedError):  # gone meanwhile
        async with wire.open("GET", f"/containers/{identity}/logs", params=params, seconds=None) as answer:
            pieces = answer.content.iter_any()
            coming = asyncio.ensure_future(anext(pieces, b""))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=QUIET)
                    if not done:
                        yield ""
                        continue
                    piece = coming.result()
                    if not piece:
                        return
                    flow.add(piece)
                    yield flow.taken()
                    coming = asyncio.ensure_future(anext(pieces, b""))
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await coming


def _params(lines: int, since: int) -> dict[str, str]:
    params = {"stdout": "1", "stderr": "1", "tail": str(lines)}
    if since:
        params["since"] = str(max(0, int(clock.now().timestamp()) - since))  # by the clock that the engine goes by
    return params
