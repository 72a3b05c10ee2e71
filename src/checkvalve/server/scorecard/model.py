# SPDX-License-Identifier: Apache-2.0
"""Assessments as values: what was said, what was settled, what backs it, and what is planned."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TypedDict

from checkvalve.ids import AssessmentId, DecisionId, EvidenceId, GapId, PersonId, ReplyId

LARGEST = 32 << 20  # bytes of one file of evidence
LONGEST_TITLE = 120
LONGEST_TEXT = 2_000  # characters of a comment, a reason, a note
LONGEST_NAME = 200  # of a file
LONGEST_LINK = 2_000
MOST_EVIDENCE = 50  # of one question, those that were not removed


class State(StrEnum):
    """CLOSED: its result is kept and never changes. DROPPED: given up, with a reason; it counts nowhere."""

    OPEN = "open"
    CLOSED = "closed"
    DROPPED = "dropped"


class Said(StrEnum):
    """What somebody can say to a question."""

    NOTHING = "0"
    LITTLE = "1"
    PARTLY = "2"
    MOSTLY = "3"
    FULLY = "4"
    NOT_SURE = "not_sure"
    NOT_APPLICABLE = "not_applicable"

    @property
    def points(self) -> int | None:
        """Return 0 to 4; None of Not Sure and of not applicable."""
        return int(self.value) if self.value.isdigit() else None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment. `questions`, `scheme` and `guide` are digests (`sha256:…`) of what it is read by."""

    id: AssessmentId
    scope: str
    title: str
    state: State
    questions: str
    scheme: str
    guide: str
    opened_by: PersonId
    opened_at: datetime
    ended_by: PersonId | None = None
    ended_at: datetime | None = None
    why: str = ""
    result: bytes | None = None  # canonical JSON of `protocol.scorecard.Kept`


@dataclass(frozen=True, slots=True)
class Reply:
    """What one person said to one question; `said` None takes back what they said before."""

    id: ReplyId
    assessment: AssessmentId
    question: str
    person: PersonId
    said: Said | None
    reason: str  # why it does not apply
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What was settled for one question, where people said different things."""

    id: DecisionId
    assessment: AssessmentId
    question: str
    said: Said
    reason: str
    comment: str
    by: PersonId
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What backs an answer. Of a file (`link` is "") the plane keeps the bytes, of a link the digest it was told."""

    id: EvidenceId
    assessment: AssessmentId
    question: str
    name: str
    link: str
    digest: str
    size: int
    period_from: date | None
    period_to: date | None
    owner: str
    expires: date | None
    note: str
    added_by: PersonId
    added_at: datetime
    removed_by: PersonId | None = None
    removed_at: datetime | None = None
    removed_why: str = ""


class Work(StrEnum):
    """How far a gap is. DROPPED: it is not going to be closed, and the note says why."""

    OPEN = "open"
    DOING = "doing"
    DONE = "done"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of a place's gap plan: a step of the guide (`step`), or one of its own."""

    id: GapId
    scope: str
    section: str
    step: str
    text: str
    owner: str
    due: date | None
    state: Work
    note: str
    made_by: PersonId
    made_at: datetime
    changed_by: PersonId
    changed_at: datetime


class Wanted(TypedDict, total=False):
    """Which assessments a list holds."""

    scope: str  # exactly there
    states: tuple[State, ...]
