# SPDX-License-Identifier: Apache-2.0
"""What this device believes, on its disk: the TUF files that it accepted, and the floor of time.

1. Each file is stored whole as soon as it was accepted, and before the next is asked for: a power cut anywhere leaves a
   set that can be gone on from.
2. A damaged file is dropped, and fetched again; a damaged root falls back on the first one, which joining pinned.
3. What is refused changes nothing.
4. The floor of time is written about once an hour only, for the sake of flash memory: after a power cut it stands at
   most so much lower, and what counts against replay is the order's counter.
"""

import contextlib
from datetime import datetime

from checkvalve.agent.ports import Disk, Link
from checkvalve.agent.trust import Floor
from checkvalve.crypto import digests, keys, trustset
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from checkvalve.errors import InvalidError, NotFoundError, UnavailableError
from checkvalve.protocol import time

FOLDER = "trust"
MOST_ROOTS = 64  # in one go (TUF 5.3.3)
STORED_EVERY = 3_600_000  # milliseconds between two writings of the floor

FIRST = "first"
_TIME = f"{FOLDER}/time"
_BELOW = (TIMESTAMP, SNAPSHOT, TARGETS)


class Believed:
    """What is believed now.

    `first` is the root that joining pinned; files that go back to another one are dropped. `monotonic` is what the
    clock that never jumps shows at this start of the agent. Raises `InvalidError` (`metadata.…`) if `first` is no root.
    """

    def __init__(self, disk: Disk, first: bytes, monotonic: float) -> None:
        self._disk = disk
        pinned = trustset.begin(first)
        _keep_to(disk, first)
        self.trusted = _opened(disk, pinned)
        self._stored = _time(disk)
        self.floor = Floor(max(Floor().milliseconds, self._stored or 0), monotonic)
        self._heard: tuple[int, float] | None = None

    async def refresh(self, link: Link, now: datetime) -> None:
        """Bring the files up to what the plane has; `now` is the floor of time.

        What was accepted stays, also when it ends in an error: `InvalidError` (`metadata.…`) for a file that is not to
        be believed, `UnavailableError` (`metadata.missing`) for one that the plane does not have, and the link's own.
        """
        for _ in range(MOST_ROOTS):
            root = await link.metadata(ROOT, self.trusted.root_version + 1)
            if root is None:
                break
            self._accept(ROOT, trustset.with_root(self.trusted, root))
        newest = await self._fetched(link, TIMESTAMP, 0)
        self._accept(TIMESTAMP, trustset.with_timestamp(self.trusted, newest, now))
        while (due := trustset.wanted(self.trusted)) is not None:
            role, version = due
            data = await self._fetched(link, role, version)
            step = trustset.with_snapshot if role == SNAPSHOT else trustset.with_targets
            self._accept(role, step(self.trusted, data, now))

    def hear(self, text: str, key: keys.PublicKey, monotonic: float) -> int:
        """Take a signed time of the plane into the floor, and return it as Unix milliseconds.

        Raises `InvalidError` (`time.form`, `time.signature`).
        """
        milliseconds = time.read(text, key)
        self._heard = milliseconds, monotonic
        self.floor = self.floor.heard(milliseconds, monotonic)
        floor = self.floor.milliseconds
        if self._stored is None or floor - self._stored >= STORED_EVERY:
            self._disk.replace(_TIME, _sealed(floor))
            self._stored = floor
        return milliseconds

    def offset(self, wall: datetime, monotonic: float) -> int | None:
        """Return how many ms a wall clock is ahead of the plane's, None if that was not heard since the agent's start.

        The plane's time goes on by the clock that never jumps: a wall clock that is set between two visits shows.
        """
        if self._heard is None:
            return None
        said, then = self._heard
        return round(wall.timestamp() * 1000) - said - round((monotonic - then) * 1000)

    async def _fetched(self, link: Link, role: str, version: int) -> bytes:
        data = await link.metadata(role, version)
        if data is None:
            raise UnavailableError(
                "metadata.missing",
                f"The plane does not have the {role} metadata that is due.",
                "It comes by itself once the plane has published it.",
            )
        return data

    def _accept(self, role: str, trusted: trustset.Trusted) -> None:
        data: bytes | None = getattr(trusted, role)
        if trusted is not self.trusted and data is not None:
            self._disk.replace(_name(role), data)
        self.trusted = trusted


def _keep_to(disk: Disk, first: bytes) -> None:
    """Drop what does not go back to this root: the device has joined another plane since."""
    if _read(disk, FIRST) == first:
        return
    for role in (ROOT, *_BELOW):
        disk.remove(_name(role))
    disk.remove(_TIME)
    disk.replace(_name(FIRST), first)  # last: what was cut short is begun anew


def _opened(disk: Disk, trusted: trustset.Trusted) -> trustset.Trusted:
    newest = _read(disk, ROOT)
    if newest is not None:
        with contextlib.suppress(InvalidError):  # rule 2
            trusted = trustset.begin(newest)
    for role in _BELOW:
        data = _read(disk, role)
        if data is None:
            continue
        kept = {each: getattr(trusted, each) for each in _BELOW} | {role: data}
        with contextlib.suppress(InvalidError):  # rule 2
            trusted = trustset.restore(trusted.root, **kept)
    return trusted


def _read(disk: Disk, role: str) -> bytes | None:
    try:
        return disk.read(_name(role))
    except NotFoundError:
        return None


def _name(role: str) -> str:
    return f"{FOLDER}/{role}.json"


def _sealed(milliseconds: int) -> bytes:
    # With its digest: a flipped bit could stand for the year 9000, and the floor never goes back.
    return f"{milliseconds} {digests.sha256_hex(str(milliseconds).encode())}\n".encode()


def _time(disk: Disk) -> int | None:
    try:
        text = disk.read(_TIME)
    except NotFoundError:
        return None
    number = text.split(b" ", 1)[0]
    return int(number) if number.isdigit() and _sealed(int(number)) == text else None
