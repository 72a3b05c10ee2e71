# SPDX-License-Identifier: Apache-2.0
"""The result of an assessment as it is kept when it is closed: bytes that are written once and read for years.

They hold what was shown then, so that no later code, scheme or site says otherwise. Names in them are sorted, and a
score is a number of at most one digit after the point.
"""

from collections.abc import Mapping

import msgspec

from checkvalve.protocol import scorecard as said
from checkvalve.server.scorecard import score
from checkvalve.server.scorecard.score import Score
from checkvalve.server.scorecard.standard import Scheme, Standard

_encoder = msgspec.json.Encoder(order="sorted")


def dump(kept: said.Kept) -> bytes:
    """Return the bytes that are kept."""
    return _encoder.encode(kept)


def load(content: bytes) -> said.Kept:
    """Return what the bytes say; those of a later version of the program too, as far as this one knows it."""
    return msgspec.json.decode(content, type=said.Kept)


def shown(standard: Standard, found: Score) -> said.Score:
    """Return a score as people are shown it."""
    titles = {section.id: section.title for section in standard.sections}
    return said.Score(
        total=number(found),
        most=standard.scheme.total_max,
        band=found.band.value if found.band else "",
        sections=[_section(standard.scheme, titles, each) for each in found.sections],
        lowest=list(found.lowest),
        not_sure=found.not_sure,
        internal_audit=found.internal_audit,
        missing=list(found.missing),
        inferred=standard.scheme.inferred,
    )


def number(found: Score | score.SectionScore) -> float | None:
    """Return a score as a number, rounded down to a tenth."""
    value = found.total if isinstance(found, Score) else found.score
    return None if value is None else float(score.shown(value))


def _section(scheme: Scheme, titles: Mapping[str, str], each: score.SectionScore) -> said.Section:
    return said.Section(
        id=each.id,
        title=titles[each.id],
        score=number(each),
        most=scheme.section_max,
        band=each.band.value if each.band else "",
        low=each.low,
        not_sure=each.not_sure,
        not_applicable=each.not_applicable,
        missing=list(each.missing),
        too_many_not_applicable=each.too_many,
    )
