# SPDX-License-Identifier: Apache-2.0
"""A plane with a root of trust, a site, images and signed releases, made by the commands that people type.

What is assigned to a device goes in as rollouts write it, on the same database beside the running plane; what the
plane has of a device is read from there too.
"""

import contextlib
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from checkvalve import clock
from checkvalve.agent.link import contexts
from checkvalve.crypto import envelope, keys
from checkvalve.demo.caller import Caller
from checkvalve.ids import AttemptId, DeviceId, ReleaseId
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.enrol import Joined
from checkvalve.protocol.receipt import Receipt
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Row, Tx
from checkvalve.server.fleet import queries, writes
from checkvalve.server.fleet.model import Assignment, Device, Kept, Line
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Release
from tests.parts import archives
from tests.parts.agents import Agent
from tests.parts.machine import Machine
from tests.parts.plane import CHECKVALVE, PASSWORD, PlaneProcess

LINE = "pump-station"
ORGANISATION, SITE, RUT = "Norra Water", "Visby waterworks", "rut"
FLEET = (schema.invites, schema.devices, schema.assignments, schema.orders, schema.device_events, schema.receipts)
MOVES = frozenset({"seen_at", "offset"})  # with each report, whatever it says

GOOD, NEWER, BAD, LONG, HEAVY = "1.0", "2.0", "3.0", "4.0", "5.0"
WHY = "no recipe is there"  # the last word of what is bad

Services = Mapping[str, Mapping[str, object]]


