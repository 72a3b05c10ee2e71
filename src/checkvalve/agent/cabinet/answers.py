# SPDX-License-Identifier: Apache-2.0
"""Puts each request of the cabinet to what answers it, in the running agent."""

import base64
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, assert_never

import msgspec

from checkvalve.agent import bundling, summary
from checkvalve.agent.cabinet import acts, asked, stores, words
from checkvalve.agent.cabinet.asked import Asked
from checkvalve.agent.parts import Parts, Place
from checkvalve.errors import ConflictError, ThrottledError

MOST_ACTS, A_MINUTE = 60, 60.0  # acts in so many seconds: each is a line that must not crowd out the others

Send = Callable[[Any], Awaitable[None]]


class Answers:
    """What the agent of the directory `data` answers; `proxy` and `source` are what `run` was told."""

    def __init__(self, parts: Parts, data: Path, runtime: Path | None, proxy: str = "", source: str = "") -> None:
        self._parts = parts
        self._place = Place(data, runtime, proxy, source)
        self._acts: deque[float] = deque(maxlen=MOST_ACTS)  # when, by the clock that never jumps

    async def answer(self, request: Asked, who: str, send: Send) -> Any:  # noqa: ANN401  # JSON
        """Return the answer to what `who` asks; parts of it go to `send` before.

        Raises `ConflictError` (`cabinet.elsewhere`), `ThrottledError` (`cabinet.throttled`), and what is raised by what
        is asked for.
        """
        parts = self._parts
        self._may(request)
        match request:
            case asked.Status():
                return msgspec.to_builtins(summary.now(parts))
            case asked.Logs():
                await words.say(parts, request, bundling.secrets(parts), send)
                return {}
            case asked.Back():
                return acts.back(parts, request, who)
            case asked.Hang():
                return acts.hang(parts, request, who)
            case asked.Lift():
                return acts.lift(parts, request, who)
            case asked.Open() | asked.Close():
                return acts.open_window(parts, request.minutes if isinstance(request, asked.Open) else 0, who)
            case asked.Check():
                return bundling.told(await bundling.findings(parts, self._place))
            case asked.Bundle():
                return await self._bundle(who, send)
            case asked.Volumes() | asked.Export() | asked.Drop():
                return await stores.answer(parts, request, who, send)
            case _:
                assert_never(request)

    def _may(self, request: Asked) -> None:
        """Refuse what is meant for another device, and what comes faster than a person types."""
        if request.data and Path(request.data) != self._place.data.resolve():
            raise ConflictError(
                "cabinet.elsewhere",
                f"The agent that answers here is that of {self._place.data}, and not of {request.data}.",
                "Say where the other one listens: --socket-path.",
            )
        if isinstance(request, asked.Status | asked.Logs | asked.Check):
            return
        now = self._parts.clock.monotonic()
        if len(self._acts) == MOST_ACTS and now - self._acts[0] < A_MINUTE:
            raise ThrottledError("cabinet.throttled", f"More than {MOST_ACTS} acts in a minute.", "Wait a minute.")
        self._acts.append(now)

    async def _bundle(self, who: str, send: Send) -> Any:  # noqa: ANN401  # JSON
        """Send a support bundle piece by piece; a note says who took one away."""
        parts = self._parts
        parts.journal.write("note", code="cabinet.support_bundle", reason=f"{who} made a support bundle")
        parts.shared.news.set()
        data = await bundling.made(parts, self._place)
        for at in range(0, len(data), asked.PIECE):
            await send(base64.b64encode(data[at : at + asked.PIECE]).decode())
        return {"size": len(data)}
