# SPDX-License-Identifier: Apache-2.0
"""Where a device stands after its journal, and what it writes first when it starts."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent.recover import MOST_BOOTS, MOST_BOOTS_BACK, MOST_ENDED, fold, recover
from checkvalve.agent.steps import Position
from checkvalve.agent.waiting import WAITS
from checkvalve.protocol.exchange import ENDED, Event, State
from tests.agent.world import attempt, line, slot

SLOT = slot(1, line("1"))
BEFORE = [State.OFFERED, State.FETCHING, State.STAGED]

attempts = st.sampled_from([attempt(number) for number in range(4)])
facts = st.dictionaries(
    st.sampled_from(["epoch", "counter", "target", "number", "ran", "parked", "x"]),
    st.one_of(st.integers(0, 9), st.sampled_from(["", SLOT.target, "sha256:1/web", "no target"])),
)
events = st.builds(
    Event,
    seq=st.just(1),
    at=st.just(0),
    kind=st.sampled_from(["boot", "order", "state", "note"]),
    attempt=st.one_of(st.just(""), attempts),
    state=st.sampled_from(State),
    release=st.sampled_from(["", SLOT.release]),
    code=st.sampled_from(["", "gate.exited"]),
    reason=st.sampled_from(["", "It exited."]),
    facts=facts,
)
positions = st.builds(
    Position, state=st.sampled_from(State), attempt=st.one_of(st.just(""), attempts), boots=st.integers(0, 40)
)


def event(kind: str, state: State = State.IDLE, number: int = 1, **how: object) -> Event:
    return Event(seq=1, at=0, kind=kind, attempt=attempt(number), state=state, **how)  # type: ignore[arg-type]


def folded(*journal: Event) -> Position:
    return reduce(fold, journal, Position())


# ---- fold. ----


@given(st.lists(events, max_size=12), st.integers(0, 12))
def test_a_position_does_not_depend_on_where_the_journal_was_cut(journal: Sequence[Event], cut: int) -> None:
    rested = reduce(fold, journal[:cut], Position())
    assert reduce(fold, journal[cut:], rested) == reduce(fold, journal, Position())


@given(positions, st.lists(events, max_size=8))
def test_epoch_and_counter_never_fall(position: Position, journal: Sequence[Event]) -> None:
    for each in journal:
        after = fold(position, each)
        assert (after.epoch, after.counter) >= (position.epoch, position.counter)
        position = after


@given(positions, events)
def test_what_ran_and_what_ended_is_not_forgotten_by_one_event(position: Position, one: Event) -> None:
    after = fold(position, one)
    assert position.ran <= after.ran
    assert position.ended.keys() <= after.ended.keys()


def test_an_accepted_order_waits_to_be_taken_up() -> None:
    order = event("order", number=2, facts={"epoch": 1, "counter": 7, "target": SLOT.target, "parked": 1})
    position = folded(event("state", State.SWITCHING), order)
    assert (position.attempt, position.state) == (attempt(1), State.SWITCHING)
    assert (position.next_attempt, position.next_target) == (attempt(2), SLOT.target)
    assert (position.epoch, position.counter) == (1, 7)
    taken = fold(position, event("state", State.OFFERED, 2, facts={"target": SLOT.target, "number": 3}))
    assert (taken.attempt, taken.target, taken.number, taken.next_attempt) == (attempt(2), SLOT.target, 3, "")


def test_a_release_is_known_by_its_target_before_its_manifest_is_there() -> None:
    assert folded(event("state", State.OFFERED, facts={"target": SLOT.target})).release == SLOT.release


def test_an_order_that_comes_again_begins_nothing_anew() -> None:
    done = folded(event("state", State.COMMITTED), event("state", State.SWITCHING, 2))
    for number in (1, 2):
        again = fold(done, event("order", number=number, facts={"epoch": 1, "counter": 9}))
        assert (again.next_attempt, again.counter) == ("", 9)


def test_the_reason_for_turning_back_outlives_what_happens_on_the_way() -> None:
    position = folded(
        event("state", State.ROLLING_BACK, code="gate.exited", reason="web exited."),
        event("state", State.DEGRADED, code="image.lost", reason="An image is lost."),
    )
    assert (position.code, position.cause_code, position.cause) == ("image.lost", "gate.exited", "web exited.")


def test_another_attempt_begins_without_the_reasons_and_starts_of_the_one_before() -> None:
    position = folded(
        event("state", State.ROLLING_BACK, code="gate.exited"), event("boot"), event("state", State.OFFERED, 2)
    )
    assert (position.cause_code, position.code, position.boots) == ("", "", 0)


def test_starts_count_while_an_attempt_is_open_and_not_otherwise() -> None:
    opened = folded(event("state", State.FETCHING), event("boot"), event("boot"))
    assert opened.boots == 2
    assert folded(event("state", State.COMMITTED), event("boot")).boots == 0


def test_tries_count_returns_that_failed_since_the_last_start() -> None:
    degraded = event("state", State.DEGRADED)
    position = folded(event("state", State.ROLLING_BACK), degraded, degraded, degraded)
    assert position.tries == 2
    assert fold(position, event("boot")).tries == 0


def test_what_is_owed_outlives_a_refused_cure_and_ends_with_whatever_runs() -> None:
    position = folded(
        event("state", State.DEGRADED), event("state", State.OFFERED, 2), event("state", State.REFUSED, 2)
    )
    assert position.owed
    for state in (State.ROLLED_BACK, State.COMMITTED):
        assert not fold(position, event("state", state, 2)).owed


def test_outcomes_are_remembered_for_so_many_attempts() -> None:
    position = folded(*(event("state", State.COMMITTED, number) for number in range(100)))
    assert sorted(position.ended) == [attempt(number) for number in range(100 - MOST_ENDED, 100)]


def test_a_oneshot_that_ran_is_remembered_over_attempts() -> None:
    position = folded(event("note", facts={"ran": "sha256:1/migrate"}), event("state", State.OFFERED, 2))
    assert position.ran == {"sha256:1/migrate"}


# ---- recover. ----


@given(positions, st.sampled_from([None, SLOT, slot(2, line("2"))]))
def test_every_position_has_a_way_on(position: Position, active: object) -> None:
    note = recover(position, active)  # type: ignore[arg-type]
    if note is None:
        return
    after = fold(position, Event(seq=1, at=0, kind="state", attempt=position.attempt, state=note.state))
    assert after.state is note.state
    again = recover(after, active)  # type: ignore[arg-type]
    assert again is None or again.state in {State.COMMITTED, State.DEGRADED}


@pytest.mark.parametrize("state", sorted(ENDED))
def test_nothing_is_written_when_no_attempt_is_open(state: State) -> None:
    assert recover(Position(state=state, attempt=attempt(1), boots=99), SLOT) is None


@pytest.mark.parametrize("state", sorted(WAITS))
def test_while_it_waits_for_people_no_number_of_starts_is_too_many_and_none_counts(state: State) -> None:
    position = Position(state=state, attempt=attempt(2), boots=MOST_BOOTS + 1)
    assert recover(position, SLOT) is None
    booted = fold(position, Event(seq=1, at=0, kind="boot", attempt=attempt(2), state=state))
    assert booted.boots == position.boots


@pytest.mark.parametrize("state", BEFORE)
def test_before_the_switch_it_goes_on_until_it_looks_like_the_cause_of_restarts(state: State) -> None:
    position = Position(state=state, attempt=attempt(2), boots=MOST_BOOTS)
    assert recover(position, SLOT) is None
    note = recover(replace(position, boots=MOST_BOOTS + 1), SLOT)
    assert note is not None
    assert (note.state, note.code) == (State.REFUSED, "device.restarts")
    assert note.reason == "The device, or its agent, restarted 11 times during this attempt. Nothing was changed."


@pytest.mark.parametrize("state", [State.SWITCHING, State.VERIFYING])
def test_a_start_in_mid_switch_turns_back(state: State) -> None:
    note = recover(Position(state=state, attempt=attempt(2), boots=1), SLOT)
    assert note is not None
    assert (note.state, note.code) == (State.ROLLING_BACK, "device.restarted")


@pytest.mark.parametrize("state", [State.SWITCHING, State.VERIFYING, State.ROLLING_BACK, State.DEGRADED])
def test_a_pointer_that_names_the_attempt_is_the_commit(state: State) -> None:
    note = recover(Position(state=state, attempt=SLOT.attempt), SLOT)
    assert note is not None
    assert note.state is State.COMMITTED


def test_a_return_is_repeated_and_says_degraded_after_too_many_starts() -> None:
    position = Position(state=State.ROLLING_BACK, attempt=attempt(2), boots=MOST_BOOTS_BACK)
    assert recover(position, SLOT) is None
    note = recover(replace(position, boots=MOST_BOOTS_BACK + 1), SLOT)
    assert note is not None
    assert (note.state, note.code) == (State.DEGRADED, "device.restarts")


def test_degraded_goes_on_as_it_is_however_often_it_starts() -> None:
    assert recover(Position(state=State.DEGRADED, attempt=attempt(2), boots=999), SLOT) is None
