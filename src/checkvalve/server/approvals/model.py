# SPDX-License-Identifier: Apache-2.0
"""What is asked for, who said what, and where that stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checkvalve.ids import ApprovalId, PersonId


class Choice(StrEnum):
    """What a voter says."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval of one thing, named by the digest of exactly that thing."""

    id: ApprovalId
    scope: str  # where a voter must hold `approval.vote`
    subject: str  # `rollout:<id>`
    sentence: str  # what happens if it is approved, for the person who votes
    digest: str  # SHA-256, 64 hex digits
    needed: int  # people, the requester not among them
    requester: PersonId
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word on one approval; a later one replaces it while the approval is open."""

    approval: ApprovalId
    person: PersonId
    choice: Choice
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Open, and not enough people have approved."""

    have: int
    needed: int


@dataclass(frozen=True, slots=True)
class Approved:
    """Open, and enough people have approved: all of them, in the order in which they did."""

    by: tuple[PersonId, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Ended by a person's no."""

    by: PersonId
    note: str


@dataclass(frozen=True, slots=True)
class Expired:
    """Ended by time, at its last moment."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Used:
    """Ended by the act it was given for."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Ended by those who asked."""

    at: datetime


Standing = Waiting | Approved | Rejected | Expired | Used | Withdrawn
