# SPDX-License-Identifier: Apache-2.0
"""A device in its cabinet: it joins by the line that people type, and what it tells comes in as if it had called."""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from checkvalve import canonical, clock
from checkvalve.crypto import envelope, keys
from checkvalve.ids import DeviceId, EntryId
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.exchange import Event, State, Status, Workload, digest
from checkvalve.protocol.receipt import Receipt, Seen, Step
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Kept, Line
from tests.parts.plane import PlaneProcess

AGENT = (sys.executable, "-c", "from checkvalve.main import agent; agent()")
RELEASE = "sha256:" + "b" * 64
IMAGE = "sha256:" + "c" * 64


@dataclass
class Cabinet:
    """One machine, whose agent keeps its things in `directory`."""

    directory: Path
    device: str = ""

    def types(self, line: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Type the line of an invite, as it is printed."""
        program, *words = shlex.split(line)
        assert program == "checkvalve-agent"
        done = subprocess.run(
            [*AGENT, *words, "--data", str(self.directory), "--json", *more],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode == 0:
            self.device = json.loads(done.stdout)["device"]
        return done

    def joined(self, line: str, *more: str) -> "Cabinet":
        """Type a line that must do."""
        done = self.types(line, *more)
        assert done.returncode == 0, done.stderr
        return self

    @property
    def key(self) -> keys.PrivateKey:
        """Its key, as it is on its disk."""
        (file,) = (self.directory / "keys").iterdir()
        return keys.load(file.read_bytes())

    def signs(self, plane: PlaneProcess, **more: Any) -> str:  # noqa: ANN401 - of the receipt
        """Let a receipt come in; return its digest."""
        at = int(clock.now().timestamp() * 1000)
        fields: dict[str, Any] = {
            "device": self.device,
            "attempt": clock.new_id(),
            "release": RELEASE,
            "target": "org/press-line/b.json",
            "outcome": State.ROLLED_BACK,
            "code": "gate.exited",
            "reason": "web exited with code 3.",
            "active": "",
            "steps": (Step(state=State.SWITCHING, at=at), Step(state=State.ROLLED_BACK, at=at + 900)),
            "services": (Seen(service="web", image=IMAGE, state="exited", exit=3, wrong="It exited.", logs="no luck"),),
            "at": at,
            "offset": -12,
            "journal": clock.new_id(),
            "first": 3,
            "last": 9,
            "head": hashlib.sha256(b"line 9").hexdigest(),
            "agent": "0.3.0",
            "engine": "docker 20.10.24",
        } | more
        sealed = envelope.seal(self.key, receipts.RECEIPT, receipts.write(Receipt(**fields)))
        kept = Kept(
            device=DeviceId(self.device),
            digest=envelope.digest(sealed),
            scope="",
            attempt=fields["attempt"],
            release=fields["release"],
            outcome=fields["outcome"],
            code=fields["code"],
            reason=fields["reason"],
            envelope=envelope.write(sealed),
            came_at=clock.now(),
        )
        act = Act(EntryId(clock.new_id()), clock.now(), PLANE)
        with _database(plane) as database:
            database.write_now("receipt", fleet_actions.receive, act, kept)
        return kept.digest

    def tells(self, plane: PlaneProcess, *events: Event) -> None:
        """Let lines of its journal come in, and that it runs something."""
        now, journal = clock.now(), clock.new_id()
        lines = [
            Line(journal, event.seq, event.attempt, event.state, canonical.dumps(msgspec.to_builtins(event)), now)
            for event in events
        ]
        box = Workload(service="web", image=IMAGE, state="running", health="healthy")
        said = Status(state=State.COMMITTED, active=RELEASE, workloads=(box,), agent="0.3.0", engine="docker 20.10.24")
        with _database(plane) as database:
            database.write_now("lines", fleet_writes.add_lines, DeviceId(self.device), lines)
            database.write_now(
                "status", lambda tx: fleet_writes.visited(tx, DeviceId(self.device), _changes(said, now))
            )


def _changes(said: Status, now: datetime) -> Any:  # noqa: ANN401 - fields of a device
    return {
        "seen_at": now,
        "status": canonical.dumps(msgspec.to_builtins(said)),
        "status_digest": digest(said),
        "state": said.state,
        "active": said.active,
    }


@contextmanager
def _database(plane: PlaneProcess) -> Iterator[Database]:
    """Open the plane's own database beside it: SQLite lets one writer in after another."""
    database = Database.open(f"sqlite:{plane.directory / 'checkvalve.sqlite'}", plane.directory)
    try:
        yield database
    finally:
        database.close()
