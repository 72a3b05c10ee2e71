# SPDX-License-Identifier: Apache-2.0
"""A whole plane as its own process: made by `checkvalve init`, run by `checkvalve serve`, on ports of its own."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from checkvalve.demo.caller import Caller

CHECKVALVE = (sys.executable, "-m", "checkvalve.main")
PASSWORD = "a long enough phrase for tests"


@dataclass
class PlaneProcess:
    """A plane in `directory`, run by `program`; `start` may be called again after `kill` or `stop`."""

    directory: Path
    database: str = "sqlite:"
    program: tuple[str, ...] = CHECKVALVE
    url: str = ""
    devices: str = ""
    pin: str = ""
    _callers: list[Caller] = field(default_factory=list, repr=False)
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def authority(self) -> Path:
        """Return the file of the plane's CA certificate."""
        return self.directory / "keys" / "authority.crt"

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        assert self._process is not None
        return self._process.pid

    def init(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `checkvalve init` with the administrator `admin` and `PASSWORD`."""
        command = [*self.program, "init", "--data", str(self.directory), "--json", "--password-file", "-"]
        command += ["--operators", "127.0.0.1:0", "--devices", "127.0.0.1:0", "--database", self.database, *words]
        return subprocess.run(command, input=PASSWORD + "\n", capture_output=True, text=True, check=False)

    def like(self, made: Path) -> "PlaneProcess":
        """Be a copy of the plane in `made`, for which `init` takes a second: most tests are about what comes after."""
        shutil.copytree(made, self.directory)
        return self

    def start(self, *words: str) -> "PlaneProcess":
        """Run `checkvalve serve` and wait until it is ready."""
        with (self.directory / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*self.program, "serve", "--data", str(self.directory), "--json", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log()
        said = json.loads(line)
        self.url, self.devices, self.pin = said["operators"], said["devices"], said["pin"]
        return self

    def stay(self) -> "PlaneProcess":
        """Have it come back on the ports it has now: devices dial the address that they joined by."""
        file = self.directory / "checkvalve.toml"
        text = file.read_text()
        for url in (self.url, self.devices):  # in this order the file has them
            text = text.replace("\nport = 0", f"\nport = {urlsplit(url).port}", 1)
        file.write_text(text)
        return self

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Take its power away."""
        return self._end(signal.SIGKILL)

    def died(self, seconds: float) -> int:
        """Wait until it has ended by itself; return how."""
        return self._end(0, seconds)

    def close(self) -> None:
        """Take its power away and hang up for everybody."""
        self.kill()
        while self._callers:
            self._callers.pop().close()

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def caller(self, login: str = "admin", password: str = PASSWORD) -> Caller:
        """Return a person signed in, whose answers are JSON."""
        caller = Caller(self.url, self.authority, login)
        self._callers.append(caller)
        caller.sign_in(password)
        return caller

    def log(self) -> str:
        """Return what the plane logged so far."""
        return (self.directory / "log").read_text()

    def _end(self, number: int, seconds: float = 30) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(seconds)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return code
