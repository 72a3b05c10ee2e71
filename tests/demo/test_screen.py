# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows of a rollout: one mark for each device, and no line twice."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from checkvalve.demo import screen
from checkvalve.demo.screen import Screen
from checkvalve.protocol.exchange import State
from checkvalve.protocol.rollout import Rollout, RolloutProgress, RolloutWave
from tests.conftest import NOON

AT = NOON.isoformat()


def _wave(number: int = 0, *, open_: bool = True, steps: dict[str, int] | None = None, **counts: int) -> RolloutWave:
    going = counts.pop("going", 0) + sum((steps or {}).values())
    said = {"committed": 0, "failed": 0, "left": 0, "silent": 0} | counts
    name = "The canary wave" if number == 0 else f"Wave {number}"
    return RolloutWave(
        wave=number, name=name, open=open_, total=going + sum(said.values()), going=going, steps=steps or {}, **said
    )


def _progress(*waves: RolloutWave, state: str = "started") -> RolloutProgress:
    rollout = Rollout(
        id="r", scope="/", name="n", state=state, intent={}, digest="", approval=None, made_by="p", made_at=AT,
        changed_at=AT,
    )  # fmt: skip
    return RolloutProgress(rollout=rollout, next="", reason="", devices=0, waves=list(waves))


def test_each_device_has_the_mark_of_how_far_it_is() -> None:
    now = _progress(
        _wave(committed=1),
        _wave(1, committed=1, failed=1, left=1, going=1, steps={"fetching": 1, "switching": 1, "verifying": 2}),
        _wave(2, open_=False, going=2, silent=1),
    )
    assert screen.strips(now) == [("canary", "●"), ("wave 1", "●■□◐◐◔○○"), ("wave 2", "···")]


@given(st.dictionaries(st.sampled_from([each.value for each in State]), st.integers(0, 5)), st.integers(0, 9))
def test_there_are_as_many_marks_as_devices(steps: dict[str, int], idle: int) -> None:
    wave = _wave(steps=steps, going=idle, committed=2, failed=1)
    ((_, marks),) = screen.strips(_progress(wave))
    assert len(marks) == wave.total


def test_without_a_terminal_each_change_is_a_line_and_the_last_is_there() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=100)) as shown:
        shown.show(_progress(_wave(going=1)), 0.0)
        shown.show(_progress(_wave(going=1)), 2.0)
        shown.show(_progress(_wave(steps={"verifying": 1})), 3.0)
        shown.show(_progress(_wave(committed=1)), 3.1)
        shown.show(_progress(_wave(committed=1), state="done"), 3.2)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert [(line[3], line[-1]) for line in lines] == [("○", "○"), ("◐", "◐"), ("●", "done")]


def test_on_a_terminal_one_line_changes() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=100, force_terminal=True)) as shown:
        shown.show(_progress(_wave(going=1)), 0.0)
        shown.show(_progress(_wave(committed=1), state="done"), 1.0)
    assert out.getvalue().count("\n") == 1
