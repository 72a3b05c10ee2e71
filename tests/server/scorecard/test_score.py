# SPDX-License-Identifier: Apache-2.0
"""What answers come to, with cases computed by hand and the laws that hold for all of them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.server.scorecard import score
from checkvalve.server.scorecard.model import Said
from checkvalve.server.scorecard.shipped import shipped
from checkvalve.server.scorecard.standard import BandName
from tests.server.scorecard.papers import SECTIONS, answers

STRONG, DEVELOPING, AT_RISK = BandName.STRONG, BandName.DEVELOPING, BandName.AT_RISK
RANKS = [AT_RISK, DEVELOPING, STRONG]
QUESTIONS = [question.id for question in shipped().questions]

ONE_SECTION = [
    # signs, points of 20, band, low
    ("44444", Fraction(20), STRONG, False),
    ("44440", Fraction(16), STRONG, False),
    ("44430", Fraction(15), DEVELOPING, False),
    ("44400", Fraction(12), DEVELOPING, False),
    ("44300", Fraction(11), DEVELOPING, True),
    ("44000", Fraction(8), DEVELOPING, True),
    ("43000", Fraction(7), AT_RISK, True),
    ("00000", Fraction(0), AT_RISK, True),
    ("?????", Fraction(0), AT_RISK, True),
    ("4444?", Fraction(16), STRONG, False),
    ("443xx", Fraction(11 * 20, 12), STRONG, False),  # 18 1/3 of 20
    ("4400x", Fraction(10), DEVELOPING, True),  # 8 of 16
    ("3333x", Fraction(15), DEVELOPING, False),  # 12 of 16
    ("421xx", Fraction(35, 3), DEVELOPING, True),  # 7 of 12 is 11 2/3
    ("000xx", Fraction(0), AT_RISK, True),
    ("???xx", Fraction(0), AT_RISK, True),
]


@pytest.mark.parametrize(("signs", "points", "band", "low"), ONE_SECTION, ids=[case[0] for case in ONE_SECTION])
def test_a_section_comes_to_what_was_computed_by_hand(
    signs: str, points: Fraction, band: BandName, *, low: bool
) -> None:
    section = score.of(shipped(), answers(PM=signs)).sections[0]
    assert (section.score, section.band, section.low) == (points, band, low)


TOTALS = [
    # PM AA AI RE OR, total, band, lowest
    ("44444 44444 44444 44444 44444", 100, STRONG, SECTIONS),
    ("44440 44440 44440 44440 44440", 80, STRONG, SECTIONS),
    ("44430 44440 44440 44440 44440", 79, DEVELOPING, ("PM",)),
    ("44000 44000 44000 44000 44000", 40, DEVELOPING, SECTIONS),
    ("43000 44000 44000 44000 44000", 39, AT_RISK, ("PM",)),
    ("44444 44444 44444 44444 00000", 80, STRONG, ("OR",)),
    ("44444 00000 44444 00000 44444", 60, DEVELOPING, ("AA", "RE")),
    ("????? ????? ????? ????? ?????", 0, AT_RISK, SECTIONS),
]


@pytest.mark.parametrize(("signs", "total", "band", "lowest"), TOTALS, ids=[case[0] for case in TOTALS])
def test_a_total_never_stands_without_its_lowest_sections(
    signs: str, total: int, band: BandName, lowest: tuple[str, ...]
) -> None:
    found = score.of(shipped(), answers(**dict(zip(SECTIONS, signs.split(), strict=True))))
    assert (found.total, found.band, found.lowest) == (Fraction(total), band, lowest)


def test_a_missing_answer_leaves_its_section_and_the_total_without_a_score() -> None:
    found = score.of(shipped(), answers(AA="444-4", RE="44400"))
    assert (found.total, found.band, found.missing, found.lowest) == (None, None, ("AA4",), ("RE",))
    assert found.sections[1].score is None
    assert not found.sections[1].low


def test_no_answers_at_all_are_no_score() -> None:
    found = score.of(shipped(), {})
    assert (found.total, found.lowest, len(found.missing), found.internal_audit) == (None, (), 25, False)


def test_more_than_two_that_do_not_apply_leave_a_section_without_a_score() -> None:
    found = score.of(shipped(), answers(OR="44xxx"))
    assert found.total is None
    assert found.sections[4].too_many
    assert found.sections[4].score is None
    assert not found.missing


@pytest.mark.parametrize(("unsure", "audit"), [(4, False), (5, True), (6, True)])
def test_five_not_sure_ask_for_an_internal_audit_whatever_the_score(unsure: int, *, audit: bool) -> None:
    said = dict(answers())
    for question in QUESTIONS[:: 25 // unsure][:unsure]:
        said[question] = Said.NOT_SURE
    found = score.of(shipped(), said)
    assert found.total == 100 - 4 * unsure
    assert (found.not_sure, found.internal_audit) == (unsure, audit)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (Fraction(0), "0"),
        (Fraction(1196, 100), "11.9"),
        (Fraction(12), "12"),
        (Fraction(1999999, 100000), "19.9"),
        (Fraction(35, 3), "11.6"),
    ],
)
def test_a_score_is_shown_rounded_down(value: Fraction | None, text: str) -> None:
    assert score.shown(value) == text


said = st.sampled_from([None, *Said])
sheets = st.fixed_dictionaries(dict.fromkeys(QUESTIONS, said))
worth = st.sampled_from([Said.NOT_SURE, *(Said(str(points)) for points in range(5))])


@given(sheets, st.sampled_from(QUESTIONS), worth, worth)
def test_answering_better_never_lowers_a_score(
    sheet: dict[str, Said | None], question: str, one: Said, other: Said
) -> None:
    worse, better = sorted((one, other), key=lambda each: each.points or 0)
    before, after = (score.of(shipped(), sheet | {question: each}) for each in (worse, better))
    assert _rank(before.band) <= _rank(after.band)
    for low, high in zip(before.sections, after.sections, strict=True):
        assert _rank(low.band) <= _rank(high.band)
        assert (low.score or 0) <= (high.score or 0)
        assert low.low or not high.low
    assert (before.total or 0) <= (after.total or 0)


def _rank(band: BandName | None) -> int:
    return -1 if band is None else RANKS.index(band)


@given(sheets)
def test_scores_stay_within_their_range_and_say_what_is_missing(sheet: dict[str, Said | None]) -> None:
    found = score.of(shipped(), sheet)
    assert set(found.missing) == {question for question, each in sheet.items() if each is None}
    assert (found.total is None) == any(section.score is None for section in found.sections)
    for section in found.sections:
        assert section.score is None or 0 <= section.score <= 20
        assert (section.score is None) == bool(section.missing or section.too_many)
    scores = {section.score for section in found.sections if section.score is not None}
    assert {section.score for section in found.sections if section.id in found.lowest} == (
        {min(scores)} if scores else set()
    )
