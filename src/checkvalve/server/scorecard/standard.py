# SPDX-License-Identifier: Apache-2.0
"""What an assessment is read by, as values: questions, how answers become scores, and what scores mean.

`reading` makes them from files and has checked all that is said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from checkvalve.crypto import digests
from checkvalve.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `answers` has a sentence for each of 0 to 4 points; `checks` are ids of what will measure it."""

    id: str
    section: str
    text: str
    why: str
    evidence: str
    answers: Mapping[int, str]
    metric: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Questions that are scored together, in the order in which they are asked."""

    id: str
    title: str
    questions: tuple[Question, ...]


class BandName(StrEnum):
    """Where a score lies. Said with a word and a shape, never with a colour alone."""

    STRONG = "strong"
    DEVELOPING = "developing"
    AT_RISK = "at_risk"


@dataclass(frozen=True, slots=True)
class Bands:
    """Lower bounds, each within its band; at risk is from 0."""

    strong: int
    developing: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """How answers become scores. `inferred`: the bands are somebody's reading, and `inferred_why` says whose."""

    id: str
    version: str
    inferred: bool
    inferred_why: str
    points_max: int
    audit_at: int  # so many Not Sure
    section_max: int
    low_below: int
    section_bands: Bands
    total_max: int
    total_bands: Bands
    not_applicable_max: int  # of one section


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `place` is the page that does it, or "" where `until` says what to do by hand."""

    id: str
    text: str
    place: str
    guide: str
    until: str
    closes: tuple[str, ...]
    regulatory: int  # 1 to 3
    leverage: int  # 1 to 3


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a score of one section means; `steps` in the order in which they are done."""

    section: str
    low: str
    at_risk: tuple[str, ...]
    developing: tuple[str, ...]
    good: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Guide:
    """What scores mean, by section; `reading` says how to read it, `not_sure` what many Not Sure ask for."""

    version: str
    reading: tuple[str, ...]
    not_sure: str
    sections: Mapping[str, Guidance]


@dataclass(frozen=True, slots=True)
class Standard:
    """All three. `documents` are the bytes it was read from, by kind: questions, scheme, guide."""

    id: str
    version: str
    sections: tuple[Section, ...]
    scheme: Scheme
    guide: Guide
    documents: Mapping[str, bytes]

    @property
    def digests(self) -> Mapping[str, str]:
        """Return `sha256:…` of each document, by kind."""
        return {kind: f"sha256:{digests.sha256_hex(content)}" for kind, content in self.documents.items()}

    @property
    def questions(self) -> tuple[Question, ...]:
        """Return the questions of all sections, in the order in which they are asked."""
        return tuple(question for section in self.sections for question in section.questions)

    def question(self, question_id: str) -> Question:
        """Return one question; `NotFoundError` (`scorecard.question`)."""
        for question in self.questions:
            if question.id == question_id:
                return question
        raise NotFoundError("scorecard.question", "There is no such question.", "List the questions of the assessment.")
