# SPDX-License-Identifier: Apache-2.0
"""What the demo plays on: a plane and its devices, made anew in one directory, each the real command in a process.

Each process has its id in a file there, and each container a label with the directory's name, so that the next demo
finds what this one left, also if it was killed.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.padding import Padding

from checkvalve import clock
from checkvalve.agent import identity
from checkvalve.demo import engines
from checkvalve.demo.caller import Caller
from checkvalve.demo.engines import Engine, Pretended
from checkvalve.demo.facts import Picture
from checkvalve.demo.fleet import Agent
from checkvalve.errors import UnavailableError

PORTS = (9443, 8443)
ENGINE = "engine"  # the file that has the socket of the engine that was played on


@dataclass
class Stage:
    """Where the acts play. `people` maps a login to its password; `places` a name to its scope path."""

    directory: Path
    keep: bool
    url: str = ""
    devices: str = ""
    pin: str = ""
    people: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    console: Console = field(default_factory=Console)
    engine: Engine = field(default_factory=Pretended)
    agents: list[Agent] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    @property
    def home(self) -> Path:
        """Return the plane's data directory."""
        return self.directory / "plane"

    @property
    def mark(self) -> str:
        """Return the value of the label that the demo's containers carry."""
        return str(self.directory.resolve())

    @property
    def log(self) -> Path:
        """Return the file of what the devices say while they run."""
        return self.directory / "devices.log"

    def say(self, text: str) -> None:
        """Tell what is happening."""
        if self.console.is_terminal:
            self.console.print(Padding(text, (0, 0, 0, 3), expand=False))
        else:
            self.console.print(f"   {text}", soft_wrap=True)

    def play_on(self, engine: Engine) -> None:
        """Play on this engine, and let the next demo know."""
        self.engine = engine
        (self.directory / ENGINE).write_text(engine.address)

    def agent(self, device: str) -> Agent:
        """Return a device by its id or its name."""
        return next(agent for agent in self.agents if device in (agent.device, agent.name))

    def clear(self) -> int:
        """Stop what an earlier demo left running here, and remove what it made; return how much that was."""
        numbers = [found for file in self.directory.glob("**/*.pid") if (found := _ours(file, self.directory))]
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)
        for number in numbers:
            _wait_gone(number)
        owners = [file.read_text().strip() for file in self.directory.glob(f"devices/*/{identity.OWNER}")]
        engine = self.directory / ENGINE
        removed = engines.clear(self.mark, owners, engine.read_text() if engine.exists() else "")
        shutil.rmtree(self.directory, ignore_errors=True)
        return len(numbers) + removed

    def make_plane(self, login: str) -> None:
        """Run `checkvalve init`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        operators, devices = (_free(port) for port in PORTS)
        command = [*_checkvalve("init"), "--data", str(self.home), "--json", "--name", "demo", "--admin", login]
        command += ["--names", "127.0.0.1,localhost"]  # the first is shown: an address needs no resolver
        command += ["--operators", f"127.0.0.1:{operators}", "--devices", f"127.0.0.1:{devices}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError("demo.init", f"checkvalve init failed: {done.stderr.strip()}")
        self.people[login] = json.loads(done.stdout)["password"]

    def start(self) -> float:
        """Run `checkvalve serve` and return the seconds until it was ready."""
        began = clock.monotonic()
        with (self.directory / "plane.log").open("a") as log:
            self._process = subprocess.Popen(
                [*_checkvalve("serve"), "--data", str(self.home), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        (self.directory / "plane.pid").write_text(str(self._process.pid))
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise UnavailableError("demo.serve", f"checkvalve serve did not start; see {self.directory / 'plane.log'}.")
        said = json.loads(line)
        self.url, self.devices, self.pin = said["operators"], said["devices"], said["pin"]
        return clock.monotonic() - began

    def kill(self) -> None:
        """Take the plane's power away: SIGKILL, no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Leave everything running, or stop it and remove everything."""
        if self.keep:
            self._hang_up()
            return
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """Stop devices, containers and the plane; what they wrote stays."""
        with ThreadPoolExecutor(len(self.agents) or 1) as pool:
            list(pool.map(Agent.stop, self.agents))
        self.engine.clear(self.mark, [agent.device for agent in self.agents if agent.device])
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
            self.kill()
        self._hang_up()

    def _hang_up(self) -> None:
        for caller in self.callers.values():
            caller.close()
        self.engine.close()

    def run(self, login: str, *words: str) -> str:
        """Run the CLI as this person, who has a terminal of their own; nobody where no plane is asked.

        Return what it printed; raise `UnavailableError` if it failed.
        """
        done = self._terminal(login, words)
        if done.returncode:
            raise UnavailableError("demo.command", f"checkvalve {' '.join(words[:2])}: {done.stderr.strip()}")
        return done.stdout

    def refused(self, login: str, *words: str) -> str:
        """Run the CLI as this person; return the code of its refusal, nothing if it did what was asked."""
        done = self._terminal(login, (*words, "--json"))
        return str(json.loads(done.stderr.splitlines()[-1])["code"]) if done.returncode else ""

    def complaint(self, login: str, *words: str) -> str:
        """Run the CLI as this person; return what it complains of, as people see it; nothing if it does not."""
        return self._terminal(login, words).stderr.strip()

    def secret(self, name: str) -> Path:
        """Return a file with a secret of this name, made when first asked for."""
        file = self.directory / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"demo {clock.entropy(12).hex()}\n")
        return file

    def _terminal(self, login: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        config = self.directory / f"{login or 'nobody'}.json"
        environ = {**os.environ, "CHECKVALVE_CONFIG": str(config), "NO_PROXY": "*"}  # all is on this machine
        if login and not config.exists():
            password = self.directory / f"{login}.password"
            password.touch(mode=0o600)
            password.write_text(self.people[login] + "\n")
            said = ("login", self.url, "--pin", self.pin, "--login", login, "--password-file", str(password))
            _command(said, environ)
        return _command((*words, "--yes"), environ)

    def caller(self, login: str) -> Caller:
        """Return this person, signed in once."""
        if login not in self.callers:
            caller = Caller(self.url, self.home / "keys" / "authority.crt", login)
            caller.sign_in(self.people[login])
            self.callers[login] = caller
        return self.callers[login]


def _command(words: Sequence[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [*_checkvalve(words[0]), *words[1:]]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ, timeout=60
    )


def _checkvalve(command: str) -> list[str]:
    return [sys.executable, "-m", "checkvalve.main", command]


def _free(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ours(file: Path, directory: Path) -> int:
    """Return the id in a file if a process has it that plays in the directory, else 0."""
    with contextlib.suppress(OSError, ValueError):
        number = int(file.read_text())
        if str(directory) in Path(f"/proc/{number}/cmdline").read_text():
            return number
    return 0


def _wait_gone(number: int) -> None:
    """Wait up to 30 s for the end of a process that is not our child."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(number)
        select.select([handle], [], [], 30)
        os.close(handle)
