# SPDX-License-Identifier: Apache-2.0
"""The three files of a standard, as TOML has them. `reading` makes values of them; nothing else knows these shapes."""

from typing import Annotated

import msgspec

Grade = Annotated[int, msgspec.Meta(ge=1, le=3)]
Number = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Sections = Annotated[list["Section"], msgspec.Meta(min_length=1, max_length=20)]
Ident = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,40}\Z")]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Ident
    text: str
    why: str
    evidence: str
    answers: dict[str, str]
    metric: str
    checks: list[str]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Ident
    title: str
    question: list[Question]


class Questions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Ident
    version: Ident
    section: Sections


class Points(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max: Number


class NotSure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audit_at: Number


class NotApplicable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max_per_section: Number


class OfSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max: Number
    low_below: Number
    strong: Number
    developing: Number


class OfTotal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max: Number
    strong: Number
    developing: Number


class Scheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
    id: Ident
    text: str
    guide: str
    closes: list[str]
    regulatory: Grade
    leverage: Grade
    place: str = ""
    until: str = ""


class Guidance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Ident
    low: str
    at_risk: list[str]
    developing: list[str]
    good: list[str]
    step: list[Step]


class Guide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Ident
    reading: list[str]
    not_sure: str
    section: list[Guidance]
