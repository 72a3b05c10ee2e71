# SPDX-License-Identifier: Apache-2.0
"""Two assessments side by side, also where scheme, questions or sites are not what they were."""

from fractions import Fraction

from checkvalve.server.scorecard import score
from checkvalve.server.scorecard.compare import Sheet, compare
from checkvalve.server.scorecard.model import Said
from checkvalve.server.scorecard.shipped import read_with, shipped
from checkvalve.server.scorecard.standard import BandName, Standard
from tests.server.scorecard.papers import answers, document, standard

VISBY = {"/o/visby/": "Visby"}
KALMAR = {"/o/kalmar/": "Kalmar"}


def sheet(read_by: Standard | None = None, sites: dict[str, str] | None = None, **signs: str) -> Sheet:
    by, said = read_by or shipped(), answers(**signs)
    return Sheet(by, said, score.of(by, said), sites if sites is not None else VISBY)


def test_what_changed_is_said_per_section_and_question() -> None:
    found = compare(sheet(PM="44000"), sheet(PM="44300"))
    assert found.sections[0].change == Fraction(3)
    assert [each.change for each in found.sections[1:]] == [Fraction(0)] * 4
    changed = [(each.id, each.before, each.after) for each in found.questions if each.before is not each.after]
    assert changed == [("PM3", Said.NOTHING, Said.MOSTLY)]
    assert (found.rescored, found.notes) == (None, ())


def test_without_a_score_on_one_side_there_is_no_change() -> None:
    found = compare(sheet(PM="4400-"), sheet(PM="44000"))
    assert (found.sections[0].before, found.sections[0].after, found.sections[0].change) == (None, Fraction(8), None)


def test_another_scheme_scores_the_earlier_answers_again() -> None:
    strict = read_with(document("scheme", ('version = "1"', 'version = "2"'), ("strong = 80", "strong = 90")))
    before = sheet(PM="44440", AA="44440", AI="44440", RE="44440", OR="44440")
    found = compare(before, sheet(strict))
    assert before.score.band is BandName.STRONG
    assert found.rescored is not None
    assert found.rescored.band is BandName.DEVELOPING
    (note,) = found.notes
    assert note.startswith(
        "The scheme is another one (ot-readiness 1, then ot-readiness 2): the earlier answers are scored"
    )


def test_a_scheme_of_another_range_is_compared_under_one() -> None:
    ten = (("max = 20", "max = 10"), ("low_below = 12", "low_below = 6"), ("strong = 16", "strong = 8"))
    half = read_with(
        document(
            "scheme",
            *ten,
            ("developing = 8", "developing = 4"),
            *(
                ("max = 100", "max = 50"),
                ("strong = 80", "strong = 40"),
                ("developing = 40", "developing = 20"),
            ),
        )
    )
    found = compare(sheet(PM="44000"), sheet(half, PM="44400"))
    assert (found.sections[0].before, found.sections[0].after, found.sections[0].change) == (
        Fraction(4),
        Fraction(6),
        Fraction(2),
    )


def test_a_question_in_other_words_is_marked() -> None:
    asked = standard(questions=document("questions", ("Who is able to change what?", "Who may change what?")))
    found = compare(sheet(), sheet(asked))
    assert [each.id for each in found.questions if each.reworded] == ["AA1"]
    assert found.notes == ("Asked in other words: AA1.",)


def test_sites_that_came_and_went_are_named() -> None:
    found = compare(sheet(sites=VISBY), sheet(sites=KALMAR))
    assert found.notes == ("Sites that came in between: Kalmar.", "Sites that went in between: Visby.")


def test_questions_of_one_side_alone_are_named() -> None:
    other = standard(
        questions=document("questions", ('id = "OR5"', 'id = "OR6"')),
        guide=document("guide", ('closes = ["OR4", "OR5"]', 'closes = ["OR4", "OR6"]')),
    )
    found = compare(sheet(), sheet(other))
    assert found.notes == ("Asked in the earlier one only: OR5.", "Asked in the later one only: OR6.")
    assert {each.id: each.asked for each in found.questions}["OR5"] == (True, False)
