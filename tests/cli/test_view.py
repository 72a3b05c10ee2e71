# SPDX-License-Identifier: Apache-2.0
"""What a watched rollout reads like: how long, how fast, how old; and bars that never lie about what there is."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from checkvalve.cli import drawing, rollouts
from checkvalve.cli.view import View
from checkvalve.protocol import rollout as forms

COUNTS = st.integers(0, 10_000)
LETTERS = "CFLGSW"


@dataclass
class Clock:
    """Seconds that a test counts."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def wave(number: int = 0, *, name: str = "", **more: Any) -> forms.RolloutWave:  # noqa: ANN401 - counts
    counts = {"committed": 0, "failed": 0, "left": 0, "going": 0, "silent": 0} | more
    open_, steps = counts.pop("open", True), counts.pop("steps", {})
    return forms.RolloutWave(
        wave=number, name=name or f"Wave {number + 1}", open=open_, total=sum(counts.values()), steps=steps, **counts
    )


def progress(*waves: forms.RolloutWave, **more: Any) -> forms.RolloutProgress:  # noqa: ANN401 - of the rollout
    said: dict[str, Any] = {"id": "0" * 26, "scope": "/", "name": "Press line", "state": "started", "digest": ""}
    said |= {"intent": {"release": "press-line@sha256:" + "4f" * 32}, "approval": None, "made_by": "", "made_at": ""}
    said |= {"changed_at": "", "started_at": "2026-11-03T12:00:00.000Z", "waves": len(waves)} | more
    return forms.RolloutProgress(
        rollout=forms.Rollout(**said), next="hold", reason="It waits.", devices=0, waves=list(waves)
    )


def view(found: forms.RolloutProgress, clock: Clock) -> View:
    return View(found, clock, lambda: datetime(2026, 11, 3, 12, 2, 5, tzinfo=UTC))


def drawn(seen: View, width: int = 80, height: int = 24) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(drawing.picture(seen, console))
    return out.getvalue().splitlines()


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    seen = view(progress(wave(going=100)), clock)
    assert (seen.rate, seen.pace) == (0.0, "2 min 5 s")
    clock.seconds = 30
    seen.learn(progress(wave(committed=5, failed=1, going=94)))
    assert seen.pace == "2 min 5 s, 12 devices/min"
    clock.seconds = 300
    seen.learn(progress(wave(committed=5, failed=1, going=94)))
    assert seen.rate == 0.0


@pytest.mark.parametrize(
    ("started", "ended", "lasted"),
    [
        (None, None, None),
        ("2026-11-03T12:00:00.000Z", None, 125.0),
        ("2026-11-03T12:00:00.000Z", "2026-11-03T12:00:40.000Z", 40.0),
        ("2026-11-03T13:00:00.000Z", None, 0.0),
    ],
)
def test_the_time_since_the_start_is_never_below_nothing(
    started: str | None, ended: str | None, lasted: float | None
) -> None:
    assert view(progress(started_at=started, ended_at=ended), Clock()).lasted == lasted


def test_a_plane_that_is_away_is_told_with_the_seconds_and_forgotten_when_it_is_back() -> None:
    clock = Clock(100)
    seen = view(progress(), clock)
    seen.miss()
    clock.seconds = 112
    seen.miss()
    assert seen.absence == "No answer for 12 s; trying again."
    assert "No answer for 12 s; trying again." in drawn(seen)
    seen.learn(progress())
    assert (seen.absence, seen.away) == ("", 0.0)


@pytest.mark.parametrize(
    ("state", "code", "over"),
    [
        ("draft", "", False),
        ("proposed", "", False),
        ("started", "", False),
        ("paused", rollouts.BY_PERSON, False),
        ("paused", "rollout.canary_failed", True),
        ("done", "", True),
        ("undone", "", True),
        ("cancelled", "", True),
    ],
)
def test_only_what_has_ended_or_asks_for_somebody_is_over(state: str, code: str, *, over: bool) -> None:
    seen = view(progress(state=state, code=code, reason="anna: storm."), Clock())
    assert seen.over is over
    assert seen.sentence


@given(
    committed=COUNTS,
    failed=COUNTS,
    left=COUNTS,
    going=COUNTS,
    silent=COUNTS,
    open_=st.booleans(),
    width=st.integers(6, 60),
)
def test_a_bar_is_as_long_as_asked_and_shows_whatever_there_is(
    *, committed: int, failed: int, left: int, going: int, silent: int, open_: bool, width: int
) -> None:
    one = wave(committed=committed, failed=failed, left=left, going=going, silent=silent, open=open_)
    text = "".join(piece for piece, _ in drawing.bar(one, width, LETTERS))
    assert len(text) == width
    shown = {"C": committed, "F": failed, "L": left, "G": going * open_, "S": silent * open_}
    shown["W"] = 0 if open_ else going + silent
    assert set(text) == {letter for letter, count in shown.items() if count} or (not one.total and set(text) == {"W"})


@given(st.integers(1, 300), st.integers(0, 300), st.integers(20, 120), st.integers(12, 50))
def test_a_drawing_fits_the_terminal_and_has_the_newest_wave(waves: int, newest: int, width: int, height: int) -> None:
    newest = min(newest, waves - 1)
    found = progress(*(wave(number, going=3, open=number <= newest) for number in range(waves)), wave=newest)
    lines = drawn(view(found, Clock()), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith(f"Wave {newest + 1} ") for line in lines)


def test_a_name_cannot_steer_the_terminal() -> None:
    seen = view(progress(wave(name="\x1b[2JWave", going=1), name="\x1b]0;x\x07"), Clock())
    assert "\x1b[2J" not in "\n".join(drawn(seen))
    assert "\x1b]" not in "\n".join(drawn(seen))
