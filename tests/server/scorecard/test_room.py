# SPDX-License-Identifier: Apache-2.0
"""Assessments in a real database: who said what, what was settled, and a history that stays true."""

from collections.abc import Callable
from datetime import datetime

import pytest

from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError
from checkvalve.ids import AssessmentId
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.scorecard import compare, decide, keeping, queries
from checkvalve.server.scorecard.model import LONGEST_TEXT, Said, State
from checkvalve.server.scorecard.reconcile import Standing
from checkvalve.server.scorecard.shipped import read_with
from tests.server.scorecard.papers import document, standard
from tests.server.scorecard.world import ANNA, MAJA, RUT, World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def refused(code: str, work: Callable[[], object]) -> CheckvalveError:
    """Return the refusal of `work`, which has this code."""
    with pytest.raises(CheckvalveError) as caught:
        work()
    assert caught.value.code == code
    return caught.value


def test_one_assessment_of_a_place_is_open_at_a_time_and_other_places_have_their_own(world: World) -> None:
    there = world.open()
    refused("assessment.open", world.open)
    beside = world.open(world.site)
    assert {each.id for each in (there, beside)} == {
        each.id
        for each in world.database.read_now("list", queries.assessments, Visibility((world.org,)), states=(State.OPEN,))
    }
    refused("assessment.scope", lambda: world.open("/"))
    refused("scope.not_found", lambda: world.open(world.org + "9" * 26 + "/"))
    world.drop(there)
    assert world.open().title == f"{world.org.strip('/')}, 2026-11-03"


def test_an_assessment_is_there_for_those_alone_who_may_see_its_place(world: World) -> None:
    there = world.open(world.site)
    world.say(there, Said.FULLY)
    evidence = world.back(there)
    elsewhere = Visibility((world.other,))
    for ident in (there.id, AssessmentId("x"), AssessmentId("../1\0")):
        with pytest.raises(NotFoundError):
            world.database.read_now("one", queries.assessment, ident, elsewhere)
    with pytest.raises(NotFoundError):
        world.database.read_now("one", queries.evidence_one, evidence.id, elsewhere)
    assert world.database.read_now("list", queries.assessments, elsewhere) == []


def test_two_disagree_one_withdraws_and_what_remains_counts(world: World) -> None:
    there = world.open()
    world.say(there, Said.MOSTLY, person=ANNA)
    world.say(there, Said.LITTLE, person=RUT)
    assert world.result(there).outcome["PM1"].standing is Standing.DIFFER
    world.say(there, None, person=RUT)
    found = world.result(there).outcome["PM1"]
    assert (found.standing, found.said) == (Standing.AGREED, Said.MOSTLY)
    said = [(each.person, each.said) for each in world.database.read_now("replies", queries.replies, there.id)]
    assert said == [(ANNA, Said.MOSTLY), (RUT, Said.LITTLE), (RUT, None)]


def test_what_is_settled_counts_and_reopens_when_somebody_says_something_else(world: World) -> None:
    there = world.open()
    world.say(there, Said.MOSTLY, person=ANNA)
    refused("decision.needless", lambda: world.settle(there, Said.PARTLY))
    world.say(there, Said.LITTLE, person=RUT)
    world.settle(there, Said.PARTLY)
    found = world.result(there).outcome["PM1"]
    assert (found.standing, found.said) == (Standing.DECIDED, Said.PARTLY)
    assert found.decision is not None
    assert (found.decision.by, found.decision.at) == (MAJA, world.now)
    world.say(there, Said.NOTHING, person=RUT)
    assert world.result(there).outcome["PM1"].standing is Standing.DIFFER
    world.settle(there, Said.NOTHING)
    assert [each.said for each in world.database.read_now("decisions", queries.decisions, there.id)] == [
        Said.PARTLY,
        Said.NOTHING,
    ]


def test_the_same_answer_twice_is_kept_once(world: World) -> None:
    there = world.open()
    first = world.say(there, Said.MOSTLY)
    assert world.say(there, Said.MOSTLY) == first
    assert len(world.database.read_now("replies", queries.replies, there.id)) == 1


def test_closing_is_refused_with_all_that_is_in_the_way_and_changes_nothing(world: World) -> None:
    there = world.open()
    world.say_all(there, PM="4444-", OR="44xxx")
    world.say(there, Said.NOTHING, "AA1", RUT)
    error = refused("assessment.unfinished", lambda: world.close(there))
    for each in ("not answered: PM5", "people differ: AA1", "too much does not apply in: OR"):
        assert each in error.sentence
    assert world.of(there).state is State.OPEN


