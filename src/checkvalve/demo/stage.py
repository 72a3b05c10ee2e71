# SPDX-License-Identifier: Apache-2.0
"""The plane the demo plays on: made anew in one directory, run as the real command in a process of its own."""

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
from dataclasses import dataclass, field
from pathlib import Path

from checkvalve import clock
from checkvalve.demo.caller import Caller
from checkvalve.errors import UnavailableError

PORTS = (9443, 8443)


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
    _process: subprocess.Popen[str] | None = None

    @property
    def home(self) -> Path:
        """Return the plane's data directory."""
        return self.directory / "plane"

    def clear(self) -> None:
        """Stop what an earlier demo left running here, and remove what it made."""
        file = self.directory / "plane.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            number = int(file.read_text())
            if str(self.home) in Path(f"/proc/{number}/cmdline").read_text():
                os.kill(number, signal.SIGTERM)
                _wait_gone(number)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def make_plane(self, login: str) -> None:
        """Run `checkvalve init`."""
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
        """Leave the plane running, or stop it and remove everything."""
        for caller in self.callers.values():
            caller.close()
        if self.keep or self._process is None:
            return
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)

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

    def secret(self, name: str) -> Path:
        """Return a file with a secret of this name, made when first asked for."""
        file = self.directory / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"demo {clock.entropy(12).hex()}\n")
        return file

    def _terminal(self, login: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        config = self.directory / f"{login or 'nobody'}.json"
        environ = {**os.environ, "CHECKVALVE_CONFIG": str(config)}
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


def _wait_gone(number: int) -> None:
    """Wait up to 30 s for the end of a process that is not our child."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(number)
        select.select([handle], [], [], 30)
        os.close(handle)
