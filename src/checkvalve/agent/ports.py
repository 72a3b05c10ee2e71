# SPDX-License-Identifier: Apache-2.0
"""What a device stands on: engine, link, disk and clock. Each has a real and a simulated form, of the same behaviour.

What fails raises `CheckvalveError`: `UnavailableError` where it may work later (the engine does not answer, the plane
is out of reach, the disk is full), another kind where trying again as it is cannot help.
"""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from checkvalve.agent.steps import Observed, Step
from checkvalve.protocol.exchange import Answer
from checkvalve.protocol.workload import Probe

OpenBlob = Callable[[str], BinaryIO]
"""Returns the whole, verified blob of a digest `sha256:…`; raises `NotFoundError` (`blob.missing`)."""


@dataclass(frozen=True, slots=True)
class About:
    """What the engine calls itself. `words` is for people: `docker 20.10.24`, `simulated`."""

    kind: str
    words: str


class Engine(Protocol):
    """Runs containers of one device; it sees no other's."""

    async def about(self) -> About:
        """Return what it is; `UnavailableError` (`engine.unreachable`)."""
        ...

    async def observe(self) -> Observed:
        """Return what there is now; `UnavailableError` (`engine.unreachable`)."""
        ...

    async def do(self, step: Step) -> None:
        """Take a step; done twice, or after it was cut short, it leaves the same.

        Raises `UnavailableError` (`engine.unreachable`), `ConflictError` (`engine.refused`, with the engine's own
        words) and, for `Load`, `InvalidError` (`engine.load`).
        """
        ...

    async def probe(self, container: str, probe: Probe) -> str:
        """Return "" if the probe passes within its timeout, else why it does not, in a sentence."""
        ...

    async def logs(self, container: str, lines: int, limit: int) -> str:
        """Return the last lines, at most `limit` bytes of UTF-8; what is no text is replaced."""
        ...

    async def changed(self) -> None:
        """Return when something may have changed: an event of the engine. It may return too often."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Replied:
    """An answer of the plane. `answer` is None if there was nothing to say (204)."""

    answer: Answer | None
    time: str  # the signed time as it came
    next: int | None = None  # seconds until the next report is due, if the plane says so
    size: int = 0


class Link(Protocol):
    """The way to the plane. It dials; nothing dials it. What it brings is believed by nobody until it is verified."""

    async def exchange(self, report: bytes, wait: float) -> Replied:
        """Send a report, and wait up to `wait` seconds and a margin for the answer.

        Raises `UnavailableError` (`link.unreachable`, with the layer that failed in a sentence: name, route, TLS,
        proxy, plane), `ForbiddenError` (the plane's own code: `device.retired`, `device.quarantined`, …),
        `ThrottledError` (`facts["retry_after"]`), `InvalidError` (`link.answer`: what came is no answer of ours).
        """
        ...

    async def metadata(self, role: str, version: int) -> bytes | None:
        """Return a file of TUF metadata; version 0 is the newest timestamp; None if there is no such version."""
        ...

    async def manifest(self, digest: str) -> bytes:
        """Return the manifest of a release; `NotFoundError` (`release.not_found`)."""
        ...

    def blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on; `NotFoundError` (`blob.not_found`)."""
        ...

    async def renew(self, envelope: bytes) -> bytes:
        """Send a renewal; return the answer's body (`protocol.enrol.Renewed`)."""
        ...

    async def time(self) -> str:
        """Return the plane's signed time now: the challenge of a renewal."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Disk(Protocol):
    """The device's own directory. Names are relative, with slashes. What returned is on the platter (fsync).

    Raises `UnavailableError` (`disk.full`, `disk.failed`), and `NotFoundError` (`disk.missing`) for what is not there.
    """

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Have the file hold `data`: it holds the old or the new, never less (write, fsync, rename, fsync folder)."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Add `data` at the end and fsync. A power cut may leave a part of it."""
        ...

    def extend(self, name: str, offset: int, data: bytes) -> None:
        """Write `data` at `offset` of a file that is being fetched; on the platter only once it is `settled`."""
        ...

    def settle(self, name: str, final: str) -> None:
        """Fsync `name`, and rename it to `final`."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in pieces."""
        ...

    def size(self, name: str) -> int:
        """Return a file's size in bytes, 0 if it is not there."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""
        ...

    def names(self, folder: str) -> Collection[str]:
        """Return the names of the files in a folder, without it, in order; none if it is not there."""
        ...

    def remove(self, name: str) -> None:
        """Have no such file."""
        ...

    def free(self) -> int:
        """Return how many bytes may be written."""
        ...


class Clock(Protocol):
    """Wall clock, a clock that never jumps, and chance."""

    def now(self) -> datetime:
        """Return what the wall clock of this device says: it may be decades wrong."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps; it begins anew with each boot."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...

    def new_id(self) -> str:
        """Return a fresh id."""
        ...

    def chance(self) -> float:
        """Return a number in [0, 1), for jitter."""
        ...
