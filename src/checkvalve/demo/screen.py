# SPDX-License-Identifier: Apache-2.0
"""Shows how a rollout goes on, one mark for each device: on a terminal in place, elsewhere a line for each change."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from checkvalve.demo import station
from checkvalve.protocol.exchange import State
from checkvalve.protocol.rollout import RolloutProgress, RolloutWave

WAITS, GOES, SWITCHES, WATCHED, TOOK, FAILED, LEFT = "· ○ ◔ ◐ ● ■ □".split()
LEGEND = (
    f"{WAITS} waits  {GOES} ordered  {SWITCHES} switches  {WATCHED} is watched for {station.SOAK} s  "
    f"{TOOK} runs it, receipt signed  {FAILED} went back by itself  {LEFT} left behind"
)
_MARKS = {State.SWITCHING: SWITCHES, State.ROLLING_BACK: SWITCHES, State.VERIFYING: WATCHED, State.DEGRADED: FAILED}
_STYLES = {TOOK: "green", FAILED: "red", LEFT: "red", WATCHED: "cyan", SWITCHES: "cyan", GOES: "cyan", WAITS: "dim"}

SELDOM = 0.8  # seconds between two lines

Strips = list[tuple[str, str]]


class Screen:
    """One rollout's progress, while it is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: tuple[str, Strips] | None = None
        self._told = -SELDOM
        self._line: Text | None = None  # not printed yet

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._line is not None:
            self._console.print(self._line, soft_wrap=True)

    def show(self, now: RolloutProgress, seconds: float) -> None:
        """Show how far it is, so many seconds after it was looked at first."""
        found = strips(now)
        if self._live is not None:
            self._live.update(_line(found, now, seconds), refresh=True)
            return
        if (told := (now.rollout.state, _told(found))) != self._last:
            self._last, self._line = told, _line(found, now, seconds)
        if self._line is not None and seconds - self._told >= SELDOM:
            self._console.print(self._line, soft_wrap=True)
            self._line, self._told = None, seconds


def strips(now: RolloutProgress) -> Strips:
    """Return each wave's name and its devices, one mark for each."""
    open_ = now.rollout.state == "started"
    return [
        (wave.name.removeprefix("The ").removesuffix(" wave").lower(), _strip(wave, open_=wave.open and open_))
        for wave in now.waves
    ]


def _strip(wave: RolloutWave, *, open_: bool) -> str:
    steps = {State(name): count for name, count in wave.steps.items()}
    going = "".join(_MARKS.get(state, GOES) * steps[state] for state in State if state in steps)
    idle = wave.going + wave.silent - sum(steps.values())
    ended = TOOK * wave.committed + FAILED * wave.failed + LEFT * wave.left
    return ended + "".join(reversed(going)) + (GOES if open_ else WAITS) * idle


def _told(found: Sequence[tuple[str, str]]) -> Strips:
    """Return what is worth another line: who has ended, and who is watched."""
    return [(name, marks.replace(SWITCHES, GOES).replace(WAITS, GOES)) for name, marks in found]


def _line(found: Sequence[tuple[str, str]], now: RolloutProgress, seconds: float) -> Text:
    line = Text(f"   {seconds:5.1f} s ")
    for name, marks in found:
        line.append(f"  {name} ")
        for mark in marks:
            line.append(mark, style=_STYLES.get(mark, ""))
    if now.rollout.state != "started":
        line.append(f"  {now.rollout.state}", style="bold")
    return line
