# SPDX-License-Identifier: Apache-2.0
"""What a rollout is and how far it has come."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checkvalve import canonical
from checkvalve.errors import InvalidError
from checkvalve.ids import ApprovalId, PersonId, RolloutId
from checkvalve.protocol import rollout


class State(StrEnum):
    """draft -> proposed -> started; a draft or a proposed one may be cancelled instead."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    STARTED = "started"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to happen, as a person wrote it."""

    release: str  # `name@sha256:<64 hex digits>`; on its way into a draft also `name@version`
    selector: str  # which devices of the scope
    approvals: int  # people who must approve it: 0, 1 or 2
    change: str = ""  # change reference: the number of the MoC or work order
    note: str = ""

    @classmethod
    def read(cls, data: bytes) -> "Intent":
        """Return the intent whose bytes were kept; `InvalidError` (`canonical.form`, `rollout.intent`) for others."""
        match canonical.loads(data):
            case {
                "approvals": int(approvals),
                "change": str(change),
                "note": str(note),
                "release": str(release),
                "selector": str(selector),
                "v": 1,
            }:
                return cls(release, selector, approvals, change, note)
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

    @property
    def digest(self) -> str:
        """What people approve: SHA-256 in hex, see `protocol.rollout`."""
        return rollout.digest(self.id, self.scope, self.name, self.intent)

    @property
    def wanted(self) -> Intent:
        """The intent, read from its bytes."""
        return Intent.read(self.intent)


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
