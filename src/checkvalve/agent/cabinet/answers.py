# SPDX-License-Identifier: Apache-2.0
"""Puts each request of the cabinet to what answers it, in the running agent."""

import base64
import dataclasses
import platform
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, assert_never

import msgspec

from checkvalve.agent import bundle, checking, doctor, hidden, identity, summary
from checkvalve.agent.cabinet import acts, asked, words
from checkvalve.agent.cabinet.asked import Asked
from checkvalve.agent.doctor import Finding
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Slot
from checkvalve.errors import ConflictError, ThrottledError
from checkvalve.protocol.version import CAPABILITY

MOST_ACTS, A_MINUTE = 60, 60.0  # acts in so many seconds: each is a line that must not crowd out the others

Send = Callable[[Any], Awaitable[None]]


class Answers:
    """What the agent of the directory `data` answers; `proxy` and `source` are what `run` was told."""

    def __init__(self, parts: Parts, data: Path, runtime: Path | None, proxy: str = "", source: str = "") -> None:
        self._parts = parts
        self._data = data
        self._runtime = runtime
        self._proxy, self._source = proxy, source
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
                await words.say(parts, request, self.hidden(), send)
                return {}
            case asked.Back():
                return acts.back(parts, request, who)
            case asked.Hang():
                return acts.hang(parts, request, who)
            case asked.Lift():
                return acts.lift(parts, request, who)
            case asked.Open():
                return acts.open_window(parts, request.minutes, who)
            case asked.Close():
                return acts.close_window(parts, who)
            case asked.Check():
                return told(await self._findings())
            case asked.Bundle():
                return await self._bundle(who, send)
            case _:
                assert_never(request)

    def hidden(self) -> hidden.Hidden:
        """Return what no answer may show."""
        return of_parts(self._parts)

    def _may(self, request: Asked) -> None:
        """Refuse what is meant for another device, and what comes faster than a person types."""
        if request.data and Path(request.data) != self._data.resolve():
            raise ConflictError(
                "cabinet.elsewhere",
                f"The agent that answers here is that of {self._data}, and not of {request.data}.",
                "Say where the other one listens: --socket-path.",
            )
        if isinstance(request, asked.Status | asked.Logs | asked.Check):
            return
        now = self._parts.clock.monotonic()
        if len(self._acts) == MOST_ACTS and now - self._acts[0] < A_MINUTE:
            raise ThrottledError("cabinet.throttled", f"More than {MOST_ACTS} acts in a minute.", "Wait a minute.")
        self._acts.append(now)

    async def _findings(self) -> list[Finding]:
        parts = self._parts
        return await checking.look(
            checking.Patient(
                known=parts.identity,
                observes=identity.observes(parts.disk),
                data=self._data,
                runtime=self._runtime,
                engine=parts.engine,
                proxy=self._proxy,
                source=self._source,
                wall=lambda: int(parts.clock.now().timestamp() * 1000),
                more=await checking.rules(parts.disk),
            )
        )

    async def _bundle(self, who: str, send: Send) -> Any:  # noqa: ANN401  # JSON
        """Send a support bundle piece by piece; a note says who took one away."""
        parts = self._parts
        parts.journal.write("note", code="cabinet.support_bundle", reason=f"{who} made a support bundle")
        parts.shared.news.set()
        findings = told(await self._findings())
        data = await bundle.made(
            bundle.Source(
                said={
                    "doctor": findings,
                    "status": msgspec.to_builtins(summary.now(parts)),
                    "versions": versions(parts.agent, parts.shared.about.words if parts.shared.about else ""),
                    "disk": disk(self._data),
                },
                events=parts.journal.events(max(0, parts.journal.seq - bundle.MOST_EVENTS), bundle.MOST_EVENTS),
                engine=parts.engine,
                observed=parts.shared.observed,
                hidden=self.hidden(),
            )
        )
        for at in range(0, len(data), asked.PIECE):
            await send(base64.b64encode(data[at : at + asked.PIECE]).decode())
        return {"size": len(data)}


def of_parts(parts: Parts) -> hidden.Hidden:
    """Return the secrets of a running agent's slots."""
    attempt = parts.journal.position.attempt
    staged: Slot | None = parts.slots.staged(attempt) if attempt else None
    slots = (parts.slots.active, parts.slots.previous, staged)
    return hidden.of(slots, identity.opening(parts.disk))


def told(found: list[Finding]) -> dict[str, Any]:
    """Return findings and their verdict, for programs."""
    well, sentence = doctor.verdict(found)
    return {"well": well, "verdict": sentence, "findings": [dataclasses.asdict(each) for each in found]}


def versions(agent: str, engine: str) -> dict[str, str | int]:
    """Return what runs here."""
    return {
        "agent": agent,
        "capability": CAPABILITY,
        "engine": engine,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def disk(data: Path) -> dict[str, int]:
    """Return how much room there is, in bytes; {} if the disk does not say."""
    try:
        found = shutil.disk_usage(data)
    except OSError:
        return {}
    return {"total": found.total, "used": found.used, "free": found.free}
