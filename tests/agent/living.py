# SPDX-License-Identifier: Apache-2.0
"""An agent in a process of its own, on real files, and the plane it dials."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from checkvalve import clock, ids
from checkvalve.agent import summary
from checkvalve.agent.summary import Summary
from checkvalve.crypto import keys, tokens
from checkvalve.protocol import receipt
from checkvalve.protocol.exchange import State
from checkvalve.protocol.receipt import Receipt
from tests.agent.device import DONE
from tests.agent.engine.images import Made
from tests.agent.plane import Estate, served
from tests.agent.process import KILL_AT
from tests.crypto import world

SOON = 60.0
TOKEN = tokens.join_token(b"\1" * 32)


class Living:
    """A device that has joined the plane of an estate, and its agent, started as often as one likes."""

    def __init__(self, estate: Estate, address: str, data: Path, words: tuple[str, ...], log: Path) -> None:
        self.estate, self.plane = estate, estate.plane
        self.address, self.data, self.words, self.log = address, data, words, log
        self.process: asyncio.subprocess.Process | None = None
        self._numbers = 0

    async def call(self, *words: str, data: bool = True) -> tuple[int, str, str]:
        """Run a command to its end; return its code and what it printed."""
        process = await self._start(*words, *(("--data", str(self.data)) if data else ()), piped=True)
        out, err = await asyncio.wait_for(process.communicate(), SOON)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def join(self) -> None:
        """Have it join."""
        self.plane.tokens.add(TOKEN)
        said = await self.call("join", "--server", self.address, "--token", TOKEN, "--ca-pin", self.plane.pin)
        assert said[0] == 0, said

    async def begin(self, kill_at: int = 0) -> asyncio.subprocess.Process:
        """Start the agent."""
        words = ("run", "--data", str(self.data), *self.words)
        self.process = await self._start(*words, kill_at=kill_at)
        return self.process

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the agent, and return how."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), SOON)

    def order(self, made: Made, values: str = "") -> str:
        """Have a release ordered, with values of this digest if one is said, and return the attempt."""
        self._numbers += 1
        self.plane.blobs = {**self.plane.blobs, **made.blobs}
        target = self.estate.lists(made.manifest, self._numbers)
        attempt = ids.encode(1_793_707_200_000 + self._numbers, clock.entropy(10))
        self.plane.deploy(self.device, attempt, target, values)
        return attempt

    async def until(self, condition: Callable[[], bool], seconds: float = SOON) -> None:
        """Wait for what the agent brings about; it must live meanwhile."""
        deadline = clock.monotonic() + seconds
        while not condition():
            assert self.process is None or self.process.returncode is None, self.log.read_text()[-3000:]
            assert clock.monotonic() < deadline, f"{self.status()}\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.02)

    async def deploy(self, made: Made, values: str = "") -> State:
        """Have a release ordered, and return how that ended."""
        attempt = self.order(made, values)
        await self.until(lambda: self.told(attempt) is not None)
        outcome = self.told(attempt)
        assert outcome is not None
        return outcome

    @property
    def device(self) -> str:
        """Return the only device of the plane."""
        (only,) = self.plane.kept.members
        return only

    def status(self) -> Summary:
        """Return where the device stands, by its own files."""
        return summary.of(self.data)

    def told(self, attempt: str) -> State | None:
        """Return the newest outcome that the plane has a receipt of."""
        found = [each.outcome for each in self.receipts if each.attempt == attempt and each.outcome in DONE]
        return found[-1] if found else None

    @property
    def receipts(self) -> list[Receipt]:
        """Return the receipts that the plane has, in the order of their coming."""
        public: keys.PublicKey = self.plane.kept.members[self.device].public
        sealed = self.plane.kept.receipts.values()
        return [receipt.verified(each, public) for each in sealed if each.payload_type == receipt.RECEIPT]

    async def _start(self, *words: str, piped: bool = False, kill_at: int = 0) -> asyncio.subprocess.Process:
        environment = {**os.environ, **({KILL_AT: str(kill_at)} if kill_at else {})}
        where: dict[str, Any] = {"env": environment, "stdin": asyncio.subprocess.DEVNULL}
        program = (sys.executable, "-m", "tests.agent.process", *words)
        if piped:
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(*program, stdout=pipe, stderr=pipe, **where)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(*program, stdout=log, stderr=log, **where)


@contextlib.asynccontextmanager
async def living(directory: Path, *words: str) -> AsyncIterator[Living]:
    """Lend a device that has joined; `words` are for `run`."""
    begun = clock.monotonic()
    # The plane's own clock, so that its metadata never runs out: what this machine takes for now is another thing.
    estate = Estate(lambda: world.NOON + timedelta(seconds=clock.monotonic() - begun))
    estate.plane.interval = 1
    (directory / "plane").mkdir()
    async with served(estate.plane, directory / "plane") as listener:
        device = Living(estate, listener.address, directory / "device", words, directory / "log")
        try:
            yield device
        finally:
            if device.process is not None and device.process.returncode is None:
                await device.end(signal.SIGKILL)


def sockets(process: int) -> set[str]:
    """Return the TCP and UDP sockets of a process and its descendants that listen, as the kernel's tables have them."""
    held = set[str]()
    for each in family(process):
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{each}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
                    held |= {found[1]} if found else set()
    listening = set[str]()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state and words[9] in held:
                    listening.add(f"{table} {words[1]}")
    return listening


def family(process: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = dict[int, int]()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory(process: int, which: str = "VmRSS") -> int:
    """Return the resident memory of a process, in bytes; `VmHWM`: the most that it has had."""
    (line,) = (each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith(which))
    return int(line.split()[1]) * 1024
