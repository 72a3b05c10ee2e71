# SPDX-License-Identifier: Apache-2.0
"""Which devices a start takes, and to what each goes back: the decisions, with values that no database has seen."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import ReleaseId, RolloutId
from checkvalve.protocol.exchange import State as Device
from checkvalve.server.fleet.model import Trust
from checkvalve.server.rollouts import back, moves, taking
from checkvalve.server.rollouts.model import No, Outcome, Plan, Rollout, Seat, State
from checkvalve.server.rollouts.moves import Move
from checkvalve.server.supply.model import Release
from checkvalve.server.targeting.model import Key, Term
from tests.conftest import NOON
from tests.server.rollouts import values

# Who is taken


def test_those_that_could_only_fail_or_have_it_already_are_passed_over_and_that_is_said() -> None:
    found = [
        values.device("a"),
        values.device("b", trust=Trust.OBSERVE),
        values.device("c", trust=Trust.QUARANTINED),
        values.device("d", trust=Trust.RETIRED),
        values.device("e", active=values.NEW),
        values.device("f", active=""),
    ]
    planned = taking.plan(found, values.NEW, Plan(), NOON, {})
    assert [[one.name for one in wave] for wave in planned.waves] == [["a"], ["f"]]
    assert planned.count == 2
    assert [(one.device.name, one.code) for one in planned.passed] == [
        ("b", "device.observes"),
        ("c", "device.quarantined"),
        ("d", "device.retired"),
        ("e", "device.runs_it"),
    ]
    assert all(one.reason.endswith(".") for one in planned.passed)


@given(st.lists(st.tuples(st.sampled_from(Trust), st.booleans()), max_size=12))
def test_every_device_is_either_taken_or_passed_over(rows: list[tuple[Trust, bool]]) -> None:
    found = [
        values.device(f"d{index}", trust=trust, active=values.NEW if runs else values.OLD)
        for index, (trust, runs) in enumerate(rows)
    ]
    planned = taking.plan(found, values.NEW, Plan(canary=2, step=3), NOON, {})
    taken = {one.name for wave in planned.waves for one in wave}
    assert taken | {one.device.name for one in planned.passed} == {one.name for one in found}
    assert taken == {f"d{index}" for index, row in enumerate(rows) if row == (Trust.ACCEPTED, False)}


def _obstacle(names: str, busy: Mapping[str, Rollout], unknown: str = "", runs: str = "") -> No | None:
    found = [values.device(name, active=values.NEW if name in runs else values.OLD) for name in names]
    planned = taking.plan(found, values.NEW, Plan(), NOON, {})
    return taking.obstacle(planned, busy, [Term(Key.SITE, name) for name in unknown])


def test_a_device_of_another_rollout_is_in_the_way_of_the_whole_start() -> None:
    other = values.rollout(id=RolloutId("o"), name="Other")
    assert _obstacle("abc", {}) is None
    assert _obstacle("abc", {"x": other}) is None
    one, many = _obstacle("abc", {"b": other}), _obstacle("abcde", dict.fromkeys("abcde", other))
    assert isinstance(one, No)
    assert isinstance(many, No)
    assert (one.code, one.sentence) == ("rollout.devices_busy", "b is in rollout 'Other' already.")
    assert many.sentence == "a, b, c and 2 more are in rollout 'Other' already."


def test_a_device_that_is_passed_over_is_in_nobodys_way() -> None:
    assert _obstacle("ab", {"b": values.rollout()}, runs="b") is None


@pytest.mark.parametrize(
    ("names", "unknown", "runs", "code", "sentence"),
    [
        ("", "", "", "rollout.no_device", "The selector means no device."),
        ("", "vw", "", "rollout.no_device", "Nothing here answers to site:v, site:w."),
        ("a", "", "a", "rollout.nothing_to_do", "Nothing is to be done: a runs it already."),
    ],
)
def test_nothing_to_do_is_no_rollout(names: str, unknown: str, runs: str, code: str, sentence: str) -> None:
    found = _obstacle(names, {}, unknown, runs)
    assert isinstance(found, No)
    assert (found.code, found.sentence) == (code, sentence)
    assert found.remedy.endswith(".")


# What goes back


def _back(seat: Seat, releases: Mapping[str, Release | str] | None = None, since: str = "") -> tuple[str, str]:
    """Return where a device goes: `old`, `stays` and why, or `untouched`."""
    known = {values.OLD: values.release()} if releases is None else releases
    plan = back.plan([seat], known, {seat.device.id: (ReleaseId(since), "")} if since else {})
    assert len(plan.going) + len(plan.staying) + len(plan.untouched) == 1
    if plan.going:
        return plan.going[0][1].id, ""
    return ("stays", plan.staying[0].reason) if plan.staying else ("untouched", "")


def test_one_that_took_it_or_hangs_in_between_goes_back_to_what_it_ran() -> None:
    assert _back(values.seat(Outcome.COMMITTED)) == ("old", "")
    assert _back(values.seat(Outcome.DEGRADED)) == ("old", "")


def test_one_under_way_goes_back_if_it_has_begun_or_was_ordered_to() -> None:
    assert _back(values.seat(attempt="a", state=Device.FETCHING)) == ("old", "")
    assert _back(values.seat(ordered=True)) == ("old", "")
    assert _back(values.seat(attempt="b")) == ("untouched", "")


def test_one_that_stayed_or_went_back_by_itself_is_left_alone() -> None:
    assert _back(values.seat(Outcome.REFUSED, ordered=True)) == ("untouched", "")
    assert _back(values.seat(Outcome.ROLLED_BACK, ordered=True, attempt="a")) == ("untouched", "")


def test_one_that_a_later_rollout_brought_something_else_is_left_alone() -> None:
    assert _back(values.seat(Outcome.COMMITTED), since="newest") == ("untouched", "")
    assert _back(values.seat(Outcome.COMMITTED), since="new") == ("old", "")


@pytest.mark.parametrize(
    ("seat", "releases", "why"),
    [
        (values.seat(Outcome.COMMITTED, before=""), {}, "stays: nothing ran on it before."),
        (values.seat(Outcome.COMMITTED), {}, "stays: what it ran is no release of this plane."),
        (values.seat(Outcome.COMMITTED), {values.OLD: "It was withdrawn."}, "stays: It was withdrawn."),
        (values.seat(Outcome.COMMITTED), {values.OLD: values.release("new")}, "stays: it ran the same before."),
        (values.seat(Outcome.COMMITTED, trust=Trust.RETIRED), None, "stays: it is retired."),
        (values.seat(Outcome.DEGRADED, trust=Trust.OBSERVE), None, "stays: it observes only."),
    ],
)
def test_one_that_cannot_go_back_stays_and_that_is_said(
    seat: Seat, releases: Mapping[str, Release | str] | None, why: str
) -> None:
    assert _back(seat, releases) == ("stays", why)


def test_one_in_quarantine_goes_back_when_it_is_accepted_again() -> None:
    assert _back(values.seat(Outcome.COMMITTED, trust=Trust.QUARANTINED)) == ("old", "")


def test_an_undo_is_refused_where_others_are_at_work_or_nobody_can_go_back() -> None:
    took, stays = values.seat(Outcome.COMMITTED), values.seat(Outcome.COMMITTED, before="", name="other")
    known = {values.OLD: values.release()}
    other = values.rollout(id=RolloutId("o"), name="Other")
    assert back.obstacle(back.plan([took, stays], known, {}), {}) is None
    assert back.obstacle(back.plan([took, stays], known, {}), {"other": other}) is None
    assert back.obstacle(back.plan([values.seat()], known, {}), {"press": other}) is None
    busy = back.obstacle(back.plan([took], known, {}), {"press": other})
    nobody = back.obstacle(back.plan([stays], known, {}), {})
    assert isinstance(busy, No)
    assert isinstance(nobody, No)
    assert (busy.code, busy.sentence) == ("rollout.devices_busy", "Its devices are in rollout 'Other' by now.")
    assert nobody.code == "rollout.nothing_back"
    assert nobody.sentence == "None of its devices can go back: other stays: nothing ran on it before."


# What people may do

ALLOWED = {
    Move.PAUSE: {State.STARTED},
    Move.RESUME: {State.PAUSED},
    Move.CANCEL: {State.DRAFT, State.PROPOSED, State.STARTED, State.PAUSED},
    Move.UNDO: {State.STARTED, State.PAUSED, State.DONE, State.CANCELLED},
}


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("state", State)
def test_the_table_of_moves(move: Move, state: State) -> None:
    refused = moves.judge(values.rollout(state), move)
    assert (refused is None) == (state in ALLOWED[move])
    if refused is not None:
        assert isinstance(refused, ConflictError)
        assert refused.code == f"rollout.is_{state}"
        assert refused.remedy.endswith(".")


@pytest.mark.parametrize("state", State)
def test_what_never_began_is_not_undone(state: State) -> None:
    assert moves.judge(values.rollout(state, started_at=None), Move.UNDO) is not None


@pytest.mark.parametrize("move", Move)
def test_an_undo_may_be_paused_resumed_and_cancelled_and_not_undone(move: Move) -> None:
    state = State.PAUSED if move is Move.RESUME else State.STARTED
    refused = moves.judge(values.rollout(state, undoes=RolloutId("first")), move)
    assert (refused.code if refused else "") == ("rollout.is_undo" if move is Move.UNDO else "")


def test_a_reason_is_one_line() -> None:
    assert moves.reason("  ") == ""
    assert moves.reason(" Visby o\u0308st ") == "Visby \u00f6st"
    assert len(moves.reason("x" * 500)) == 500
    for wrong in ("x" * 501, "a\nb", "a\x1bb", "a\u202eb", "a\0b"):
        with pytest.raises(InvalidError, match=r"rollout\.reason"):
            moves.reason(wrong)
