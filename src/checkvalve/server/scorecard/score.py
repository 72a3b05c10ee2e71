# SPDX-License-Identifier: Apache-2.0
"""What answers come to. Exact: a score is a fraction, so that 11.96 is below 12 wherever somebody looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from checkvalve.server.scorecard.model import Said
from checkvalve.server.scorecard.standard import BandName, Bands, Scheme, Section, Standard


@dataclass(frozen=True, slots=True)
class SectionScore:
    """`score` is None while an answer is missing, or where too much does not apply (`too_many`)."""

    id: str
    score: Fraction | None
    band: BandName | None
    low: bool
    not_sure: int
    not_applicable: int
    missing: tuple[str, ...]
    too_many: bool


@dataclass(frozen=True, slots=True)
class Score:
    """`lowest` names the sections of the lowest score: no total stands without it. `total` is None if one has none."""

    total: Fraction | None
    band: BandName | None
    sections: tuple[SectionScore, ...]
    lowest: tuple[str, ...]
    not_sure: int
    internal_audit: bool
    missing: tuple[str, ...]


def of(standard: Standard, answers: Mapping[str, Said | None]) -> Score:
    """Return what `answers` (question id to what was said; absent or None: nothing yet) come to.

    Not Sure counts 0 points. What does not apply leaves the denominator, and the section is scaled to its maximum.
    """
    sections = tuple(_section(standard.scheme, section, answers) for section in standard.sections)
    scores = [each.score for each in sections if each.score is not None]
    whole = len(scores) == len(sections)
    total = sum(scores, Fraction(0)) if whole else None
    unsure = sum(each.not_sure for each in sections)
    return Score(
        total=total,
        band=None if total is None else band(total, standard.scheme.total_bands),
        sections=sections,
        lowest=tuple(each.id for each in sections if scores and each.score == min(scores)),
        not_sure=unsure,
        internal_audit=unsure >= standard.scheme.audit_at,
        missing=tuple(each for section in sections for each in section.missing),
    )


def band(value: Fraction, bands: Bands) -> BandName:
    """Return the band of a score; a lower bound is within its band."""
    if value >= bands.strong:
        return BandName.STRONG
    return BandName.DEVELOPING if value >= bands.developing else BandName.AT_RISK


def shown(value: Fraction | None) -> str:
    """Return a score as people read it, rounded down to a tenth: what is below 12 never reads 12. "" of None."""
    if value is None:
        return ""
    whole, tenth = divmod(int(value * 10), 10)
    return f"{whole}.{tenth}" if tenth else str(whole)


def _section(scheme: Scheme, section: Section, answers: Mapping[str, Said | None]) -> SectionScore:
    said = {question.id: answers.get(question.id) for question in section.questions}
    missing = tuple(ident for ident, each in said.items() if each is None)
    not_applicable = sum(each is Said.NOT_APPLICABLE for each in said.values())
    too_many = not_applicable > scheme.not_applicable_max
    score = None
    if not missing and not too_many:
        points = sum((each.points or 0) for each in said.values() if each is not None)
        most = scheme.points_max * (len(said) - not_applicable)
        score = Fraction(points * scheme.section_max, most)
    return SectionScore(
        id=section.id,
        score=score,
        band=None if score is None else band(score, scheme.section_bands),
        low=score is not None and score < scheme.low_below,
        not_sure=sum(each is Said.NOT_SURE for each in said.values()),
        not_applicable=not_applicable,
        missing=missing,
        too_many=too_many,
    )
