# SPDX-License-Identifier: Apache-2.0
"""Following a rollout until it ends or needs somebody: `rollout watch`, and `--watch` of what starts or undoes one.

Rules: 1. what is shown is what the plane last answered, and for how long it has not, where it does not; 2. a plane
that is away is asked again until it is back, for ever unless a limit was given; 3. it ends with 0 when the rollout is
done, with 1 when the judge paused it or somebody ended it, and says what to do next; a person's pause is waited out;
4. whoever leaves is told that the rollout goes on. On a terminal a drawing is written over and over; elsewhere each
change is a line, with `--json` the plane's own answer.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from checkvalve import clock
from checkvalve.cli import client, config, drawing, failures, output, rollouts
from checkvalve.cli.client import Client
from checkvalve.cli.invocation import Invocation
from checkvalve.cli.progress import duration
from checkvalve.cli.view import View
from checkvalve.errors import ThrottledError, UnavailableError
from checkvalve.protocol import rollout as forms

EVERY = 1.0  # seconds between two questions
PATIENCE = 10.0  # seconds that one answer may take: a live view of something older is none
TELL = 60.0  # seconds between two lines that say that the plane is still away
INTERRUPTED = 130  # the exit code where somebody pressed Ctrl-C
_ELSEWHERE = "plane.redirect"  # what sends to another address is no plane that is away


@dataclass
class Telling:
    """Says by lines what a drawing would show."""

    view: View
    as_json: bool
    quiet: bool
    _last: bytes = b""
    _told: float | None = None  # how long the plane had been away when that was last said

    def changed(self, data: bytes) -> None:
        """Tell an answer, unless it is as the one before."""
        if self._told is not None:
            self._told = None
            self._note("The plane answers again.")
        if data == self._last or self.quiet:
            return
        self._last = data
        output.say(data.decode() if self.as_json else self.view.line())
        output.finish()  # whoever reads a pipe reads it now

    def missed(self) -> None:
        """Tell that there is no answer, at once and then now and again."""
        if self._told is None or self.view.away - self._told >= TELL:
            self._told = self.view.away
            self._note(self.view.absence)

    def _note(self, text: str) -> None:
        if not self.quiet:
            output.note(text)


@dataclass
class Drawing:
    """The view is drawn by itself."""

    def changed(self, data: bytes) -> None:
        """Nothing is to be told."""

    def missed(self) -> None:
        """Nothing is to be told."""


def follow(run: Invocation, rollout: str, give_up: float | None = None, *, patient: bool = False) -> None:
    """Show a rollout until it ends or needs somebody, then leave with the exit code of rule 3, by `typer.Exit`.

    `give_up` is how many seconds the plane may be away; `patient`: also before its first answer. Raises what the plane
    refuses with, and `UnavailableError` when it gives up.
    """
    address = rollouts.at(rollout, "progress")
    asked = Client(config.access(run.environ), min(run.seconds, PATIENCE))
    try:
        data = _first(asked, address, give_up, patient=patient)
        view = View(client.decode(data, forms.RolloutProgress))
        with _shown(run, view) as shown:
            shown.changed(data)
            _watch(asked, address, view, shown, give_up)
    except KeyboardInterrupt:
        output.note(f"The rollout goes on; watch it with: checkvalve rollout watch {client.reference(rollout)}")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        asked.close()
    raise typer.Exit(_ended(run, view.rollout))


@contextmanager
def _shown(run: Invocation, view: View) -> Iterator[Telling | Drawing]:
    if run.flags.as_json or run.flags.quiet or not drawing.possible():
        yield Telling(view, run.flags.as_json, run.flags.quiet)
    else:
        with drawing.drawn(view):
            yield Drawing()


def _first(asked: Client, address: str, give_up: float | None, *, patient: bool) -> bytes:
    since = clock.monotonic()
    while True:
        try:
            return asked.raw("GET", address)
        except (UnavailableError, ThrottledError) as error:
            gone = clock.monotonic() - since
            if not patient or error.code == _ELSEWHERE or (give_up is not None and gone >= give_up):
                raise
            output.passing(f"No answer for {duration(gone)}; trying again.")
            threading.Event().wait(EVERY)


def _watch(asked: Client, address: str, view: View, shown: Telling | Drawing, give_up: float | None) -> None:
    pause = threading.Event()
    took = 0.0
    while not view.over:
        pause.wait(max(EVERY, 3 * took))  # a plane that is slow to answer is asked less
        began = view.monotonic()
        try:
            data = asked.raw("GET", address)
        except (UnavailableError, ThrottledError) as error:
            view.miss()
            if error.code == _ELSEWHERE or (give_up is not None and view.away >= give_up):
                raise
            shown.missed()
            took = 0.0
        else:
            took = view.monotonic() - began
            view.learn(client.decode(data, forms.RolloutProgress))
            shown.changed(data)


def _ended(run: Invocation, one: forms.Rollout) -> int:
    """Tell how it ended and what to do next; return the exit code (rule 3)."""
    done = one.state == "done"
    if not run.flags.quiet:
        reason = f": {one.reason}" if one.reason else "."
        output.note(f"{one.name} {_is(one.state)}{reason}" + (f" [{one.code}]" if one.code else ""))
        for line in rollouts.following(one):
            output.note(line)
    return 0 if done else failures.FAILED


def _is(state: str) -> str:
    return {"done": "is done", "paused": "is paused", "undone": "was undone", "cancelled": "was cancelled"}[state]
