# SPDX-License-Identifier: Apache-2.0
"""Suppliers, documents and agreements as values."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from checkvalve.ids import AgreementId, ApprovalId, DocumentId, PersonId, SupplierId
from checkvalve.protocol import suppliers as protocol

LONGEST_NAME = 200
LONGEST_LINE = 1_000
LONGEST_TEXT = 40_000  # characters of a document


class Kind(StrEnum):
    """What is asked of suppliers: a clause in the contract, or answers to questions."""

    CLAUSE = "clause"
    QUESTIONNAIRE = "questionnaire"


class State(StrEnum):
    """Where a document stands. READY: approved by another person, and not in force yet. SUPERSEDED: a later one is."""

    DRAFT = "draft"
    ASKED = "asked"
    READY = "ready"
    APPROVED = "approved"
    SUPERSEDED = "superseded"


class Said(StrEnum):
    """What came of a document at a supplier. SENT: nothing yet."""

    SENT = "sent"
    ANSWERED = "answered"
    AGREED = "agreed"
    REFUSED = "refused"


class Stage(StrEnum):
    """How far sovereignty is a condition of buying."""

    NONE = "none"
    DRAFT = "draft"
    APPROVED = "approved"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document of an organisation. `digest` is SHA-256 (64 hex digits) of what is approved."""

    id: DocumentId
    scope: str
    kind: Kind
    version: int
    title: str
    text: str
    digest: str
    approval: ApprovalId | None
    made_by: PersonId
    made_at: datetime
    changed_by: PersonId
    changed_at: datetime
    approved_at: datetime | None = None

    @property
    def contents(self) -> str:
        """SHA-256 (64 hex digits) of what the row says now; an approval counts only for what was asked."""
        return protocol.digest(self.kind.value, self.version, self.title, self.text)


@dataclass(frozen=True, slots=True)
class Supplier:
    """Whom an organisation buys from. `support_end`: the last day on which what they supplied is looked after."""

    id: SupplierId
    scope: str
    name: str
    contact: str
    supplies: str
    support_end: date | None
    made_by: PersonId
    made_at: datetime
    changed_by: PersonId
    changed_at: datetime
    ended_at: datetime | None = None
    ended_why: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a supplier said to a document; the newest of the two counts."""

    id: AgreementId
    supplier: SupplierId
    document: DocumentId
    said: Said
    note: str
    by: PersonId
    at: datetime


@dataclass(frozen=True, slots=True)
class Sovereignty:
    """How far it is a condition of buying here, and why that is said."""

    stage: Stage
    reason: str
