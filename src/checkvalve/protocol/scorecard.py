# SPDX-License-Identifier: Apache-2.0
"""Assessments as the API, the CLI and the pages' twins say them. Points and scores are numbers, states are words.

A score is shown rounded down to a tenth; `None` says there is none (nothing applies, or something is not answered yet).
"""

from datetime import date, datetime

import msgspec


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question as it is asked."""

    id: str
    section: str
    text: str
    why: str
    evidence: str
    answers: dict[str, str]  # "0" to "4"
    metric: str
    checks: list[str]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one section came to. `band`: strong, developing, at_risk, "" without a score."""

    id: str
    title: str
    score: float | None
    most: int
    band: str
    low: bool
    not_sure: int
    not_applicable: int
    missing: list[str]
    too_many_not_applicable: bool


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an assessment came to. `lowest` names the sections of the lowest score: it is never averaged away."""

    total: float | None
    most: int
    band: str
    sections: list[Section]
    lowest: list[str]
    not_sure: int
    internal_audit: bool
    missing: list[str]
    inferred: bool  # the bands are the project's reading


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question's answer as it counts. `standing`: unanswered, agreed, differ, decided. `measured` is None: no data.

    `claim`: declared_only, agree, contradicted, understated, blind, unproven, unanswered (docs/guide/scorecard.md).
    """

    question: str
    standing: str
    said: str | None
    reason: str
    measured: int | None
    claim: str
    claim_reason: str


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result as it is kept when an assessment is closed: final bytes, canonical JSON of this.

    `sites`: id path and name of the sites that were there. `declared`: totals of the declared estate, by kind.
    """

    declared: Score
    defensible: Score
    answers: list[Answer]
    sites: dict[str, str]
    estate: dict[str, int]
    managed: int


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one person said; `said` None: they took it back."""

    id: str
    question: str
    person: str
    name: str
    said: str | None
    reason: str
    comment: str
    at: datetime


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was settled, by whom and when. `counts`: nobody said something else since."""

    id: str
    question: str
    said: str
    reason: str
    comment: str
    by: str
    name: str
    at: datetime
    counts: bool


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What backs an answer. `state`: held, linked, expired, removed, damaged (its bytes are not what they were)."""

    id: str
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
    added_by: str
    added_at: datetime
    state: str
    removed_why: str = ""


class Assessment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One assessment in a list."""

    id: str
    scope: str
    where: str
    title: str
    state: str
    opened_by: str
    opened_at: datetime
    ended_at: datetime | None
    answered: int
    asked: int
    declared: Score | None  # of an open one: as it stands
    defensible: Score | None
    why: str = ""


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One assessment with all that was said."""

    assessment: Assessment
    questions: list[Asked]
    answers: list[Answer]
    replies: list[Reply]
    decisions: list[Decision]
    evidence: list[Evidence]


class New(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin an assessment of an organisation, a site or an area."""

    scope: str
    title: str = ""


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One's own answer: "0" to "4", not_sure, not_applicable (with a reason), or None to take it back."""

    said: str | None
    reason: str = ""
    comment: str = ""


class Settle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts where people said different things."""

    said: str
    reason: str = ""
    comment: str = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reason."""

    why: str


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that is kept elsewhere."""

    name: str
    link: str
    digest: str
    owner: str
    period_from: date | None = None
    period_to: date | None = None
    expires: date | None = None
    note: str = ""


class Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a gap plan. `overdue`: it is due and not ended."""

    id: str
    scope: str
    where: str
    section: str
    step: str
    text: str
    owner: str
    due: date | None
    state: str
    note: str
    overdue: bool
    changed_by: str
    changed_at: datetime


class NewGap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of the guide (`step`) or one's own (`section` and `text`)."""

    scope: str
    step: str = ""
    section: str = ""
    text: str = ""
    owner: str = ""
    due: date | None = None


class GapChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different; None stays as it is. `no_due` takes the date away."""

    owner: str | None = None
    due: date | None = None
    no_due: bool = False
    state: str | None = None
    note: str | None = None


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question or section in two assessments; None: it was not in that one."""

    id: str
    title: str
    before: str | None
    after: str | None
    change: float | None
    reworded: bool = False


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two assessments beside each other.

    `rescored`: the earlier answers under the later scheme, where the scheme changed; None where that cannot be.
    `notes`: sentences that say why the two are not quite alike: other scheme, other questions, sites that came or went.
    """

    before: Assessment
    after: Assessment
    sections: list[Line]
    questions: list[Line]
    rescored: Score | None
    notes: list[str]
