# SPDX-License-Identifier: Apache-2.0
"""Errands as values: what is asked for, and what came of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from checkvalve.ids import DeviceId, ErrandId, PersonId
from checkvalve.protocol.enrol import LinkClass

CAPABILITY = 4  # of an agent that takes errands
GOOD = {LinkClass.REMOTE: timedelta(minutes=15), LinkClass.ASYNC: timedelta(hours=24)}
"""For how long an errand may be begun, if nobody says otherwise."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=7)
SILENT = timedelta(minutes=30)
"""After its `until`, so long, an errand of which nothing was heard is taken to be lost."""
KEPT = timedelta(days=30)
"""What an errand brought is kept for so long after its end."""


class Kind(StrEnum):
    """What a device can be sent to do."""

    LOGS = "logs"
    RESTART = "restart"
    BUNDLE = "bundle"
    REBOOT = "reboot"


class State(StrEnum):
    """WAITING: nothing was heard of it yet. LOST: nor will be, as far as is known; a late word of the device counts."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


BRINGS = frozenset({Kind.LOGS, Kind.BUNDLE})
"""Kinds that bring a file."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand. `envelope` is what the device signed about it, final bytes, once it came."""

    id: ErrandId
    device: DeviceId
    scope: str
    kind: Kind
    service: str  # "" of logs: every one
    since: int  # seconds back; 0: all
    lines: int
    why: str
    made_by: PersonId
    made_at: datetime
    until: datetime
    state: State = State.WAITING
    given_at: datetime | None = None  # first put into orders
    ended_at: datetime | None = None
    code: str = ""
    reason: str = ""
    content: str = ""  # sha256:… of what it brought
    size: int = 0  # bytes of that
    digest: str = ""  # of the payload that the device signed
    envelope: bytes | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants done; everything else of the errand is the plane's. Of a kind counts what it has.

    `within`: for how long it may be begun; None: as `GOOD` says for the device's link.
    """

    id: ErrandId
    device: DeviceId
    kind: Kind
    service: str = ""  # of logs "": every one; of a restart: the one
    since: int = 0  # of logs; seconds back, 0: all
    lines: int = 200  # of logs, of each service
    why: str = ""  # a restart and a reboot say it
    within: timedelta | None = None


class Wanted(TypedDict, total=False):
    """Which errands a list holds."""

    scope: str
    device: DeviceId
    states: tuple[State, ...]
