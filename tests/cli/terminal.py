# SPDX-License-Identifier: Apache-2.0
"""Typing commands: within this process, as scripts do, or into a terminal of a process of its own, as people do."""

import codecs
import io
import os
import select
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkvalve.cli import main
from tests.parts.plane import CHECKVALVE, PlaneProcess


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass
class Terminal:
    """Types commands within this process, as a script does: nobody can be asked. `home` holds the sign-in."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        """Where the sign-in is kept."""
        return self.home / ".config" / "checkvalve" / "config.json"

    def __call__(self, *words: str, stdin: str = "") -> Outcome:
        """Run one command."""
        self.monkeypatch.setenv("HOME", str(self.home))
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capsys.readouterr()
        code = main.run(list(words))
        said = self.capsys.readouterr()
        return Outcome(code, said.out, said.err)

    def done(self, *words: str, stdin: str = "") -> str:
        """Run one command that must succeed, and return what it answered, without the last line's end."""
        outcome = self(*words, stdin=stdin)
        assert outcome.code == 0, outcome.err
        return outcome.out.rstrip("\n")


class Typist:
    """A person at a terminal of their own, with one command running in it."""

    def __init__(self, home: Path, *words: str, columns: int = 80) -> None:
        self._near, far = os.openpty()
        termios.tcsetwinsize(far, (24, columns))
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # what is read may end within a letter
        self._process = subprocess.Popen(
            # A terminal of one's own takes Ctrl-C, also where the tests run in the background and do not.
            ["env", "--default-signal=INT", "setsid", "--ctty", *CHECKVALVE, *words],
            stdin=far,
            stdout=far,
            stderr=far,
            env={**os.environ, "HOME": str(home), "TERM": "xterm"},
        )
        os.close(far)

    def reads(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        while text not in self.seen:
            more = self._more()
            assert more, f"{text!r} never came: {self.seen}"

    def types(self, text: str) -> None:
        """Type a line."""
        os.write(self._near, text.encode() + b"\n")

    def ends(self) -> int:
        """Wait for the command to end, and return its exit code."""
        while self._more():
            pass
        os.close(self._near)
        return self._process.wait(30)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._near], [], [], 30)
        try:
            data = os.read(self._near, 4096) if ready else b""
        except OSError:  # the other end is closed
            data = b""
        self.seen += self._decoder.decode(data)
        return bool(data)


def process(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own, to its end."""
    return subprocess.run(
        [*CHECKVALVE, *words],
        env={**os.environ, "HOME": str(home), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def sign_in(terminal: Terminal, plane: PlaneProcess, login: str) -> None:
    """Sign `login` in, whose password is that of all."""
    terminal.done("login", plane.url, "--pin", plane.pin, "--login", login, "--password-file", password_file(plane))


def password_file(plane: PlaneProcess) -> str:
    """Return the file with the password that all people of `plane` have."""
    return str(plane.directory.parent / "password")