def test_a_closed_assessment_keeps_what_was_shown_and_takes_nothing_more(world: World) -> None:
    there = world.open()
    world.say_all(there, PM="44300", AA="4444?", RE="443xx")
    closed = world.close(there)
    assert closed.result is not None
    kept = keeping.load(closed.result)
    assert (kept.declared.total, kept.declared.band, kept.declared.lowest) == (85.3, "strong", ["PM"])
    assert [section.score for section in kept.declared.sections] == [11.0, 16.0, 20.0, 18.3, 20.0]
    assert [section.low for section in kept.declared.sections] == [True, False, False, False, False]
    assert kept.defensible.total == 66.0  # a 4 is worth 3 where nobody measured: 9, 12, 15, 15 and 15
    assert (kept.estate, kept.managed, set(kept.sites)) == ({"device": 640}, 18, {world.site, world.other})
    evidence = refused("assessment.ended", lambda: world.say(there, Said.NOTHING))
    assert isinstance(evidence, ConflictError)
    for late in (
        lambda: world.settle(there, Said.NOTHING),
        lambda: world.back(there),
        lambda: world.close(there),
        lambda: world.drop(there),
    ):
        refused("assessment.ended", late)
    assert world.of(there) == closed


def test_a_site_that_comes_later_and_another_scheme_change_no_byte_of_what_was_closed(world: World) -> None:
    there = world.open()
    world.say_all(there, PM="44440", AA="44440", AI="44440", RE="44440", OR="44440")
    closed = world.close(there)
    new = world.place(world.org, "site")
    strict = read_with(document("scheme", ('version = "1"', 'version = "2"'), ("strong = 80", "strong = 90")))
    second = world.open(standard=strict)
    world.say_all(second, PM="44440", AA="44440", AI="44440", RE="44440", OR="44440")
    world.close(second)
    assert world.of(there).result == closed.result
    assert world.result(there).standard.scheme.version == "1"
    before, after = (world.database.read_now("sheet", queries.sheet, world.of(each)) for each in (there, second))
    found = compare.compare(before, after)
    assert (before.score.band, after.score.band) == ("strong", "developing")
    assert found.rescored is not None
    assert found.rescored.band == "developing"
    assert any(new.strip("/").split("/")[-1] in note for note in found.notes)
    assert [each.id for each in world.database.read_now("trend", queries.trend, world.org)] == [there.id, second.id]
    assert world.database.read_now("latest", queries.latest, Visibility(("/",)))[world.org].id == second.id


def test_questions_in_other_words_are_kept_with_the_assessment_that_asked_them(world: World) -> None:
    other = standard(questions=document("questions", ("Who is able to change what?", "Who may change what?")))
    first = world.open(standard=other)
    world.drop(first)
    world.open()
    assert world.result(first).standard.question("AA1").text == "Who may change what?"


@pytest.mark.parametrize(
    ("code", "said", "more"),
    [
        ("reply.reason", Said.NOT_APPLICABLE, {"reason": "  "}),
        ("reply.reason", Said.NOT_APPLICABLE, {"reason": "x" * (LONGEST_TEXT + 1)}),
        ("reply.comment", Said.FULLY, {"comment": "a\0b"}),
        ("reply.comment", Said.FULLY, {"comment": "\u202eevil"}),
        ("reply.comment", Said.FULLY, {"comment": "x" * 3_000_000}),
    ],
    ids=["no reason", "a long reason", "a NUL", "turned around", "huge"],
)
def test_words_that_cannot_be_kept_are_refused(world: World, code: str, said: Said, more: dict[str, str]) -> None:
    there = world.open()
    reason, comment = more.get("reason", ""), more.get("comment", "")
    refused(code, lambda: world.say(there, said, reason=reason, comment=comment))
    assert world.database.read_now("replies", queries.replies, there.id) == []


def test_what_is_no_answer_and_no_question_is_refused(world: World) -> None:
    there = world.open()
    refused("scorecard.question", lambda: world.say(there, Said.FULLY, "PM6"))
    for word in ("5", "-1", "four", "", "4\n"):
        with pytest.raises(InvalidError):
            decide.said(word)


def test_giving_up_says_why_and_leaves_what_was_said(world: World) -> None:
    there = world.open()
    world.say(there, Said.FULLY)
    refused("assessment.why", lambda: world.drop(there, " "))
    assert world.drop(there).state is State.DROPPED
    assert world.result(there).answers["PM1"] is Said.FULLY


def test_every_act_leaves_one_entry_at_the_place(world: World) -> None:
    there = world.open(world.site)
    world.say(there, Said.FULLY)
    world.say(there, Said.FULLY)
    evidence = world.back(there)
    world.take_away(evidence)
    world.drop(there)
    entries = [each for each in reversed(world.entries()) if each.scope == world.site]
    assert [each.action for each in entries] == [
        "assessment.open",
        "assessment.reply",
        "assessment.reply",
        "evidence.add",
        "evidence.remove",
        "assessment.drop",
    ]
