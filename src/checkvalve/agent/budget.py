# SPDX-License-Identifier: Apache-2.0
"""What may a device take of its line and its disk to fetch a release? Part of the local policy, made at the device.

Rules: 1. room is judged before the first byte and before each part: where it does not suffice the release is refused,
with the numbers, and nothing has changed; 2. hours and the month's bytes only make it wait: what came so far stays;
3. hours are of the device's own time. They are believed only while its clock is within two minutes of the plane's: a
clock that is wrong would fetch in the middle of the shift; 4. months are those of the time floor, in UTC: a wall clock
that is set gives no bytes back; 5. some room stays free whatever comes: a full disk harms what runs; 6. sentences hold
nothing that moves by itself, so that a device that waits has nothing new to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from checkvalve.errors import InvalidError

MIB = 1 << 20
CLOSE_MS = 120_000  # how far the device's clock may be from the plane's (rule 3)
HEADROOM = 256 * MIB  # what stays free if the policy says nothing: so much, or `PERCENT` of a smaller disk
PERCENT = 5
AGAIN = 60.0  # seconds until it is judged anew

_DAY = 24 * 60  # minutes
_HOURS = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z"
_Hours = Annotated[str, Meta(pattern=_HOURS)]
_Size = Annotated[int, Meta(ge=1, le=1 << 30)]


class Budget(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What people allow; None: as much as there is. `fetch_hours` are as `22:00-05:00`, any number of them.

    What stays free of a disk is the larger of `headroom_mib` and `headroom_percent`, if either is given.
    """

    rate_kib_s: _Size | None = None
    month_mib: _Size | None = None
    fetch_hours: Annotated[tuple[_Hours, ...], Meta(max_length=16)] = ()
    headroom_mib: Annotated[int, Meta(ge=0, le=1 << 30)] | None = None
    headroom_percent: Annotated[int, Meta(ge=0, le=90)] | None = None

    def __post_init__(self) -> None:
        """Refuse hours that begin when they end: that could mean always, and could mean never."""
        if any(begin == end for begin, end in map(_minutes, self.fetch_hours)):
            message = "hours that begin when they end: for the whole day say 00:00-24:00"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Room:
    """A disk: which one, its free bytes and all of them; `kept` of the free ones are not for what is fetched."""

    disk: int
    free: int
    whole: int
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Needed:
    """What a release lacks, in bytes: to be fetched, for the engine to load it, and for copies of volumes."""

    fetch: int
    load: int = 0
    copy: int = 0


@dataclass(frozen=True)
class Means:
    """What there is. `here` is the disk of the blobs, `engine` that of the images, as far as it is known.

    `parts` are bytes of blobs that were begun, `spent` those fetched this month. `local` is what the device's clock
    says in its own time zone, `offset` that clock minus the plane's in ms, None if they have not spoken.
    """

    here: Room
    engine: Room
    local: datetime
    parts: Mapping[str, int] = field(default_factory=dict)
    spent: int = 0
    offset: int | None = None
    volumes: Mapping[str, int] = field(default_factory=dict)  # bytes of those that are known, by name in the engine


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be done here, and why."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now, and why; it goes on by itself."""

    code: str
    sentence: str
    seconds: float = AGAIN


def read(value: object) -> Budget:
    """Return the budget of plain JSON values; `InvalidError` (`budget.form`)."""
    try:
        return msgspec.convert(value, Budget)
    except msgspec.ValidationError as error:
        raise InvalidError("budget.form", f"This is no budget: {error}.", "See the guide on budgets.") from error


def words(budget: Budget) -> str:
    """Return what is allowed, for people: `at most 64 KiB/s, only at 22:00-05:00`; empty for as much as there is."""
    said = []
    if budget.rate_kib_s is not None:
        said.append(f"at most {budget.rate_kib_s} KiB/s")
    if budget.month_mib is not None:
        said.append(f"at most {budget.month_mib} MiB a month")
    if budget.fetch_hours:
        said.append(f"only at {', '.join(budget.fetch_hours)}")
    kept = [f"{budget.headroom_mib} MiB"] if budget.headroom_mib is not None else []
    kept += [f"{budget.headroom_percent} %"] if budget.headroom_percent is not None else []
    return ", ".join([*said, f"{' or '.join(kept)} of the disk stay free"] if kept else said)


def judge(budget: Budget, means: Means, needed: Needed) -> Refuse | Wait | None:
    """Return why the fetch may not go on, None if it may (rules 1 to 5)."""
    return room(budget, means, needed) or waits(budget, means.local, means.offset, means.spent)


def waits(budget: Budget, local: datetime, offset: int | None, spent: int) -> Wait | None:
    """Return why nothing more is fetched now (rules 2 to 4). It is asked between two pieces, too."""
    if budget.fetch_hours:
        hours = ", ".join(budget.fetch_hours)
        if offset is None or abs(offset) > CLOSE_MS:
            how = "has not been compared with the plane's yet" if offset is None else "is over 2 min off the plane's"
            words = f"Clock not trusted: this device fetches only at {hours}, and its clock {how}."
            return Wait("fetch.clock", words)
        if not _open(budget, local):
            return Wait("fetch.hours", f"This device fetches only at {hours} of its own time.")
    if budget.month_mib is not None and spent >= budget.month_mib * MIB:
        words = f"This month's {budget.month_mib} MiB are spent. It goes on with the next month (UTC)."
        return Wait("fetch.budget", words)
    return None


def headroom(budget: Budget, room: Room) -> int:
    """Return how many bytes of a disk stay free (rule 5)."""
    mib, percent = budget.headroom_mib, budget.headroom_percent
    if mib is None and percent is None:
        return max(room.kept, min(HEADROOM, room.whole * PERCENT // 100))
    return max(room.kept, (mib or 0) * MIB, room.whole * (percent or 0) // 100)


def room(budget: Budget, means: Means, needed: Needed) -> Refuse | None:
    """Return why there is no room for it, with the numbers, None if there is (rule 1)."""
    if means.here.disk == means.engine.disk:
        size = needed.fetch + needed.load + needed.copy
        return _lacking(budget, means.here, size, needed.copy, "on this device's disk")
    return _lacking(budget, means.here, needed.fetch, 0, "where this device keeps what it fetches") or _lacking(
        budget, means.engine, needed.load + needed.copy, needed.copy, "where the engine keeps its images"
    )


def _lacking(budget: Budget, room: Room, size: int, copy: int, where: str) -> Refuse | None:
    stays = headroom(budget, room)
    if not size or size + stays <= room.free:
        return None
    copied = f" ({_mib(copy)} MiB of it for copies of volumes)" if copy else ""
    return Refuse(
        "disk.full",
        f"This release needs {_mib(size)} MiB{copied} {where}, {room.free // MIB} MiB are free, and {_mib(stays)} MiB "
        "stay reserved.",
    )


def _open(budget: Budget, local: datetime) -> bool:
    now = local.hour * 60 + local.minute
    for begin, end in map(_minutes, budget.fetch_hours):
        if (begin <= now < end) if begin < end else (now >= begin or now < end):
            return True
    return False


def _minutes(hours: str) -> tuple[int, int]:
    """Return the minutes of the day at which hours begin and end."""
    begin, end = (int(each[:2]) * 60 + int(each[3:]) for each in hours.split("-"))
    return begin, end if end != _DAY or begin else _DAY


def _mib(size: int) -> int:
    """Return whole MiB, rounded up: what does not fit never looks as if it did."""
    return -(-size // MIB)
