# SPDX-License-Identifier: Apache-2.0
"""Following a small order until it has ended, as `device logs|restart|bundle|reboot|errand` do.

Rules: 1. what is said is what the plane last answered; a plane that is away is asked again until it is back; 2. on a
terminal one line is written over and over, elsewhere each stage is a line; all of it beside the answer; 3. whoever
leaves is told that it stays ordered, how to look again and how to take it back; 4. one that was done ends with 0, any
other with 1, its reason and what to do next.
"""

import threading
from dataclasses import dataclass, field

import typer

from checkvalve import clock
from checkvalve.cli import client, errands, failures, output
from checkvalve.cli.invocation import Invocation
from checkvalve.cli.live import INTERRUPTED
from checkvalve.errors import ThrottledError, UnavailableError
from checkvalve.protocol import errands as forms
from checkvalve.protocol import fleet

EVERY = 1.0  # seconds between two questions at first,
SELDOM = 5.0  # and after some minutes: a device that comes now and then is not sooner back for being asked after
LOOK = 15.0  # seconds between two looks at when the device was last heard
_ELSEWHERE = "plane.redirect"  # what sends to another address is no plane that is away


@dataclass
class Waiting:
    """One wait: what is followed, and what was said of it."""

    run: Invocation
    device: fleet.WholeDevice
    began: float = field(default_factory=clock.monotonic)
    _looked: float = field(default_factory=clock.monotonic)
    _stage: str = ""

    def ended(self, data: bytes) -> tuple[bytes, forms.Errand]:
        """Return the answer of the plane once the small order has ended; `data` is the one at hand."""
        pause, took = threading.Event(), 0.0
        while True:
            one = client.decode(data, forms.Errand)
            if one.state != "waiting":
                output.passing("")
                return data, one
            self._tell(*errands.waits(one, self.device, self.device.interval, clock.now()))
            elapsed = clock.monotonic() - self.began
            pause.wait(max(min(SELDOM, max(EVERY, elapsed / 30)), min(3 * took, LOOK)))
            asked = clock.monotonic()
            data = self._asked(one, data)
            took = clock.monotonic() - asked

    def _asked(self, one: forms.Errand, before: bytes) -> bytes:
        try:
            if one.given_at is None and clock.monotonic() - self._looked >= LOOK:
                self._looked = clock.monotonic()
                self.device = self.run.plane.get(f"/api/v1/devices/{one.device}", fleet.WholeDevice)
            return self.run.plane.raw("GET", errands.at(one.id))
        except (UnavailableError, ThrottledError) as error:
            if error.code == _ELSEWHERE:
                raise
            self._tell("away", "The plane does not answer; it is asked again. What was ordered stays ordered.")
            return before

    def _tell(self, stage: str, sentence: str) -> None:
        if self.run.flags.quiet or self.run.flags.as_json:
            return
        if output.watched():
            output.passing(sentence)
        elif stage != self._stage:
            output.note(sentence)
        self._stage = stage


def follow(run: Invocation, data: bytes, device: fleet.WholeDevice, first: str = "") -> tuple[bytes, forms.Errand]:
    """Wait until a small order has ended; return the plane's answer, and what it says. `first` is said first."""
    one = client.decode(data, forms.Errand)
    try:
        if first and not (run.flags.quiet or run.flags.as_json):
            output.note(first)
        return Waiting(run, device).ended(data)
    except KeyboardInterrupt:
        output.passing("")
        output.note(f"It stays ordered: {errands.what(one)}, {device.name}.")
        for line in errands.following(one, device.name):
            output.note(line)
        raise typer.Exit(INTERRUPTED) from None


def judged(run: Invocation, one: forms.Errand, name: str) -> None:
    """Leave with the exit code of rule 4, by `typer.Exit`, if it was not done; `name` is the device's."""
    if one.state == "done":
        return
    if not run.flags.quiet:
        output.note(errands.ended(one, name))
        for line in errands.following(one, name):
            output.note(line)
    raise typer.Exit(failures.FAILED)