@dataclass
class Estate:
    """A plane, the administrator at a terminal, and Rut, who makes releases; `folder` holds her keys."""

    plane: PlaneProcess
    folder: Path
    releases: dict[str, Release] = field(default_factory=dict)
    database: Database = field(init=False, repr=False)
    _admin: tuple[int, Caller] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Open the database of the plane, which was made."""
        self.database = Database.open(self.plane.database, self.plane.directory)

    def found(self) -> "Estate":
        """Start the plane, sign in, give it its root of trust, and make the site."""
        self.plane.start().stay()
        self.folder.mkdir()
        self.secret.write_text(PASSWORD + "\n")
        self._signs_in("admin")
        online = str(self.plane.directory / "keys" / "online.pub")
        self.run("keys", "init", "--plane-key", online, "--out", "keys", "--passphrase-file", str(self.secret))
        self.run("trust", "install", "keys/root.json", "--yes")
        self.run("scope", "create", "organisation", ORGANISATION)
        self.run("scope", "create", "site", SITE, "--scope", ORGANISATION)
        words = ("--name", RUT, "--scope", ORGANISATION, "--password-file", str(self.secret))
        self.run("person", "create", RUT, *words)
        self.run("binding", "create", RUT, "release-manager", "--scope", ORGANISATION)
        self._signs_in(RUT)
        return self

    @property
    def secret(self) -> Path:
        """Return the file with the administrator's password and passphrase."""
        return self.folder / "secret"

    @property
    def admin(self) -> Caller:
        """Return the administrator, signed in once in the life of the plane's process: a password is work for both."""
        if self._admin is None or self._admin[0] != self.plane.pid:
            self._admin = self.plane.pid, self.plane.caller()
        return self._admin[1]

    def run(self, *words: str, who: str = "admin") -> str:
        """Run a command of the CLI as this person and return what it printed; fail on any exit code but 0."""
        done = subprocess.run(
            [*CHECKVALVE, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CHECKVALVE_CONFIG": str(self.folder / f"{who}.json")},
            cwd=self.folder,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _signs_in(self, who: str) -> None:
        words = ("login", self.plane.url, "--pin", self.plane.pin, "--login", who, "--password-file", str(self.secret))
        self.run(*words, who=who)

    # ---- What may run. ----

    def bring(self, *images: archives.Image) -> None:
        """Import images."""
        (self.folder / "images.tar").write_bytes(archives.docker(list(images)))
        self.run("image", "import", "images.tar", "--scope", ORGANISATION, who=RUT)

    def make(self, version: str, services: Services, *, soak: str = "1s", **top: object) -> None:
        """Make a release of a compose file; it may run once `sign` was called."""
        said = {"name": LINE, "x-checkvalve": {"soak": soak, "start_grace": "10s"}, "services": services, **top}
        (self.folder / "compose.yaml").write_text(json.dumps(said))
        words = ("--scope", ORGANISATION, "--version", version, "--yes")
        self.run("release", "create", "compose.yaml", *words, who=RUT)

    def sign(self) -> None:
        """Sign what waits, so that it may run."""
        words = ("--key", "keys/targets.key", "--passphrase-file", str(self.secret), "--yes")
        self.run("release", "sign", *words, who=RUT)
        for each in self.read(lambda tx: supply_queries.releases(tx, supply_queries.EVERYWHERE)):
            self.releases[each.version] = each

    def stocked(self) -> "Estate":
        """Make and sign a release of each kind, for simulated engines."""
        heavy = archives.Image(layers=[archives.layer(app=b"\7" * 48_000_000)], names=["pump:heavy"])
        other = archives.Image(layers=[archives.layer(app=b"2")], names=["pump:2"])
        self.bring(archives.Image(names=["pump:1"]), other)
        self.bring(heavy)
        self.make(GOOD, _services("pump:1"))
        self.make(NEWER, _services("pump:2"))
        self.make(BAD, _services("pump:2", worker=f"exit=1;after=0.5s;log={WHY}"))
        self.make(LONG, _services("pump:2"), soak="3s")
        self.make(HEAVY, _services("pump:heavy"), soak="2s")
        self.sign()
        return self

    # ---- Devices. ----

    def invite(self, *words: str) -> dict[str, Any]:
        """Return an invite, with its token and the line to type."""
        said: dict[str, Any] = json.loads(self.run("device", "invite", "--site", SITE, *words, "--json"))
        return said

    def joined(self, agent: Agent, *words: str) -> Agent:
        """Have an agent join by an invite of its own."""
        assert agent.join(self.invite(*words)["command"], "--name", agent.directory.name) == ""
        return agent

    def assign(self, agent: Agent, version: str) -> str:
        """Have a device run a release, as a rollout does; return the attempt."""
        release, attempt = self.releases[version], AttemptId(clock.new_id())
        wanted = Assignment(
            DeviceId(agent.device), attempt, ReleaseId(release.id), release.target, "rollout:walk", clock.now()
        )
        self.database.write_now("assign", writes.assign, wanted)
        return attempt

    def told(self, agent: Agent, attempt: str) -> bool:
        """Tell whether the plane has a receipt of this attempt."""
        return bool(self.receipts(agent, attempt))

    def ends(self, invite: str) -> None:
        """Let the time of an invite be over."""
        over = sa.update(schema.invites).where(schema.invites.c.id == invite)
        self.database.write_now("ends", lambda tx: tx.run(over.values(ends_at=clock.now())))

    def asked(
        self, method: str, path: str, body: bytes | Iterable[bytes] = b"", who: Machine | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Send a request to the devices' door, as anybody or with a device's certificate.

        Return the status and the answer, which is a code where it is a refusal.
        """
        pair = (who.certificate, keys.dump(who.key).decode()) if who else None
        where = urlsplit(self.plane.devices)
        context = contexts.pinned(self.plane.authority.read_text(), pair)
        with contextlib.closing(HTTPSConnection(str(where.hostname), where.port, context=context, timeout=60)) as line:
            with contextlib.suppress(OSError):  # the plane may answer and hang up before it has heard all
                line.request(method, path, body, headers)
            answer = line.getresponse()
            data = answer.read()
        if answer.headers["content-type"] == "application/problem+json":
            return answer.status, json.loads(data)["code"]
        return answer.status, json.loads(data) if data else None

    def machine(self, name: str) -> Machine:
        """Return a device without an agent, that has joined and has told what it is like."""
        machine = Machine(clock=int(clock.now().timestamp() * 1000), journal=clock.new_id())
        status, said = self.asked("POST", "/v1/join", machine.join(self.invite()["token"], name))
        assert status == 201, said
        machine.take(msgspec.convert(said, Joined))
        status, said = self.asked("POST", "/v1/exchange", msgspec.json.encode(machine.first()), machine)
        assert status in {200, 204}, said
        return machine

    # ---- What the plane has. ----

    def read(self, function: Any, *args: object) -> Any:  # noqa: ANN401 - a query and what it returns
        """Return what a query returns."""
        return self.database.read_now("walk", function, *args)

    def device(self, agent: Agent) -> Device:
        """Return a device."""
        return cast("Device", self.read(queries.device, DeviceId(agent.device)))

    def lines(self, agent: Agent) -> list[Line]:
        """Return the lines of a device's journals, in the order they came."""
        return cast("list[Line]", self.read(lambda tx: queries.lines(tx, DeviceId(agent.device), limit=None)))

    def kept(self, agent: Agent, attempt: str = "") -> list[Kept]:
        """Return the receipts of a device, newest first."""
        ident = DeviceId(agent.device)
        return cast("list[Kept]", self.read(lambda tx: queries.receipts(tx, ident, attempt=attempt, limit=None)))

    def receipts(self, agent: Agent, attempt: str = "") -> list[Receipt]:
        """Return what the receipts say, newest first, each verified with the device's key."""
        found = self.kept(agent, attempt)
        key = keys.load_public(self.device(agent).public) if found else None
        return [receipts.verified(envelope.read(each.envelope), key) for each in found if key is not None]

    def entries(self, agent: Agent, action: str, kind: str = "outcome") -> list[dict[str, Any]]:
        """Return the entries of an action on a device, newest first, as a person reads them."""
        found = self.admin.get("/api/v1/audit", action=action, limit=500)["items"]
        return [each for each in found if each["kind"] == kind and each["subject"] == f"device:{agent.device}"]

    def moves(self, agent: Agent, how: str) -> None:
        """Quarantine, accept or retire a device."""
        self.admin.post(f"/api/v1/devices/{agent.device}/{how}", reason="The cabinet was found open.")

    def all_told(self, agent: Agent) -> None:
        """Wait until the plane has all lines of a device that runs; see that it has each once, and receipts too."""
        agent.until(lambda: [each.line for each in self.lines(agent)] == agent.lines)
        lines, before, digests = self.lines(agent), "", {}
        assert [each.seq for each in lines] == list(range(1, len(lines) + 1))
        assert len({each.journal for each in lines}) == 1
        for each in lines:
            assert json.loads(each.line)["prev"] == before
            before = digests[each.seq] = hashlib.sha256(each.line).hexdigest()
        kept, said = self.kept(agent), self.receipts(agent)
        assert all(digests[each.last] == each.head for each in said)
        assert all(times == 1 for times in Counter(each.attempt for each in kept).values())
        entries = self.entries(agent, "device.receipt")
        assert Counter(each["facts"]["receipt"] for each in entries) == Counter(each.digest for each in kept)

    def contents(self) -> dict[str, list[tuple[object, ...]]]:
        """Return all rows about devices and invites, but for what moves by itself."""

        def whole(tx: Tx, table: sa.Table) -> list[tuple[object, ...]]:
            columns = [column for column in table.c if column.name not in MOVES]
            found: list[Row] = list(tx.all(sa.select(*columns)))
            return sorted((tuple(row) for row in found), key=repr)

        return {table.name: self.read(whole, table) for table in FLEET}

    def verified(self, agent: Agent, which: str) -> dict[str, Any]:
        """Fetch a receipt and the device's key, and have both checked as an auditor does: without a plane."""
        out = self.folder / f"{which}.json"
        self.run("device", "receipt", agent.device, which, "--out", str(out))
        (self.folder / "device.pub").write_text(self.run("device", "key", agent.device))
        checked = self.run("verify", "receipt", str(out), "--key", "device.pub", "--json", who="an auditor")
        said: dict[str, Any] = json.loads(checked)
        return said

    def close(self) -> None:
        """Let go of the database, and of the plane."""
        self.database.close()
        self.plane.close()


def _services(image: str, worker: str = "") -> Services:
    probes = {"probes": [{"kind": "tcp", "port": 8080}]}
    return {
        "web": {"image": image, "restart": "always", "x-checkvalve": probes},
        "worker": {"image": image, "environment": {"CHECKVALVE_SIMULATE": worker}, "depends_on": ["web"]},
    }
