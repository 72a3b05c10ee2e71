# SPDX-License-Identifier: Apache-2.0
"""An agent as its own process, on a directory of its own, that joins by the line people type and may be killed."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from checkvalve import clock
from checkvalve.agent import journal, summary
from checkvalve.agent.summary import Summary
from tests.agent.living import sockets
from tests.agent.process import AHEAD, KILL_AT

PROGRAM = (sys.executable, "-m", "tests.agent.process")
SOON = 60.0
SIMULATED = ("--engine", "simulated")


@dataclass
class Agent:
    """An agent whose things are in `directory`; `ahead` is what its wall clock is wrong by, in seconds.

    `inside` are words before its program that start it on other networks. While it is waited for, it is watched for
    sockets that listen: `heard` is to stay empty.
    """

    directory: Path
    words: tuple[str, ...] = SIMULATED
    ahead: float = 0.0
    inside: tuple[str, ...] = ()
    device: str = ""
    process: subprocess.Popen[bytes] | None = None
    heard: set[str] = field(default_factory=set)

    @property
    def log(self) -> Path:
        """Return the file of what it says while it runs."""
        return self.directory.with_name(f"{self.directory.name}.log")

    def join(self, line: str, *more: str) -> str:
        """Type the line of an invite; return the code of the refusal, empty if it joined."""
        program, *words = shlex.split(line)
        assert program == "checkvalve-agent"
        done = subprocess.run(
            [*self.inside, *PROGRAM, *words, "--data", str(self.directory), "--json", *more],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SOON,
            env=self._environment(),
        )
        if done.returncode:
            return str(json.loads(done.stderr.splitlines()[-1])["code"])
        self.device = json.loads(done.stdout)["device"]
        return ""

    def start(self, kill_at: int = 0) -> "Agent":
        """Start it; it ends by SIGKILL after so many records of its journal, if any are said."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.inside, *PROGRAM, "run", "--data", str(self.directory), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._environment() | ({KILL_AT: str(kill_at)} if kill_at else {}),
            )
        return self

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return how it ended."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        code = self.process.wait(SOON)
        self.process = None
        return code

    def died(self) -> int:
        """Wait until it has ended by itself; return how."""
        assert self.process is not None
        code = self.process.wait(SOON)
        self.process = None
        return code

    def until(self, condition: Callable[[], bool], seconds: float = SOON) -> None:
        """Wait for what the agent brings about; it must live meanwhile, if it was started."""
        deadline, looks, pause = clock.monotonic() + seconds, 0, threading.Event()
        while not condition():
            assert self.process is None or self.process.poll() is None, self.said()
            assert clock.monotonic() < deadline, f"{self.status()}\n{self.said()}"
            if self.process is not None and looks % 10 == 0:
                self.heard |= sockets(self.process.pid)
            looks += 1
            pause.wait(0.02)

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def status(self) -> Summary:
        """Return where it stands, by its own files."""
        return summary.of(self.directory)

    @property
    def lines(self) -> list[bytes]:
        """Return the lines of its journal, as far as they are whole, without the two of its head."""
        return (self.directory / journal.NAME).read_bytes().split(b"\n")[2:-1]

    def copied(self, directory: Path) -> "Agent":
        """Return another, with a copy of all that is in this one's directory."""
        shutil.copytree(self.directory, directory)
        return replace(self, directory=directory, process=None, heard=set())

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **({AHEAD: str(self.ahead)} if self.ahead else {})}
