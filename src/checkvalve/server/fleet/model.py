# SPDX-License-Identifier: Apache-2.0
"""Invites, devices, what they are to run and what they told, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from checkvalve.ids import AttemptId, DeviceId, HoldId, InviteId, PersonId, ReleaseId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State

INTERVALS = {LinkClass.REMOTE: 60, LinkClass.ASYNC: 900}
"""Seconds between two reports of an idle device; the plane may say so otherwise."""
LIFETIMES = {LinkClass.REMOTE: timedelta(hours=24), LinkClass.ASYNC: timedelta(days=30)}
"""How long a certificate is good; it is renewed at two thirds."""
REJOIN = timedelta(days=400)
"""How long after its end a certificate may still be renewed by the device's key."""


class Trust(StrEnum):
    """Whether a device is let in. OBSERVE is what the device says of itself: it reports, and refuses every change."""

    ACCEPTED = "accepted"
    OBSERVE = "observe"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


LET_IN = frozenset({Trust.ACCEPTED, Trust.OBSERVE})


class Liveness(StrEnum):
    """How long ago a device was heard: in time, over 1.5 intervals ago, over 3, or never."""

    ONLINE = "online"
    LATE = "late"
    OFFLINE = "offline"
    NEVER_SEEN = "never_seen"


class Condition(StrEnum):
    """How a device is, in one word: the worst that is known of it (`condition.judge`), the worst first."""

    DEGRADED = "degraded"
    QUARANTINED = "quarantined"
    CRASHING = "crashing"
    FAILED = "failed"
    SILENT = "silent"
    NEVER_SEEN = "never_seen"
    LATE = "late"
    CHANGING = "changing"
    WELL = "well"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many devices of exactly this scope are alike."""

    scope: str
    condition: Condition
    liveness: Liveness
    count: int


@dataclass(frozen=True, slots=True)
class Invite:
    """A token that lets `uses` devices join below `scope`, each with these tags; its secret is kept by nobody."""

    id: InviteId
    scope: str
    tags: tuple[str, ...]
    link: LinkClass
    observe: bool
    uses: int
    used: int
    made_by: PersonId
    made_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One device, as the plane knows it. `status` are canonical bytes of `protocol.exchange.Status`, or empty."""

    id: DeviceId
    scope: str
    name: str
    tags: tuple[str, ...]
    trust: Trust
    trust_reason: str
    link: LinkClass
    interval: int
    key: str
    public: bytes
    machine: str
    generation: int
    pending: int
    certificate_ends_at: datetime
    invite: InviteId
    joined_at: datetime
    changed_at: datetime
    seen_at: datetime | None = None
    journal: str = ""
    known: int = 0
    told: int = 0
    capability: int = 1
    status: bytes = b""
    status_digest: str = ""
    state: State = State.IDLE
    attempt: str = ""
    active: str = ""
    epoch: int = 0
    counter: int = 0
    offset: int | None = None
    given: str = ""  # digest of the values that `active` runs with
    held: str = ""  # digest of the plane's tags that it knows of
    locked: bool = False  # a tag hangs at the device itself
    errands: str = ""  # ids of the errands it is to be ordered, in order, with spaces between
    crashing: int = 0  # services of what runs that crashed, and no day without one since


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a device is to run: attempt `attempt` at a release, by order of `by` (`rollout:<id>`)."""

    device: DeviceId
    attempt: AttemptId
    release: ReleaseId
    target: str
    by: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """The orders last signed for a device; `envelope` are their final bytes."""

    device: DeviceId
    attempt: str
    epoch: int
    counter: int
    envelope: bytes
    made_at: datetime
    ends_at: datetime
    held: str = ""  # digest of the tags that it tells of; empty if of none (`holds.NONE`: that none hang)
    errands: str = ""  # ids of the errands in them, in order, with spaces between


class Changes(TypedDict, total=False):
    """What a visit changes of the row of a device; as the fields of `Device` of the same names."""

    journal: str
    known: int
    told: int
    capability: int
    status: bytes
    status_digest: str
    state: State
    attempt: str
    active: str
    given: str
    held: str
    locked: bool
    crashing: int
    epoch: int
    counter: int
    offset: int | None
    seen_at: datetime


class Order(StrEnum):
    """How a list of devices is ordered."""

    NAME = "name"
    SILENT = "silent"  # those never seen first, then the longest silent
    CRASHING = "crashing"  # those with the most services that crash first


class Wanted(TypedDict, total=False):
    """Which devices a list holds. `now` is needed beside `liveness` and `conditions`, which are a matter of time."""

    scope: str
    tags: tuple[str, ...]  # all of them
    trust: Trust | None
    liveness: Liveness | None
    conditions: tuple[Condition, ...]  # one of them; none: any
    states: tuple[State, ...]  # of its attempt, one of them; none: any
    held: bool  # True: those that a tag hangs for, of the plane or of the device
    locked: bool  # True: those that a tag of their own hangs at
    retired: bool  # False leaves out those retired
    now: datetime | None
    text: str  # in the name or in a tag, or the whole id, or its last four characters or more


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt that was taken; `envelope` are its final bytes."""

    device: DeviceId
    digest: str
    scope: str
    attempt: str
    release: str
    outcome: State
    code: str
    reason: str
    envelope: bytes
    came_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a device's journal, as it came."""

    journal: str
    seq: int
    attempt: str
    state: State
    line: bytes
    came_at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock-out tag of the plane's: on one device, or on all below `scope`. `number` is of the permit to work.

    `name` is who hung it, as the tag shows; `made_by` who did so here. It is never changed, and lifted once.
    """

    id: HoldId
    scope: str
    device: DeviceId | None
    name: str
    reason: str
    number: str
    made_by: PersonId
    made_at: datetime
    lifted_by: PersonId | None = None
    lifted_at: datetime | None = None
    lifted_why: str = ""


@dataclass(frozen=True, slots=True)
class Hanging:
    """The tags of the plane's that hang now, the oldest first: by place, and by device."""

    places: Mapping[str, tuple[HoldId, ...]]
    devices: Mapping[str, tuple[HoldId, ...]]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.places or self.devices)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the plane must know of a device to answer it from memory. `orders` is what it has not accepted yet, if any.

    `wanted` is the attempt it is assigned to; `taken` the attempt it last reported. `hung` is the digest of the tags
    that it is to know of, `held` of those it last reported. `errands` are the ids of those it is to be ordered.
    """

    id: DeviceId
    trust: Trust
    key: str
    generation: int
    pending: int
    certificate_ends_at: datetime
    journal: str
    known: int
    status_digest: str
    wanted: str
    taken: str
    epoch: int
    counter: int
    interval: int
    errands: str = ""
    held: str = ""
    hung: str = ""  # the last: it is not a matter of the device's row
