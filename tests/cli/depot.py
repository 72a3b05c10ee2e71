# SPDX-License-Identifier: Apache-2.0
"""Devices as rows beside a running plane, for rollouts: who they are, how far they come, and how it ends on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from checkvalve import clock
from checkvalve.ids import DeviceId
from checkvalve.protocol.exchange import State
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Changes, Device
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Outcome
from tests.cli.terminal import Terminal
from tests.cli.works import fresh
from tests.parts import fleet, stock
from tests.parts.plane import PlaneProcess

RELEASE = "press-line@sha256:" + "4f" * 32
BEFORE = "press-old@sha256:" + "3e" * 32


@dataclass
class Depot:
    """An organisation of its own with devices that ran `BEFORE`; the operator sits at `desk`."""

    plane: PlaneProcess
    admin: Terminal
    desk: Terminal
    name: str = field(default_factory=lambda: fresh("Depot "))
    path: str = ""
    devices: dict[str, Device] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the organisation, and let the plane have both releases as if people had signed them."""
        made = self.admin.done("scope", "create", "organisation", self.name, "--quiet")
        self.path = f"/{made}/"
        with self.database() as database:
            for ref, version in ((RELEASE, "2.4.1"), (BEFORE, "2.3.0")):
                stock.release(database, clock.new_id(), ref, clock.now(), version=version)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the plane's own database beside it: SQLite lets one writer in after another."""
        database = Database.open("sqlite:", self.plane.directory)
        try:
            yield database
        finally:
            database.close()

    def has(self, *names: str, tag: str = "press", before: str = BEFORE) -> "Depot":
        """Let devices be there that were heard just now, and ran something."""
        changes = {"active": before.partition("@")[2], "seen_at": clock.now(), "tags": (tag,)}

        def put(tx: Tx) -> None:
            invite = fleet.invited(tx, clock.new_id, self.path, clock.now(), uses=len(names))
            for name in names:
                self.devices[name] = fleet.joined(tx, clock.new_id, invite, clock.now(), name=name, changes=changes)

        with self.database() as database:
            database.write_now("devices", put)
        return self

    def drafted(self, *words: str) -> str:
        """Return the id of a draft that needs no approval."""
        said = ("--release", RELEASE, "--selector", "all", "--scope", self.name, "--approvals", "0")
        return self.desk.done("rollout", "draft", "Press line", *said, *words, "--quiet")

    def proposed(self, *words: str) -> str:
        """Return the id of a rollout that may start."""
        made = self.drafted(*words)
        self.desk.done("rollout", "propose", made)
        return made

    def started(self, *words: str) -> str:
        """Return the id of a rollout that has started."""
        made = self.proposed(*words)
        self.desk.done("rollout", "start", made, "--yes")
        return made

    def begins(self, name: str, state: State = State.FETCHING) -> None:
        """Let a device say that its attempt has begun."""
        self._visit(name, state)

    def ends(self, name: str, outcome: Outcome = Outcome.COMMITTED, reason: str = "") -> None:
        """Let a device's attempt end."""
        device, now = self.devices[name].id, clock.now()
        with self.database() as database:
            found = database.read_now("of", rollout_queries.of_device, device)
            assert found is not None
            attempt, code = found[1].member.attempt, "gate.exited" if reason else ""
            database.write_now("ended", rollout_writes.ended, device, attempt, outcome, code, reason, now)

    def _visit(self, name: str, state: State) -> None:
        device = DeviceId(self.devices[name].id)
        with self.database() as database:
            found = database.read_now("of", rollout_queries.of_device, device)
            assert found is not None
            changes: Changes = {
                "seen_at": clock.now(),
                "state": state,
                "attempt": found[1].member.attempt,
            }
            database.write_now("visit", fleet_writes.visited, device, changes)
