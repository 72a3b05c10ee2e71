# SPDX-License-Identifier: Apache-2.0
"""Requests and answers about rollouts, and what an approval of one is an approval of; the rules are `protocol.api`'s.

The plane and whoever votes make the digest apart from each other: so that a plane which shows one thing and counts
another is found out, a client votes with the digest it made of what it showed.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.crypto import digests
from checkvalve.protocol.api import Answer, Name, Path, Request, Text, Time, Word

INTENT_VERSION = 2  # 1 had no plan
INTENT_FIELDS = frozenset({"approvals", "change", "note", "plan", "release", "selector", "v"})
PLAN_FIELDS = frozenset({"canary", "step"})
DIGEST_VERSION = 1


def digest(rollout: str, scope: str, name: str, intent: bytes) -> str:
    """Return the SHA-256, in hex, of what is approved: this intent, as this rollout, under this name, in this scope."""
    what: dict[str, Json] = {
        "intent": digests.sha256_hex(intent),
        "name": name,
        "rollout": rollout,
        "scope": scope,
        "v": DIGEST_VERSION,
    }
    return digests.sha256_hex(canonical.dumps(what))


def said(canary: int, step: int) -> str:
    """Return a plan as the end of a sentence: who goes first, and how the rest follows."""
    rest = f"the rest in waves of {step}" if step else "the rest at once"
    if not canary:
        return f"all in waves of {step}" if step else "all at once"
    return f"{canary} {'device' if canary == 1 else 'devices'} first, then {rest}"


class NewRollout(Request, frozen=True):
    """What to bring where."""

    scope: Path
    name: Name
    release: Text
    selector: Text
    approvals: Annotated[int, Meta(ge=0, le=2)] = 1
    change: Word = ""
    note: Text = ""
    canary: Annotated[int, Meta(ge=0, le=5, description="Devices of the first wave.")] = 1
    step: Annotated[int, Meta(ge=0, le=10_000, description="Devices of each further wave; 0: the rest at once.")] = 0


class Because(Request, frozen=True):
    """Why, in a line; it may be left out."""

    reason: Text = ""


class Rollout(Answer, frozen=True):
    """An intent and its state."""

    id: str
    scope: str
    name: str
    state: str
    intent: dict[str, Any]
    digest: str
    approval: str | None
    made_by: str
    made_at: Time
    changed_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None
    wave: int = -1  # the newest that is open, from 0
    waves: int = 0
    code: str = ""  # why it is paused, as a stable code
    reason: str = ""  # why it is paused, or how it ended
    undoes: str | None = None
    undone_by: str | None = None
    made_by_name: str = ""  # what that person is called


class RolloutWave(Answer, frozen=True):
    """How many devices of a wave are how far; the five counts add up to `total`."""

    wave: int
    name: str
    open: bool
    total: int
    committed: int
    failed: int
    left: int
    going: int
    silent: int
    steps: dict[str, int]  # of those going that have begun: by the state of their attempt


class RolloutProgress(Answer, frozen=True):
    """How far a started rollout is, and what it waits for. `next` is hold, go_on, halt or done; empty if it stands."""

    rollout: Rollout
    next: str
    reason: str
    devices: int
    waves: list[RolloutWave]


class RolloutDevice(Answer, frozen=True):
    """One device of a started rollout; `state` is its outcome, how far its attempt is, or waiting or ordered."""

    device: str
    name: str
    scope: str
    wave: int
    attempt: str
    release: str
    before: str
    state: str
    outcome: str
    code: str
    reason: str
    left: bool
    ended_at: Time | None
    seen_at: Time | None


class PlannedDevice(Answer, frozen=True):
    """A device that would go."""

    device: str
    name: str
    scope: str


class PassedDevice(Answer, frozen=True):
    """A device that the selector means and that would not go, and why."""

    device: str
    name: str
    scope: str
    code: str
    reason: str


class Obstacle(Answer, frozen=True):
    """What is in the way."""

    code: str
    sentence: str
    remedy: str


class LackingDevice(Answer, frozen=True):
    """A device that the release cannot be filled on, and what is lacking there, as sentences."""

    device: str
    name: str
    scope: str
    lacks: list[str]


class RolloutPlan(Answer, frozen=True):
    """Who would go when if it were started now, who is passed over, and what is in the way, if something is.

    `lacking` are devices that would go and have no values; `exclusive` says, in sentences, what cannot be there twice:
    the old containers stop before the new ones are made; `copies` says what is copied at the switch, and for how long
    that stops what uses it.
    """

    rollout: Rollout
    waves: list[list[PlannedDevice]]
    passed: list[PassedDevice]
    obstacle: Obstacle | None
    lacking: list[LackingDevice] = msgspec.field(default_factory=list)
    exclusive: list[str] = msgspec.field(default_factory=list)
    copies: list[str] = msgspec.field(default_factory=list)


class ReturningDevice(Answer, frozen=True):
    """A device that would go back to `release` (its id), which people call `to` (name@version)."""

    device: str
    name: str
    scope: str
    release: str
    to: str


class RolloutWayBack(Answer, frozen=True):
    """What undoing it now would do: who goes back to what, who cannot and why, and who stays as it is anyway."""

    rollout: Rollout
    going: list[ReturningDevice]
    staying: list[PassedDevice]
    untouched: list[PlannedDevice]
    obstacle: Obstacle | None
