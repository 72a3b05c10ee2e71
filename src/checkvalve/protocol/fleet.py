# SPDX-License-Identifier: Apache-2.0
"""Requests and answers about invites, devices, what they told and signed; the rules are those of `protocol.api`."""

from typing import Annotated, Literal

from msgspec import Meta

from checkvalve.protocol.api import Answer, Id, Name, Path, Request, Text, Time, Word
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State, Status

MOST_TAGS = 32
USUAL = 60  # minutes that an invite is good for
LONGEST = 7 * 24 * 60  # and at most: whoever finds its token later has nothing
MOST_USES = 1_000

Tags = Annotated[tuple[Word, ...], Meta(max_length=MOST_TAGS)]


class NewInvite(Request, frozen=True):
    """An invite for `uses` devices at a site or area, good for `minutes`. `observe`: they only report, and say so."""

    scope: Path
    tags: Tags = ()
    uses: Annotated[int, Meta(ge=1, le=MOST_USES)] = 1
    minutes: Annotated[int, Meta(ge=1, le=LONGEST)] = USUAL
    link: LinkClass = LinkClass.REMOTE
    observe: bool = False


class DeviceChange(Request, frozen=True):
    """What people say of a device; what is left out stays as it is."""

    name: Name | None = None
    tags: Tags | None = None
    scope: Path | None = None


class Reason(Request, frozen=True):
    """Why. It stands in the record, and where the device is shown."""

    reason: Text


class NewHold(Request, frozen=True):
    """A lock-out tag, at a place for all below it or on one device: one of the two is named.

    `name` is who hangs it, as the tag shows; left out, it is what the person is called. `number` is of the permit to
    work.
    """

    reason: Text
    scope: Path | None = None
    device: Id | None = None
    name: Word = ""
    number: Word = ""


class Lifting(Request, frozen=True):
    """Why a tag is lifted; may be empty for one's own."""

    reason: Text = ""


class Hold(Answer, frozen=True):
    """A lock-out tag of the plane's: at the place `scope`, or on `device`, which stands there.

    It hangs while `lifted_at` is empty. `made_by_name` and `lifted_by_name` are what those two people are called.
    """

    id: str
    scope: str
    device: str | None
    name: str
    reason: str
    number: str
    made_by: str
    made_at: Time
    lifted_by: str | None
    lifted_at: Time | None
    lifted_why: str
    made_by_name: str = ""
    lifted_by_name: str = ""


class Hung(Answer, frozen=True):
    """A tag that hangs for a device now. One that was hung at the device is lifted there and nowhere else.

    `where` is the place that it hangs at, a path; empty: on this device. `known` says whether the device has said that
    it knows of it: until then it may still switch. `at` is by the clock of who hung it.
    """

    id: str
    by: Literal["device", "plane"]
    where: str
    name: str
    reason: str
    number: str
    at: Time | None
    known: bool


class Invite(Answer, frozen=True):
    """What lets devices in, without its secret. `state` is what it is worth now."""

    id: str
    scope: str
    tags: list[str]
    link: LinkClass
    observe: bool
    uses: int
    used: int
    state: Literal["open", "used", "ended", "revoked"]
    made_by: str
    made_at: Time
    ends_at: Time
    revoked_at: Time | None


class IssuedInvite(Invite, frozen=True):
    """An invite with its secret, shown this once; `command` is the line to type on a device."""

    token: str
    command: str


class Device(Answer, kw_only=True, frozen=True):
    """A device as lists have it.

    `trust` is accepted, observe, quarantined or retired; `liveness` online, late, offline or never_seen. `state` is how
    far its attempt has come, `active` the digest (sha256:…) of the release that runs. `held` are the tags that hang for
    it, nothing is switched while one does; `window` is until when somebody at the device has opened its window.
    `condition` is the worst that is known of it, in one word; `crashing` how many of its services crash.
    """

    id: str
    scope: str
    name: str
    tags: list[str]
    trust: str
    trust_reason: str
    liveness: str
    link: LinkClass
    seen_at: Time | None
    state: State
    attempt: str
    active: str
    joined_at: Time
    held: list[Hung]
    window: Time | None
    condition: str = ""
    crashing: int = 0


class Assigned(Answer, frozen=True):
    """What a device is to run, and by whose order (`rollout:<id>`)."""

    attempt: str
    release: str  # the release's id
    target: str
    by: str
    made_at: Time


class WholeDevice(Device, frozen=True):
    """All that is known of one device. `key` is the fingerprint of `public` (PEM), which its receipts are signed with.

    `offset` is its clock minus the plane's, in ms, when they last spoke; `status` what it last said of itself.
    """

    interval: int  # seconds between two reports while it is idle
    key: str
    public: str
    machine: str
    generation: int
    certificate_ends_at: Time
    invite: str
    changed_at: Time
    offset: int | None
    assigned: Assigned | None
    status: Status | None


class DeviceEvent(Answer, frozen=True):
    """A line of a device's journal. `at` is by its own clock, None where that shows no date there is.

    `digest` is the SHA-256, in hex, of the line's bytes: what a receipt names as its head.
    """

    journal: str
    seq: int
    at: Time | None
    came_at: Time
    kind: str
    attempt: str
    state: State
    release: str
    code: str
    reason: str
    digest: str


class Receipt(Answer, frozen=True):
    """What a device signed about one attempt; its final bytes are `/api/v1/receipts/{digest}`."""

    digest: str
    device: str
    scope: str
    attempt: str
    release: str
    outcome: State
    code: str
    reason: str
    came_at: Time
