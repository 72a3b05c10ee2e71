# SPDX-License-Identifier: Apache-2.0
"""Several people answer one question: what counts, and from when."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import AssessmentId, DecisionId, PersonId, ReplyId
from checkvalve.server.scorecard.model import Decision, Reply, Said
from checkvalve.server.scorecard.reconcile import Outcome, Standing, outcome

BEGIN = datetime(2026, 11, 2, 8, tzinfo=UTC)
HERE = AssessmentId("a")


def reply(at: int, person: str, said: Said | None, reason: str = "", question: str = "PM1") -> Reply:
    when = BEGIN + timedelta(minutes=at)
    return Reply(ReplyId(f"r{at:03}"), HERE, question, PersonId(person), said, reason, "", when)


def settled(at: int, said: Said, reason: str = "") -> Decision:
    when = BEGIN + timedelta(minutes=at)
    return Decision(DecisionId(f"d{at:03}"), HERE, "PM1", said, reason, "", PersonId("ingrid"), when)


def of(*rows: Reply | Decision) -> Outcome:
    replies = [each for each in rows if isinstance(each, Reply)]
    decisions = [each for each in rows if isinstance(each, Decision)]
    return outcome(["PM1"], replies, decisions)["PM1"]


def test_nobody_answered() -> None:
    assert of() == Outcome(Standing.UNANSWERED, None, "", ())


def test_one_person_is_enough() -> None:
    found = of(reply(1, "anna", Said.MOSTLY))
    assert (found.standing, found.said) == (Standing.AGREED, Said.MOSTLY)


def test_a_persons_newest_word_is_theirs() -> None:
    found = of(reply(1, "anna", Said.MOSTLY), reply(2, "anna", Said.LITTLE))
    assert (found.standing, found.said, len(found.words)) == (Standing.AGREED, Said.LITTLE, 1)


def test_two_who_disagree_leave_no_answer() -> None:
    found = of(reply(1, "anna", Said.MOSTLY), reply(2, "rut", Said.LITTLE))
    assert (found.standing, found.said, [word.person for word in found.words]) == (
        Standing.DIFFER,
        None,
        ["anna", "rut"],
    )


def test_one_of_them_takes_it_back() -> None:
    found = of(reply(1, "anna", Said.MOSTLY), reply(2, "rut", Said.LITTLE), reply(3, "rut", None))
    assert (found.standing, found.said) == (Standing.AGREED, Said.MOSTLY)


def test_all_take_it_back() -> None:
    assert of(reply(1, "anna", Said.MOSTLY), reply(2, "anna", None)).standing is Standing.UNANSWERED


def test_what_was_settled_counts_although_they_differ() -> None:
    decision = settled(3, Said.PARTLY)
    found = of(reply(1, "anna", Said.MOSTLY), reply(2, "rut", Said.LITTLE), decision)
    assert (found.standing, found.said, found.decision) == (Standing.DECIDED, Said.PARTLY, decision)


def test_a_decision_reopens_when_somebody_says_something_else() -> None:
    rows = (reply(1, "anna", Said.MOSTLY), reply(2, "rut", Said.LITTLE), settled(3, Said.PARTLY))
    assert of(*rows, reply(4, "rut", Said.NOTHING)).standing is Standing.DIFFER
    assert of(*rows, reply(4, "rut", Said.NOTHING), settled(5, Said.NOTHING)).said is Said.NOTHING


def test_a_decision_stays_when_somebody_comes_round_to_it() -> None:
    rows = (reply(1, "anna", Said.MOSTLY), reply(2, "rut", Said.LITTLE), settled(3, Said.PARTLY))
    assert of(*rows, reply(4, "rut", Said.PARTLY)).standing is Standing.DECIDED
    assert of(*rows, reply(4, "rut", Said.NOTHING), reply(5, "rut", Said.PARTLY)).standing is Standing.DECIDED


def test_a_reason_comes_with_what_does_not_apply() -> None:
    found = of(reply(1, "anna", Said.NOT_APPLICABLE, "no suppliers come in"))
    assert (found.said, found.reason) == (Said.NOT_APPLICABLE, "no suppliers come in")


people = st.sampled_from(["anna", "rut", "maja"])
rows = st.lists(st.tuples(people, st.sampled_from([None, *Said]), st.booleans()), max_size=12)


@given(rows, st.randoms())
def test_the_order_in_which_rows_are_read_is_no_matter(told: list[tuple[str, Said | None, bool]], dice: object) -> None:
    made: list[Reply | Decision] = [
        settled(at, said) if decided and said is not None else reply(at, person, said)
        for at, (person, said, decided) in enumerate(told)
    ]
    mixed = list(made)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    assert of(*mixed) == of(*made)


@given(rows)
def test_an_answer_counts_only_if_everybody_says_it_or_it_was_settled(
    told: list[tuple[str, Said | None, bool]],
) -> None:
    found = of(*(reply(at, person, said) for at, (person, said, _) in enumerate(told)))
    now = {word.said for word in found.words}
    assert (found.said is not None) == (len(now) == 1)
    assert found.said is None or now == {found.said}
