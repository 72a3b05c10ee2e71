# SPDX-License-Identifier: Apache-2.0
"""What a device has still to tell, and what it told lately: sealed receipts, and the evidence that they are made of.

A receipt is a file by the order of its coming and the digest of its payload: below `waiting` until the plane
acknowledges it, then below `told`, with the moment. Rules: 1. a receipt is known by its payload, and kept once, as the
bytes that came; 2. told ones go 30 days after the acknowledgement; 3. at most 200 receipts, and 32 MiB of them, are
kept: the oldest told go first, then the oldest that wait; 4. what is damaged is set aside, and holds up nothing;
5. evidence is kept for the newest 8 attempts.
"""

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve import ids
from checkvalve.agent.ports import Disk
from checkvalve.crypto import checked, envelope
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError, UnavailableError

WAITING = "spool/waiting"
TOLD = "spool/told"
BAD = "spool/bad"
EVIDENCE = "spool/evidence"
KEPT = timedelta(days=30)
MOST = 200
MOST_BYTES = 32 << 20
MOST_BAD = 8
MOST_EVIDENCE = 8
_FORM = re.compile(r"(\d{12})-([0-9a-f]{64})(?:-(\d{1,15}))?")


@dataclass(frozen=True, order=True)
class _Receipt:
    """A receipt's file, as its name says; `told` in Unix milliseconds, -1 while it waits."""

    number: int
    digest: str
    told: int = -1

    @property
    def file(self) -> str:
        base = f"{self.number:012}-{self.digest}"
        return f"{WAITING}/{base}" if self.told < 0 else f"{TOLD}/{base}-{self.told}"


class Spool:
    """The receipts and the evidence on a device's disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def put(self, digest: str, sealed: bytes) -> None:
        """Keep a sealed receipt; `digest` is that of its payload, in hex. One that is here already stays as it is.

        Raises `InvalidError` (`receipt.digest`), `UnavailableError` (`disk.full`, `disk.failed`).
        """
        if not _whole(sealed, digest):
            raise InvalidError("receipt.digest", "This is not the receipt of that digest.", "This is a fault of ours.")
        there = [*self._all(TOLD), *self._all(WAITING)]
        if any(each.digest == digest for each in there):
            return
        number = max((each.number for each in there), default=0) + 1
        self._disk.replace(_Receipt(number, digest).file, sealed)
        self._bound()

    def waiting(self, most: int, stays: Callable[[Envelope], bool] = lambda _: False) -> list[bytes]:
        """Return the oldest sealed receipts that the plane has not acknowledged, as they were put, but what `stays`."""
        found: list[bytes] = []
        for each in self._all(WAITING):
            if len(found) == most:
                break
            sealed = self._read(each.file)
            if sealed is not None and _whole(sealed, each.digest):
                found += [] if stays(envelope.read(sealed)) else [sealed]
            else:
                self._set_aside(each.file)
        return found

    def acknowledge(self, digests: Collection[str], now: datetime) -> None:
        """Take note that the plane keeps these (payload digests in hex); others are ignored."""
        for each in self._all(WAITING):
            if each.digest in digests:
                told = _Receipt(each.number, each.digest, max(0, int(now.timestamp() * 1000)))
                self._disk.settle(each.file, told.file)

    def sweep(self, now: datetime) -> None:
        """Drop what has been kept for long enough (rules 2 and 3)."""
        oldest = int((now - KEPT).timestamp() * 1000)
        for each in self._all(TOLD):
            if each.told <= oldest:
                self._disk.remove(each.file)
        self._bound()

    def evidence(self, attempt: str) -> bytes | None:
        """Return what was kept of an attempt; None if there is nothing, or it is damaged."""
        name = _evidence(attempt)
        if not self._disk.exists(name):
            return None
        with contextlib.suppress(InvalidError):
            return checked.read(self._read(name) or b"")
        self._set_aside(name)
        return None

    def keep_evidence(self, attempt: str, data: bytes) -> None:
        """Keep this of an attempt, in place of what was kept before.

        Raises `InvalidError` (`slot.attempt`), `UnavailableError` (`disk.full`, `disk.failed`).
        """
        self._disk.replace(_evidence(attempt), checked.write(data))
        for old in sorted(self._disk.names(EVIDENCE))[:-MOST_EVIDENCE]:
            self._disk.remove(f"{EVIDENCE}/{old}")

    def _all(self, folder: str) -> list[_Receipt]:
        """Return the receipts of a folder, oldest first."""
        return sorted(self._named(folder))

    def _named(self, folder: str) -> Iterator[_Receipt]:
        for name in self._disk.names(folder):
            form = _FORM.fullmatch(name)
            if form is not None and (form[3] is None) == (folder == WAITING):
                yield _Receipt(int(form[1]), form[2], -1 if form[3] is None else int(form[3]))

    def _bound(self) -> None:
        """Drop the oldest until the rest is few and small enough (rule 3); the newest that waits always stays."""
        there = [*self._all(TOLD), *self._all(WAITING)]
        sizes = {each: self._disk.size(each.file) for each in there}
        while len(there) > MOST or (len(there) > 1 and sum(sizes[each] for each in there) > MOST_BYTES):
            self._disk.remove(there.pop(0).file)

    def _read(self, name: str) -> bytes | None:
        try:
            return self._disk.read(name)
        except (NotFoundError, UnavailableError):
            return None

    def _set_aside(self, name: str) -> None:
        """Have it out of the way (rule 4), and the newest few for whoever looks into it."""
        with contextlib.suppress(CheckvalveError):
            self._disk.settle(name, f"{BAD}/{name.rpartition('/')[2]}")
            for old in list(self._disk.names(BAD))[:-MOST_BAD]:
                self._disk.remove(f"{BAD}/{old}")


def _whole(sealed: bytes, digest: str) -> bool:
    try:
        return envelope.digest(envelope.read(sealed)) == digest
    except InvalidError:
        return False


def _evidence(attempt: str) -> str:
    if not ids.well_formed(attempt):
        raise InvalidError("slot.attempt", "The name of the attempt is not an id.", "This order is not taken.")
    return f"{EVIDENCE}/{attempt}"
