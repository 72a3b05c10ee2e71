# SPDX-License-Identifier: Apache-2.0
"""Assessments as the API, the CLI and the pages' twins say them. Points and scores are numbers, states are words.

A score is shown rounded down to a tenth; `None` says there is none (nothing applies, or something is not answered yet).
"""

from datetime import date

from checkvalve.protocol import api
from checkvalve.protocol.api import Id, Path, Text, Time, Word


class Asked(api.Answer, frozen=True):
    """One question as it is asked."""

    id: str
    section: str
    text: str
    why: str
    evidence: str
    answers: dict[str, str]  # "0" to "4"
    metric: str
    checks: list[str]


class Section(api.Answer, frozen=True):
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


class Score(api.Answer, frozen=True):
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


class Answer(api.Answer, frozen=True):
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


class Kept(api.Answer, frozen=True):
    """The result as it is kept when an assessment is closed: final bytes, canonical JSON of this.

    `sites`: id path and name of the sites that were there. `declared`: totals of the declared estate, by kind.
    """

    declared: Score
    defensible: Score
    answers: list[Answer]
    sites: dict[str, str]
    estate: dict[str, int]
    managed: int


class Reply(api.Answer, frozen=True):
    """What one person said; `said` None: they took it back."""

    id: str
    question: str
    person: str
    name: str
    said: str | None
    reason: str
    comment: str
    at: Time


class Decision(api.Answer, frozen=True):
    """What was settled, by whom and when. `counts`: nobody said something else since."""

    id: str
    question: str
    said: str
    reason: str
    comment: str
    by: str
    name: str
    at: Time
    counts: bool


class Evidence(api.Answer, frozen=True):
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
    added_at: Time
    state: str
    removed_why: str = ""


class Assessment(api.Answer, frozen=True):
    """One assessment in a list."""

    id: str
    scope: str
    where: str
    title: str
    state: str
    opened_by: str
    opened_at: Time
    ended_at: Time | None
    answered: int
    asked: int
    declared: Score | None  # of an open one: as it stands
    defensible: Score | None
    why: str = ""


class Step(api.Answer, frozen=True):
    """One thing to do. `place` is the page that does it, or "" where `until` says what to do by hand."""

    id: str
    text: str
    place: str
    guide: str
    until: str
    closes: list[str]
    regulatory: int  # 1 to 3: how much of what laws ask
    leverage: int  # 1 to 3: how much daily work


class Guidance(api.Answer, frozen=True):
    """What a score of one section means; `steps` close its gaps, in the order in which they are done."""

    section: str
    low: str
    at_risk: list[str]
    developing: list[str]
    good: list[str]
    steps: list[Step]


class Whole(api.Answer, frozen=True):
    """One assessment with all that was said. `banner` asks for an internal audit, "" where there is no need of one."""

    assessment: Assessment
    banner: str
    guide: list[Guidance]
    questions: list[Asked]
    answers: list[Answer]
    replies: list[Reply]
    decisions: list[Decision]
    evidence: list[Evidence]


class New(api.Request, frozen=True):
    """Begin an assessment of an organisation, a site or an area."""

    scope: Path
    title: Text = ""


class Say(api.Request, frozen=True):
    """One's own answer: "0" to "4", not_sure, not_applicable (with a reason), or None to take it back."""

    question: Id
    said: Word | None
    reason: Text = ""
    comment: Text = ""


class Settle(api.Request, frozen=True):
    """What counts where people said different things."""

    question: Id
    said: Word
    reason: Text = ""
    comment: Text = ""


class Why(api.Request, frozen=True):
    """A reason."""

    why: Text


class Link(api.Request, frozen=True):
    """Evidence that is kept elsewhere."""

    question: Id
    name: Text
    link: Text
    digest: Word
    owner: Text
    period_from: date | None = None
    period_to: date | None = None
    expires: date | None = None
    note: Text = ""


class Gap(api.Answer, frozen=True):
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
    changed_at: Time


class NewGap(api.Request, frozen=True):
    """A step of the guide (`step`) or one's own (`section` and `text`)."""

    scope: Path
    step: Word = ""
    section: Word = ""
    text: Text = ""
    owner: Text = ""
    due: date | None = None


class GapChange(api.Request, frozen=True):
    """What is to be different; None stays as it is. `no_due` takes the date away."""

    owner: Text | None = None
    due: date | None = None
    no_due: bool = False
    state: Word | None = None
    note: Text | None = None


class Line(api.Answer, frozen=True):
    """One question or section in two assessments; None: it was not in that one."""

    id: str
    title: str
    before: str | None
    after: str | None
    change: float | None
    reworded: bool = False


class Comparison(api.Answer, frozen=True):
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
