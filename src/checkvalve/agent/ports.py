# SPDX-License-Identifier: Apache-2.0
"""What a device stands on: engine, link, disk and clock. Each has a real and a simulated form, of the same behaviour.

What fails raises `CheckvalveError`: `UnavailableError` where it may work later (the engine does not answer, the plane
is out of reach, the disk is full), another kind where trying again as it is cannot help.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from checkvalve.agent.budget import Room
from checkvalve.agent.policy import Permit
from checkvalve.agent.steps import Observed, Slot, Step
from checkvalve.agent.waiting import Said
from checkvalve.protocol.exchange import Answer
from checkvalve.protocol.workload import Manifest, Probe

OpenBlob = Callable[[str], BinaryIO]
"""Returns the whole, verified blob of a digest `sha256:…`; raises `NotFoundError` (`blob.missing`)."""


@dataclass(frozen=True, slots=True)
class About:
    """What the engine calls itself. `words` is for people: `docker 20.10.24`, `simulated`.

    `root` is the folder of the host where it keeps images, "" if it does not say.
    """

    kind: str
    words: str
    root: str = ""


class Engine(Protocol):
    """Runs containers of one device; it sees no other's.

    `copied` has the bytes of each copy of a volume that this object made, by the name of the volume it was made into.
    """

    copied: dict[str, int]

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

    async def logs(self, container: str, lines: int, limit: int, since: int = 0) -> str:
        """Return the last lines, at most `limit` bytes of UTF-8; what is no text is replaced.

        `since` is in seconds before now; 0: from the beginning.
        """
        ...

    def follow(self, container: str, lines: int, since: int = 0) -> AsyncIterator[str]:
        """Yield the last lines and what it says from then on, in pieces of any size, until it ends.

        "" comes now and then if it says nothing. `since` as in `logs`.
        """
        ...

    async def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the engine knows of it, in the engine's own form; {} of one that is gone."""
        ...

    async def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each of this device's volumes, as far as the engine knows them.

        It may read all of its disk for that. Raises what `do` raises.
        """
        ...

    def export(self, volume: str, folder: str) -> AsyncIterator[bytes]:
        """Yield a tar of what a volume holds, below a folder of this name; containers that use it go on.

        Raises `NotFoundError` (`volume.not_found`), `ConflictError` (`volume.no_image`: the engine has no image to
        reach it by; `engine.refused`, `engine.foreign`), `UnavailableError` (`engine.unreachable`).
        """
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

    async def values(self, digest: str) -> bytes:
        """Return what fills a release on this device; `NotFoundError` (`values.not_found`)."""
        ...

    def blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `offset` on; `NotFoundError` (`blob.not_found`)."""
        ...

    async def put(self, errand: str, digest: str, file: BinaryIO, size: int) -> None:
        """Send what an errand brought: `size` bytes of `file`, from its beginning, which are those of `digest`.

        Sent twice, it is there once. What broke off begins anew: files of errands are small, and a part of one tells
        nobody anything. Raises what `exchange` raises, `NotFoundError` (`errand.not_found`), `ConflictError`
        (`errand.ended`, `errand.content`: it brought another file before), `InvalidError` (`errand.digest`: the file
        is another, or damaged; `request.too_large`), `ThrottledError` (`blob.busy`), and `UnavailableError`
        (`blobs.full`, `blobs.failed`: the plane's disk; `request.slow`; `disk.failed`: the file cannot be read).
        """
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


class Laying(Protocol):
    """Where files and secrets of slots lie, for containers to be given them (`places` says under which names).

    `files` and `runtime` are the absolute paths that they lie below: on the disk, and in memory.
    """

    files: str
    runtime: str

    def check(self, manifest: Manifest) -> None:
        """Raise if this device cannot lay out what a release places.

        `ConflictError`: `secrets.no_tmpfs`, `places.owner`, `places.twice`; `UnavailableError` (`disk.failed`).
        """
        ...

    def lay(self, slot: Slot) -> None:
        """Have the slot's files and secrets in place; twice, or after it was cut short, it leaves the same.

        Raises what `check` does, `InvalidError` (`values.secret`, `values.missing`) and `UnavailableError`
        (`disk.full`, `disk.failed`).
        """
        ...

    def unlay(self, attempt: str) -> None:
        """Have nothing of an attempt; `UnavailableError` (`disk.failed`)."""
        ...

    def laid(self) -> frozenset[str]:
        """Return the attempts of which everything is in place."""
        ...

    def sweep(self, keep: Collection[str]) -> None:
        """Have nothing of attempts but these, parts of what was cut short either; `UnavailableError`."""
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

    def room(self, folder: str = "") -> Room:
        """Return the room on the disk of a folder of the host; on the device's own for "" and what is not there."""
        ...


class Clock(Protocol):
    """Wall clock, a clock that never jumps, and chance."""

    def now(self) -> datetime:
        """Return what the wall clock of this device says: it may be decades wrong."""
        ...

    def local(self) -> datetime:
        """Return the same in the time zone of this device."""
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

    def boot_id(self) -> str:
        """Return what names this boot of the machine, "" if the host does not say."""
        ...


class Host(Protocol):
    """The machine that the device is."""

    def unable(self) -> str:
        """Return why the agent cannot start this machine anew, in a sentence; "" if it may try."""
        ...

    async def reboot(self) -> None:
        """Have the machine started anew; it goes down soon after this returned.

        Raises `UnavailableError` (`reboot.failed`, with the words of what was asked).
        """
        ...


class Permits(Protocol):
    """Asks the line, the plant, the people: may something be changed now?"""

    async def ask(self, permit: Permit) -> Said:
        """Return what the permit says now. It raises for nothing: whatever is no clear yes is a no."""
        ...
