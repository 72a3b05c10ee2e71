# SPDX-License-Identifier: Apache-2.0
"""What a rollout is, on which devices, and how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from checkvalve import canonical
from checkvalve.errors import InvalidError
from checkvalve.ids import ApprovalId, AttemptId, DeviceId, PersonId, ReleaseId, RolloutId
from checkvalve.protocol import rollout
from checkvalve.server.fleet.model import Device
from checkvalve.server.values.model import Lack


class State(StrEnum):
    """draft -> proposed -> started <-> paused -> done.

    Whatever has not ended may be cancelled, which leaves the devices as they are; what was started may be undone.
    """

    DRAFT = "draft"
    PROPOSED = "proposed"
    STARTED = "started"
    PAUSED = "paused"
    DONE = "done"
    UNDONE = "undone"
    CANCELLED = "cancelled"


LIVE = frozenset({State.STARTED, State.PAUSED})
"""Its devices are taken: no other rollout may have them before they have ended."""


class Outcome(StrEnum):
    """How it ended on one device; OPEN: not yet. DEGRADED may still become what a receipt says, no other changes."""

    OPEN = ""
    COMMITTED = "committed"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    DEGRADED = "degraded"


FAILED = frozenset({Outcome.REFUSED, Outcome.ROLLED_BACK, Outcome.DEGRADED})


@dataclass(frozen=True, slots=True)
class Plan:
    """Who goes when: the canary wave first, then the rest in waves of at most `step` devices, or at once (0)."""

    canary: int = 1  # devices of the first wave; 0: none goes first
    step: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to happen, as a person wrote it."""

    release: str  # `name@sha256:<64 hex digits>`; on its way into a draft also `name@version`
    selector: str  # which devices of the scope
    approvals: int  # people who must approve it: 0, 1 or 2
    change: str = ""  # change reference: the number of the MoC or work order
    note: str = ""
    plan: Plan = field(default=Plan())

    @classmethod
    def read(cls, data: bytes) -> "Intent":
        """Return the intent whose bytes were kept; `InvalidError` (`canonical.form`, `rollout.intent`) for others.

        Version 1 had no plan, and goes by the usual one.
        """
        match canonical.loads(data):
            case {
                "approvals": int(approvals),
                "change": str(change),
                "note": str(note),
                "release": str(release),
                "selector": str(selector),
                "v": 1 | 2,
                **rest,
            }:
                return cls(release, selector, approvals, change, note, _plan(rest))
            case _:
                raise InvalidError(
                    "rollout.intent", "These bytes are no intent of a rollout.", "Draft the rollout anew."
                )


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout; `intent` are the final bytes that the approval's digest covers."""

    id: RolloutId
    scope: str
    name: str
    intent: bytes
    state: State
    approval: ApprovalId | None
    made_by: PersonId
    made_at: datetime
    changed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    wave: int = -1  # the newest that is open; the canary's is 0 where there is one
    waves: int = 0  # how many there are, once it has started
    code: str = ""  # why it is paused
    reason: str = ""
    undoes: RolloutId | None = None  # what this one takes back
    undone_by: RolloutId | None = None

    @property
    def digest(self) -> str:
        """What people approve: SHA-256 in hex, see `protocol.rollout`."""
        return rollout.digest(self.id, self.scope, self.name, self.intent)

    @property
    def wanted(self) -> Intent:
        """The intent, read from its bytes."""
        return Intent.read(self.intent)


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a started rollout. It is to take `target`, and ran `before` (a digest, or empty) at the start.

    The binding was fixed at the start, as the members were: a value that somebody changes later is another rollout.

    `left`: a person went on without it after it failed, and the judge counts it no more.
    """

    rollout: RolloutId
    device: DeviceId
    wave: int
    attempt: AttemptId
    release: ReleaseId
    target: str
    before: str
    outcome: Outcome = Outcome.OPEN
    code: str = ""
    reason: str = ""
    ended_at: datetime | None = None
    left: bool = False
    binding: str = ""  # what fills the release: JSON, `kind/name` -> entry, or `sha256:…` of a document given before
    given_before: str = ""  # digest of the values that `before` ran with


@dataclass(frozen=True, slots=True)
class Seat:
    """A member beside the device itself, as it is now; `ordered` if orders were signed for this attempt of it."""

    member: Member
    device: Device
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """A device that the selector means and that is not taken, and why."""

    device: Device
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filling:
    """What fills the release on one device: `binding` as a member keeps it, and `lacks` what it cannot do without.

    `same`: what runs there was filled in the same way. `old`: its agent is too old to read such a release.
    """

    binding: str = ""
    lacks: tuple[Lack, ...] = ()
    same: bool = True
    old: bool = False


PLAIN = Filling()


@dataclass(frozen=True, slots=True)
class Planned:
    """Who would go when if it were started now, who is passed over, and what fills the release on each."""

    waves: tuple[tuple[Device, ...], ...]
    passed: tuple[Passed, ...]
    fillings: Mapping[DeviceId, Filling] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many devices would go."""
        return sum(len(wave) for wave in self.waves)

    @property
    def short(self) -> list[tuple[Device, Filling]]:
        """Return those that would go and cannot: something is lacking there."""
        found = ((device, self.fillings.get(device.id, PLAIN)) for wave in self.waves for device in wave)
        return [(device, filling) for device, filling in found if filling.lacks or filling.old]


@dataclass(frozen=True, slots=True)
class Lane:
    """How many devices of one wave are how far.

    `committed + failed + left + going + silent == total`; `silent` have not ended and are not heard. Of those `left`
    behind, `gone` were retired before they ended.
    """

    wave: int
    total: int
    committed: int = 0
    failed: int = 0
    left: int = 0
    going: int = 0
    silent: int = 0
    steps: tuple[tuple[str, int], ...] = ()  # of those going that have taken the order up: the device's word, how many
    gone: int = 0


@dataclass(frozen=True, slots=True)
class GoOn:
    """The next wave may open: this one."""

    wave: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing to do yet, and what it waits for."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """It has to be paused, for a person to decide."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every device has ended."""

    reason: str


Ruling = GoOn | Hold | Halt | Done


@dataclass(frozen=True, slots=True)
class Go:
    """It may start, approved by these people."""

    by: tuple[PersonId, ...]


@dataclass(frozen=True, slots=True)
class No:
    """It may not start: a stable code, what is in the way, and what to do next."""

    code: str
    sentence: str
    remedy: str


Verdict = Go | No


def _plan(rest: object) -> Plan:
    match rest:
        case {"plan": {"canary": int(canary), "step": int(step)}}:
            return Plan(canary, step)
        case _:
            return Plan()
