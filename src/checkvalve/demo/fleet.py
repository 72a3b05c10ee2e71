# SPDX-License-Identifier: Apache-2.0
"""Devices of the demo: each a real agent, as a process of its own with a directory of its own.

What a device did is read from its own journal, and whose its receipts are from its own certificate: not from the plane.
"""

import contextlib
import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from checkvalve import clock
from checkvalve.agent import identity, journal
from checkvalve.crypto import certificates, keys
from checkvalve.protocol.exchange import Event, State

AGENT = (sys.executable, "-c", "from checkvalve.main import agent; agent()")


@dataclass
class Agent:
    """An agent and where it keeps its things; `device` is its id once it has joined."""

    name: str
    directory: Path
    device: str = ""
    process: subprocess.Popen[bytes] | None = None

    def join(self, server: str, token: str, pin: str) -> str:
        """Join a plane; return the code of the refusal, nothing if it was let in."""
        said = ["--server", server, "--token", token, "--ca-pin", pin, "--name", self.name]
        done = subprocess.run(
            [*AGENT, "join", "--data", str(self.directory), "--json", *said],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            return str(json.loads(done.stderr.splitlines()[-1])["code"])
        self.device = json.loads(done.stdout)["device"]
        return ""

    def start(self, log: Path, words: Sequence[str]) -> None:
        """Run it; `words` say on which engine."""
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*AGENT, "run", "--data", str(self.directory), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.directory.with_suffix(".pid").write_text(str(self.process.pid))

    def kill(self) -> None:
        """Take its power away: SIGKILL, no goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.kill()

    @property
    def events(self) -> list[Event]:
        """Return its journal, without the lines of its head; it is read while the agent writes it."""
        file = self.directory / journal.NAME
        found = []
        for line in file.read_bytes().split(b"\n")[2:-1] if file.exists() else ():
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Event))
        return found

    @property
    def state(self) -> State:
        """Return how far its attempt is, by its own journal."""
        return next((each.state for each in reversed(self.events) if each.kind == "state"), State.IDLE)

    @property
    def key(self) -> keys.PublicKey:
        """Return the public key of the certificate on its disk."""
        known = msgspec.json.decode((self.directory / identity.FILE).read_bytes(), type=identity.Known)
        return certificates.public_key(certificates.from_pem(known.current.certificate.encode()))

    def listeners(self) -> int:
        """Return how many sockets this process, and what it started, listens on by TCP or UDP."""
        return 0 if self.process is None else sum(_listening(pid) for pid in _tree(self.process.pid))


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds; return how many seconds that took, infinity if it never did."""
    began, pause = clock.monotonic(), threading.Event()
    while not condition():
        if clock.monotonic() - began > seconds:
            return math.inf
        pause.wait(0.02)
    return clock.monotonic() - began


def _tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            tasks = Path(f"/proc/{one}/task").iterdir()
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return found


def _listening(pid: int) -> int:
    """Return how many TCP sockets in state LISTEN, and UDP sockets of any state, the process holds."""
    held = set[str]()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    count = 0
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
        count += sum(line[9] in held and (table.startswith("udp") or line[3] == "0A") for line in lines)
    return count
