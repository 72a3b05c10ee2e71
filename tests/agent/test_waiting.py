# SPDX-License-Identifier: Apache-2.0
"""Nothing is switched without the line's yes: tags, window and permit, asked right before, of a model of a device."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve.agent import waiting
from checkvalve.agent.permits.simulated import NO, YES
from checkvalve.agent.policy import File, Policy
from checkvalve.agent.situation import RUNS
from checkvalve.agent.steps import Ask, Failure, Fetch, Note, Rest
from checkvalve.agent.waiting import AGAIN, GOOD, Go, Local, Pause, Permitted, Said, Wait, longest
from checkvalve.protocol.exchange import State, Tag
from tests.agent.world import Cut, Device, is_right, line, slot

PERMIT = File(path="/run/line/permit")
ASKED = Local(policy=Policy(permit=PERMIT))
TAG = Tag(id="01", name="Anna", reason="pump seal", number="4711", at=1, by="device")
DAMAGED = Failure("policy.damaged", "The local policy is damaged.")
OLD, NEW = slot(1, line("1")), slot(2, line("2"))
NEEDS = longest(NEW)


def device(local: Local = ASKED, says: Callable[[], Said] = lambda: YES) -> Device:
    """Return a device on which OLD runs, with an order for NEW."""
    made = Device(releases={NEW.target: NEW}, local=local, says=says)
    made.install(OLD)
    made.order(NEW)
    return made


def states(made: Device) -> list[State]:
    return [each.state for each in made.events if each.kind == "state"]


def turns(made: Device, most: int = 60) -> None:
    for _ in range(most):
        made.turn()


# ---- The decision. ----


def judged(local: Local, answer: Permitted | None = None, now: float = 100.0, state: State = State.STAGED) -> object:
    return waiting.judge(local, answer, NEW, state, 100.0, now)


def test_with_no_policy_nothing_is_asked() -> None:
    assert judged(Local()) == Go()


@pytest.mark.parametrize(
    ("local", "state", "code"),
    [
        (replace(ASKED, tags=(TAG,)), State.HELD, "hold.hung"),
        (replace(ASKED, tags=Failure("hold.damaged", "It is damaged.")), State.HELD, "hold.damaged"),
        (Local(policy=DAMAGED), State.WAITING_PERMIT, "policy.damaged"),
        (Local(policy=Policy(window="opened")), State.WAITING_WINDOW, "window.closed"),
        (Local(policy=Policy(window="opened"), ends=99.0), State.WAITING_WINDOW, "window.closed"),
        (Local(policy=Policy(window="opened"), ends=100 + NEEDS - 0.1), State.WAITING_WINDOW, "window.short"),
        (Local(policy=Policy(window="opened", permit=PERMIT), tags=(TAG,), ends=9_999.0), State.HELD, "hold.hung"),
    ],
)
def test_each_no_has_its_state_and_its_code_also_when_the_permit_says_yes(
    local: Local, state: State, code: str
) -> None:
    wait = judged(local, Permitted(PERMIT, YES, 100.0, twice=True))
    assert isinstance(wait, Wait)
    assert (wait.state, wait.why.code) == (state, code)
    assert wait.why.sentence.endswith(".")


def test_a_window_that_stays_open_for_long_enough_lets_it_go() -> None:
    assert judged(Local(policy=Policy(window="opened"), ends=100 + NEEDS)) == Go()


@pytest.mark.parametrize(
    ("answer", "now"),
    [
        (None, 100.0),
        (Permitted(PERMIT, YES, 100.0, twice=True), 100.0 + GOOD + 0.01),
        (Permitted(File(path="/run/other"), YES, 100.0, twice=True), 100.0),
        (Permitted(PERMIT, YES, 101.0, twice=True), 100.0),
        (Permitted(PERMIT, YES, 100.0), 100.0 + AGAIN),
    ],
    ids=["never asked", "too old", "of another permit", "of a time to come", "not confirmed"],
)
def test_what_is_no_answer_of_now_is_asked_for(answer: Permitted | None, now: float) -> None:
    assert judged(ASKED, answer, now) == waiting.Due(PERMIT)


def test_a_yes_that_took_longer_than_it_is_good_for_is_a_no() -> None:
    late = waiting.heard(PERMIT, YES, 100.0, 100.0 + GOOD + 0.1, None)
    assert (late.said.yes, late.said.code) == (False, "permit.late")
    assert waiting.heard(PERMIT, YES, 100.0, 100.0 + GOOD, None).said.yes


def test_a_yes_has_to_be_said_twice_in_a_row() -> None:
    first = waiting.heard(PERMIT, YES, 100.0, 100.1, None)
    assert judged(ASKED, first, 100.1) == Pause(first.asked + AGAIN - 100.1)
    second = waiting.heard(PERMIT, YES, 101.0, 101.1, first)
    assert judged(ASKED, second, 101.1) == Go()
    for before in (Permitted(PERMIT, NO, 100.0), Permitted(PERMIT, YES, 90.0), Permitted(File(path="/x"), YES, 100.0)):
        assert not waiting.heard(PERMIT, YES, 101.0, 101.1, before).twice
    assert not waiting.heard(PERMIT, NO, 101.0, 101.1, first).twice


def test_a_sentence_names_who_holds_it_and_why() -> None:
    assert waiting.sentence([TAG]) == "Held by Anna: pump seal (number 4711)."
    many = [replaced_tag(each) for each in range(32)]
    assert len(waiting.sentence(many)) < 950
    assert "more." in waiting.sentence(many)


def replaced_tag(number: int) -> Tag:
    return Tag(id=f"{number}", name="n" * 100, reason="r" * 1_000, number="", at=1, by="plane", where="w" * 100)


# ---- The device. ----


def test_a_yes_lets_it_go_at_once_when_it_was_said_twice() -> None:
    made = device()
    made.run()
    assert is_right(made, NEW)
    assert len([each for each in made.moves if isinstance(each, Ask)]) == 2
    assert states(made)[2:5] == [State.STAGED, State.SWITCHING, State.VERIFYING]


def test_a_no_is_asked_again_every_ten_seconds_and_later_every_minute() -> None:
    asked: list[float] = []
    made = device()

    def says() -> Said:
        asked.append(made.engine.now)
        return NO

    made.says = says
    turns(made, 400)
    begun = asked[0]
    gaps = [round(after - before) for before, after in pairwise(asked)]
    assert set(gaps) == {10, 60}
    assert all(gap == 10 for gap, at in zip(gaps, asked, strict=False) if at - begun < 590)
    assert states(made)[-1] is State.WAITING_PERMIT
    assert states(made).count(State.WAITING_PERMIT) == 1, "a no is not written each time that it is heard"
    assert is_right(made, OLD)


def test_what_it_waits_for_is_told_while_it_waits() -> None:
    made = device(says=lambda: NO)
    turns(made)
    assert isinstance(made.moves[-1], Rest)
    assert made.moves[-1].failure == Failure(NO.code, NO.sentence)


def test_it_waits_for_one_thing_after_the_other_and_says_so() -> None:
    made = device(replace(ASKED, tags=(TAG,), policy=Policy(window="opened", permit=PERMIT)), says=lambda: NO)
    turns(made)
    made.local = replace(made.local, tags=())
    turns(made)
    made.local = replace(made.local, ends=made.engine.now + 100_000)
    turns(made)
    made.says = lambda: YES
    made.run()
    waits = [(each.state, each.code) for each in made.events if each.kind == "state" and each.state in waiting.WAITS]
    assert waits == [
        (State.HELD, "hold.hung"),
        (State.WAITING_WINDOW, "window.closed"),
        (State.WAITING_PERMIT, "permit.no"),
    ]
    assert is_right(made, NEW)


def test_a_tag_that_is_hung_while_the_permit_is_asked_counts() -> None:
    made = device()

    def says() -> Said:
        made.local = replace(made.local, tags=(TAG,))
        return YES

    made.says = says
    turns(made)
    assert State.SWITCHING not in states(made)
    assert made.position.state is State.HELD


def test_a_permit_that_flaps_is_no_clear_yes() -> None:
    made = device()
    answers = cycle([YES, NO])
    made.says = lambda: next(answers)
    turns(made, 200)
    assert State.SWITCHING not in states(made)
    assert states(made).count(State.WAITING_PERMIT) == 1


def test_a_tag_stops_no_switch_that_has_begun_and_no_return() -> None:
    made = device()
    made.until(State.SWITCHING)
    made.local = replace(made.local, tags=(TAG,))
    made.engine.behaviours["web2"] = replace(made.engine.behaviour(""), starts=False)
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, OLD)


def test_what_runs_is_kept_up_while_it_waits() -> None:
    made = device(says=lambda: NO)
    turns(made)
    made.engine.containers.clear()
    turns(made)
    assert is_right(made, OLD)
    assert made.position.state is State.WAITING_PERMIT


def test_what_runs_is_looked_at_as_often_as_it_needs_while_it_waits() -> None:
    made = device(says=lambda: NO)
    turns(made, 150)
    name = OLD.container("web")
    before = len(made.moves)
    for _ in range(8):  # an engine that starts nothing again by itself, as Podman's
        made.engine.containers[name] = replace(made.engine.containers[name], state="exited", exit_code=1)
        made.turn()
    rests = [each.seconds for each in made.moves if isinstance(each, Rest)]
    assert max(rests[:-3]) == 60
    assert min(each.seconds for each in made.moves[before:] if isinstance(each, Rest)) <= 5


def test_what_runs_so_badly_that_it_is_mended_all_the_time_does_not_hold_up_its_cure() -> None:
    made = device(says=lambda: NO)
    turns(made)
    made.engine.behaviours["web1"] = replace(made.engine.behaviour(""), starts=False)
    name = OLD.container("web")
    made.engine.containers[name] = replace(made.engine.containers[name], state="exited", exit_code=1)
    made.says = lambda: YES
    made.run()
    assert is_right(made, NEW)


def test_what_was_staged_is_fetched_again_if_it_goes_while_it_waits() -> None:
    made = device(says=lambda: NO)
    turns(made)
    made.held.clear()
    made.engine.images -= {each.image for each in NEW.manifest.services.values()}
    before = len(made.moves)
    turns(made)
    assert any(isinstance(each, Fetch) for each in made.moves[before:])
    made.says = lambda: YES
    made.run()
    assert is_right(made, NEW)


def test_a_newer_order_takes_the_place_of_one_that_waits() -> None:
    made = device(replace(ASKED, tags=(TAG,)))
    third = slot(3, line("3"))
    made.releases = {**made.releases, third.target: third}
    made.engine.names |= {config: what.name for config, what in third.manifest.images.items()}
    turns(made)
    made.order(third)
    turns(made)
    assert made.position.ended[NEW.attempt] is State.REFUSED
    assert (made.position.attempt, made.position.state) == (third.attempt, State.HELD)


def test_a_device_that_starts_each_morning_may_wait_for_a_whole_season() -> None:
    made = device(says=lambda: NO)
    turns(made)
    for _ in range(200):
        made.restart()
        turns(made, 3)
    assert states(made)[-1] is State.WAITING_PERMIT
    made.says = lambda: YES
    made.until(State.VERIFYING)
    made.restart()
    made.run()
    assert states(made)[-1] is State.ROLLED_BACK, "and those starts are not counted on the way back either"


# ---- The law. ----


@dataclass
class Line:
    """What people and plant do, in any order, and what was so last."""

    made: Device
    answers: list[tuple[float, bool]] = field(default_factory=list)
    yes: bool = False

    def says(self) -> Said:
        self.answers.append((self.made.engine.now, self.yes))
        return YES if self.yes else NO

    def act(self, what: str) -> None:
        made, local = self.made, self.made.local
        match what:
            case "yes" | "no":
                self.yes = what == "yes"
            case "hang" | "lift":
                made.local = replace(local, tags=(TAG,) if what == "hang" else ())
            case "open" | "brief" | "close":
                length = {"open": 10_000.0, "brief": NEEDS / 2, "close": 0.0}[what]
                made.local = replace(local, ends=made.engine.now + length if length else None)
            case "spoil" | "mend":
                policy = DAMAGED if what == "spoil" else Policy(window="opened", permit=PERMIT)
                made.local = replace(local, policy=policy)
            case "restart":
                made.restart()
            case _:
                made.engine.now += float(what)


ACTS = "yes yes yes no hang lift lift open open open brief close spoil mend mend restart 1 3 30".split()


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 3)), min_size=5, max_size=40))
def test_nothing_is_switched_unless_the_last_answer_was_yes_no_tag_hangs_and_the_window_is_open(
    acts: list[tuple[str, int]],
) -> None:
    made = device(Local(policy=Policy(window="opened", permit=PERMIT)))
    made.until(State.WAITING_WINDOW)
    people = Line(made)
    made.says = people.says
    switched = False
    for what, most in acts:
        people.act(what)
        for _ in range(most):
            before = len(made.events)
            begun, ends = made.engine.now, made.local.ends
            made.turn()
            if any(each.state is State.SWITCHING and each.kind == "state" for each in made.events[before:]):
                switched = True
                at, yes = people.answers[-1]
                assert yes
                assert people.answers[-2][1]
                assert begun - at <= GOOD
                assert made.local.tags == ()
                assert isinstance(made.local.policy, Policy)
                assert ends is not None
                assert ends >= begun + NEEDS
        if not switched:
            running = {each.attempt for each in made.engine.observed().containers if each.state in RUNS}
            assert running <= {OLD.attempt}


@pytest.mark.parametrize("daemon", [False, True], ids=["agent", "whole device"])
def test_a_power_cut_at_any_operation_of_an_attempt_that_waits_never_lets_it_go_by_itself(*, daemon: bool) -> None:
    def make() -> Device:
        made = device(replace(ASKED, tags=(TAG,)), says=lambda: NO)
        made.cut_after = None
        return made

    whole = make()
    turns(whole)
    for operations in range(whole.operations - make().operations + 1):
        made = make()
        made.cut_after = made.operations + operations
        try:
            turns(made)
            made.local = ASKED
            turns(made)
        except Cut:
            if daemon:
                made.engine.restart()
            made.restart()
            turns(made)
        made.cut_after = None
        assert made.position.state in waiting.WAITS
        assert is_right(made, OLD)
        assert not any(isinstance(each, Note) and each.state is State.SWITCHING for each in made.moves)
        made.local, made.says = ASKED, lambda: YES
        made.run()
        assert is_right(made, NEW)
