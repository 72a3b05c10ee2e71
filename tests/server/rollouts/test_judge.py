# SPDX-License-Identifier: Apache-2.0
"""When a rollout goes on, waits, is paused or is done: never on above its limit, and never held up by who is silent."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checkvalve.server.rollouts import counting
from checkvalve.server.rollouts.counting import Tally
from checkvalve.server.rollouts.judge import CAP, PERCENT, judge
from checkvalve.server.rollouts.model import Done, GoOn, Halt, Hold, Lane, Outcome, Ruling

numbers = st.integers(0, 4) | st.integers(0, 300)


def _lane(wave: int, committed: int, failed: int, left: int, gone: int, going: int, silent: int) -> Lane:
    total = committed + failed + left + gone + going + silent
    return Lane(wave, total, committed, failed, left + gone, going, silent, (), gone)


few = st.integers(0, 3)
counts = st.tuples(numbers, few, few, few, st.integers(0, 6), st.integers(0, 6)).filter(any)
opened = st.lists(counts, min_size=1, max_size=4).map(lambda rows: [_lane(wave, *row) for wave, row in enumerate(rows)])
further = st.integers(0, 2)


def _above(lanes: list[Lane], *, canary: bool) -> bool:
    """Say whether the limit is passed, as the promise has it."""
    failed = sum(lane.failed for lane in lanes)
    finished = failed + sum(lane.committed for lane in lanes)
    return (
        (canary and lanes[0].failed > 0)
        or any(lane.failed >= CAP for lane in lanes)
        or failed * 100 > PERCENT * finished
    )


def _on(ruling: Ruling) -> bool:
    return isinstance(ruling, GoOn | Done)


@given(lanes=opened, more=further, canary=st.booleans())
def test_it_never_goes_on_above_its_limit(lanes: list[Lane], more: int, *, canary: bool) -> None:
    ruling = judge(lanes, len(lanes) + more, canary=canary)
    if _above(lanes, canary=canary):
        assert not _on(ruling)
    else:
        assert not isinstance(ruling, Halt)


@given(lanes=opened, more=further, canary=st.booleans())
def test_it_opens_the_next_wave_there_is_and_is_done_only_when_all_have_ended(
    lanes: list[Lane], more: int, *, canary: bool
) -> None:
    ruling = judge(lanes, len(lanes) + more, canary=canary)
    if isinstance(ruling, GoOn):
        assert ruling.wave == len(lanes)
        assert more
        last = lanes[-1]
        heard = last.total - last.silent - last.left
        assert last.going * 100 <= (0 if canary and len(lanes) == 1 else 5) * heard
        assert last.silent < last.total
    if isinstance(ruling, Done):
        assert not more
        assert sum(lane.going + lane.silent for lane in lanes) == 0
    assert not isinstance(ruling, Hold | Halt) or ruling.code.startswith("rollout.")
    assert ruling.reason.endswith(".")


@given(lanes=opened, more=further, canary=st.booleans(), silent=st.integers(1, 500))
def test_who_is_silent_holds_up_nobody_else(lanes: list[Lane], more: int, silent: int, *, canary: bool) -> None:
    last = lanes[-1]
    assume(last.committed)
    quiet = [*lanes[:-1], replace(last, silent=last.silent + silent, total=last.total + silent)]
    before, after = (judge(each, len(lanes) + more, canary=canary) for each in (lanes, quiet))
    if isinstance(before, Done):
        assert isinstance(after, Hold)
        assert after.code == "rollout.stragglers"
    else:
        assert type(after) is type(before)


@given(lanes=opened, more=further, canary=st.booleans(), left=st.integers(1, 500))
def test_who_was_left_behind_counts_no_more(lanes: list[Lane], more: int, left: int, *, canary: bool) -> None:
    last = lanes[-1]
    assume(last.committed)
    fewer = [*lanes[:-1], replace(last, left=last.left + left, total=last.total + left)]
    before, after = (judge(each, len(lanes) + more, canary=canary) for each in (lanes, fewer))
    assert type(after) is type(before)


@given(lanes=opened, more=further, canary=st.booleans(), which=st.integers(0, 3), failed=st.integers(1, 5))
def test_one_more_failure_never_brings_it_on(
    lanes: list[Lane], more: int, which: int, failed: int, *, canary: bool
) -> None:
    which %= len(lanes)
    lane = lanes[which]
    worse = [*lanes]
    worse[which] = replace(lane, failed=lane.failed + failed, total=lane.total + failed)
    if isinstance(judge(lanes, len(lanes) + more, canary=canary), Halt):
        assert isinstance(judge(worse, len(lanes) + more, canary=canary), Halt)


def _code(ruling: Ruling) -> str:
    match ruling:
        case Hold(code) | Halt(code):
            return code
        case _:
            return type(ruling).__name__


@pytest.mark.parametrize(
    ("lanes", "waves", "canary", "code"),
    [
        ([Lane(0, 1, going=1)], 2, True, "rollout.going"),
        ([Lane(0, 1, silent=1)], 2, True, "rollout.silent"),
        ([Lane(0, 1, silent=1)], 1, False, "rollout.silent"),
        ([Lane(0, 2, committed=1, silent=1)], 2, True, "GoOn"),
        ([Lane(0, 2, committed=1, going=1)], 2, True, "rollout.going"),
        ([Lane(0, 1, committed=1)], 2, True, "GoOn"),
        ([Lane(0, 1, failed=1)], 2, True, "rollout.canary_failed"),
        ([Lane(0, 5, failed=1, going=4)], 2, True, "rollout.canary_failed"),
        ([Lane(0, 1, left=1)], 2, True, "GoOn"),
        ([Lane(0, 1, left=1)], 1, True, "Done"),
        ([Lane(0, 1, left=1, gone=1)], 2, True, "rollout.gone"),
        ([Lane(0, 1, left=1, gone=1)], 1, True, "Done"),
        ([Lane(0, 2, left=2, gone=1)], 2, True, "GoOn"),
        ([Lane(0, 2, left=1, gone=1, silent=1)], 2, True, "rollout.silent"),
        ([Lane(0, 1, committed=1), Lane(1, 1, left=1, gone=1)], 3, True, "GoOn"),
        ([Lane(0, 1, left=1, gone=1)], 2, False, "GoOn"),
        ([Lane(0, 20, committed=19, going=1)], 2, False, "GoOn"),
        ([Lane(0, 19, committed=18, going=1)], 2, False, "rollout.going"),
        ([Lane(0, 20, committed=19, going=1)], 1, False, "rollout.going"),
        ([Lane(0, 20, committed=19, silent=1)], 1, False, "rollout.stragglers"),
        ([Lane(0, 20, committed=19, failed=1)], 1, False, "Done"),
        ([Lane(0, 100, failed=3, going=97)], 1, False, "rollout.many_failed"),
        ([Lane(0, 100, failed=1, committed=3, going=96)], 1, False, "rollout.going"),
        ([Lane(0, 100, failed=1, committed=4, going=95)], 1, False, "rollout.rate"),
        ([Lane(0, 2, failed=1, committed=1)], 2, False, "rollout.rate"),
        ([Lane(0, 100, committed=100), Lane(1, 1, failed=1)], 2, False, "Done"),
        # A straggler of the canary wave that fails when the others are long under way.
        ([Lane(0, 2, committed=1, failed=1), Lane(1, 200, committed=150, going=50)], 2, True, "rollout.canary_failed"),
        ([], 2, True, "GoOn"),
        ([], 0, True, "Done"),
    ],
)
def test_the_table_of_rulings(lanes: list[Lane], waves: int, code: str, *, canary: bool) -> None:
    assert _code(judge(lanes, waves, canary=canary)) == code


def test_the_reason_counts_what_happened() -> None:
    said = judge([Lane(0, 22, committed=18, failed=0, left=1, going=0, silent=3)], 2, canary=False).reason
    assert said == "Wave 1 is over: 18 of 22 took it, 1 left behind, 3 silent."
    said = judge([Lane(0, 3, committed=2, left=1)], 1, canary=False).reason
    assert said == "2 devices took it, 1 device stayed at what they ran."
    said = judge([Lane(0, 100, failed=3, committed=40, going=57)], 1, canary=False).reason
    assert said == "3 of 100 devices of a wave failed; it pauses at 3."


tallies = st.lists(
    st.builds(
        Tally,
        wave=st.integers(0, 3),
        outcome=st.sampled_from(Outcome),
        left=st.booleans(),
        silent=st.booleans(),
        step=st.sampled_from(["", "fetching", "verifying"]),
        number=st.integers(1, 50),
    ).map(lambda one: replace(one, left=one.left and one.outcome is not Outcome.COMMITTED)),
    max_size=30,
)


@given(tallies)
def test_every_device_counts_once(found: list[Tally]) -> None:
    lanes = counting.lanes(found)
    assert [lane.wave for lane in lanes] == sorted({one.wave for one in found})
    for lane in lanes:
        here = [one for one in found if one.wave == lane.wave]
        assert lane.total == sum(one.number for one in here)
        assert lane.committed + lane.failed + lane.left + lane.going + lane.silent == lane.total
        assert lane.committed == sum(one.number for one in here if one.outcome is Outcome.COMMITTED)
        assert lane.gone == sum(one.number for one in here if one.outcome is Outcome.OPEN and one.left)
        assert lane.gone <= lane.left
        assert sum(number for _, number in lane.steps) <= lane.going
        assert dict(lane.steps).keys() <= {"fetching", "verifying"}


@pytest.mark.parametrize("outcome", Outcome)
def test_what_has_ended_is_never_silent(outcome: Outcome) -> None:
    lane = counting.lanes([Tally(0, outcome, left=False, silent=True, step="", number=1)])[0]
    assert (lane.silent == 1) == (outcome is Outcome.OPEN)
    assert counting.did(outcome)
