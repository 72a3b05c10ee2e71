# SPDX-License-Identifier: Apache-2.0
"""The files of a standard: the shipped ones are whole, and what could be read in two ways is refused."""

from pathlib import Path

import pytest

from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.server.scorecard import reading
from checkvalve.server.scorecard.shipped import read_with, shipped
from tests.server.scorecard.papers import SECTIONS, document, standard

ROOT = Path(__file__).parents[3]


def test_the_shipped_standard_asks_five_questions_in_each_of_five_sections() -> None:
    found = shipped()
    assert [(section.id, len(section.questions)) for section in found.sections] == [(each, 5) for each in SECTIONS]
    assert all(list(question.answers) == [0, 1, 2, 3, 4] for question in found.questions)
    assert found.question("RE5").section == "RE"
    assert found.scheme.inferred
    assert (found.scheme.low_below, found.scheme.audit_at) == (12, 5)


def test_every_step_leads_to_a_guide_that_exists() -> None:
    steps = [step for guidance in shipped().guide.sections.values() for step in guidance.steps]
    assert [step.id for step in steps if not (ROOT / step.guide).is_file()] == []


def test_a_question_that_is_not_asked_is_not_found() -> None:
    with pytest.raises(NotFoundError) as caught:
        shipped().question("PM6")
    assert caught.value.code == "scorecard.question"


def test_the_same_files_have_the_same_digests_and_another_band_another() -> None:
    other = read_with(document("scheme", ("strong = 16", "strong = 17")))
    assert standard().digests == shipped().digests
    assert other.digests["scheme"] != shipped().digests["scheme"]
    assert other.digests["questions"] == shipped().digests["questions"]
    assert other.scheme.section_bands.strong == 17


def test_an_owner_who_says_no_word_on_it_set_the_bands() -> None:
    inferred_why = next(line for line in document("scheme").decode().splitlines() if line.startswith("inferred_why"))
    found = read_with(document("scheme", (inferred_why, ""), ("inferred = true", "inferred = false")))
    assert not found.scheme.inferred
    assert found.scheme.inferred_why


OVERLAPPING = [
    ("developing = 8", "developing = 16"),
    ("developing = 8", "developing = 17"),
    ("developing = 8", "developing = 0"),
    ("strong = 16", "strong = 21"),
    ("strong = 80", "strong = 40"),
    ("strong = 80", "strong = 101"),
    ("low_below = 12", "low_below = 21"),
    ("low_below = 12", "low_below = 0"),
    ("max = 100", "max = 99"),
    ("max = 20", "max = 25"),
    ("max = 4", "max = 5"),
    ("max_per_section = 2", "max_per_section = 5"),
    ("audit_at = 5", "audit_at = 0"),
]


@pytest.mark.parametrize("change", OVERLAPPING, ids=[f"{after} for {before}" for before, after in OVERLAPPING])
def test_bands_that_overlap_or_lie_outside_are_refused(change: tuple[str, str]) -> None:
    with pytest.raises(InvalidError) as caught:
        read_with(document("scheme", change))
    assert caught.value.code == "standard.bands"
    assert caught.value.remedy


UNREADABLE = {
    "empty": b"",
    "truncated": document("scheme")[:-30] + b"[total",
    "not UTF-8": b"\xff\xfe",
    "a NUL": b'id = "a\\u0000b"\n' + document("scheme", ('id = "ot-readiness"', "")),
    "huge": b"#" * (reading.LARGEST + 1),
    "nested": b"a = " + b"[" * 50_000,
    "an unknown key": document("scheme", ("[points]", "best = 1\n[points]")),
    "a missing key": document("scheme", ("low_below = 12", "")),
    "a bool for a number": document("scheme", ("strong = 16", "strong = true")),
    "a fraction": document("scheme", ("strong = 16", "strong = 16.5")),
    "a negative number": document("scheme", ("strong = 16", "strong = -16")),
    "a number for a bool": document("scheme", ("inferred = true", "inferred = 1")),
    "a key twice": document("scheme", ("strong = 16", "strong = 16\nstrong = 17")),
    "a text that turns around": document("scheme", ("bands are", "bands \\u202e are")),
    "an empty text": document("scheme", ('id = "ot-readiness"', 'id = ""')),
    "a very long number": document("scheme", ("strong = 16", "strong = " + "9" * 5_000)),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_scheme_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read_with(UNREADABLE[name])
    assert caught.value.code == "standard.file"
    assert "scheme" in caught.value.sentence
    assert len(caught.value.sentence) < 400


MISMATCHED = {
    "a question twice": {"questions": document("questions", ('id = "PM2"', 'id = "PM1"'))},
    "a section twice": {"questions": document("questions", ('id = "AA"', 'id = "PM"'))},
    "a guide of another section": {"guide": document("guide", ('id = "AA"', 'id = "ZZ"'))},
    "a step twice": {"guide": document("guide", ('id = "pm-2"', 'id = "pm-1"'))},
    "a question without a step": {"guide": document("guide", ('closes = ["AA5"]', 'closes = ["AA1"]'))},
    "a step to a question that is not asked": {
        "guide": document("guide", ('closes = ["AA5"]', 'closes = ["AA5", "Q"]'))
    },
    "five answers, and not these": {"questions": document("questions", ('4 = "In rings', '5 = "In rings'))},
    "a step to nowhere": {"guide": document("guide", ('place = "/fleet"', 'place = ""'))},
    "a step to another host": {"guide": document("guide", ('place = "/fleet"', 'place = "https://example.org"'))},
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_files_that_do_not_belong_together_are_refused(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        standard(**MISMATCHED[name])
    assert caught.value.code == "standard.ids"
