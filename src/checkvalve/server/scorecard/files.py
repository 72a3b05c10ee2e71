# SPDX-License-Identifier: Apache-2.0
"""The three files of a standard, as TOML has them. `reading` makes values of them; nothing else knows these shapes."""

from typing import Annotated

import msgspec

Grade = Annotated[int, msgspec.Meta(ge=1, le=3)]
Number = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Sections = Annotated[list["Section"], msgspec.Meta(min_length=1, max_length=20)]
Ident = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,40}\Z")]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`answers` has the keys 0 to 4."""

    id: Ident
    text: str
    why: str
    evidence: str
    answers: dict[str, str]
    metric: str
    checks: list[str]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[section]]` of questions.toml."""

    id: Ident
    title: str
    question: list[Question]


class Questions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """questions.toml."""

    id: Ident
    version: Ident
    section: Sections


class Points(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer is worth at most."""

    max: Number


class NotSure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many Not Sure ask for an internal audit."""

    audit_at: Number


class NotApplicable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of a section may not apply."""

    max_per_section: Number


class OfSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bands are lower bounds; `low` is below `low_below`."""

    max: Number
    low_below: Number
    strong: Number
    developing: Number


class OfTotal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bands are lower bounds."""

    max: Number
    strong: Number
    developing: Number


class Scheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """scheme.toml."""

    id: Ident
    version: Ident
    inferred: bool
    points: Points
    not_sure: NotSure
    not_applicable: NotApplicable
    section: OfSection
    total: OfTotal
    inferred_why: str = "The owner of this plane set these bands."


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`place` or `until` is there, or both."""

    id: Ident
    text: str
    guide: str
    closes: list[str]
    regulatory: Grade
    leverage: Grade
    place: str = ""
    until: str = ""


class Guidance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[section]]` of guide.toml."""

    id: Ident
    low: str
    at_risk: list[str]
    developing: list[str]
    good: list[str]
    step: list[Step]


class Guide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """guide.toml."""

    version: Ident
    reading: list[str]
    not_sure: str
    section: list[Guidance]
