# SPDX-License-Identifier: Apache-2.0
"""A small water company on a real listener with TLS: places, people, rollouts in each state, and a record of it all.

What happened before now happened some minutes or hours ago, so that pages have something to tell.
"""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from checkvalve import clock, ids
from checkvalve.crypto import certificates, passwords
from checkvalve.crypto import keys as keys_of
from checkvalve.errors import ConflictError
from checkvalve.ids import ApprovalId, BindingId, EntryId, PersonId, RolloutId, ScopeId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server import keys
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import writes as access_writes
from checkvalve.server.access.model import ROOT, Binding, Origin, ScopeKind
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Choice
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit.model import PLANE, Act, Actor
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet.model import Device
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity.model import Person
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Done, Intent, Outcome
from checkvalve.server.web import listeners, pages, rolling, tls
from checkvalve.server.web.listeners import Listener
from checkvalve.server.web.plane import Plane
from tests.parts import fleet, stock

PASSWORD = "nine copper kettles whistle"
STORED = passwords.store(PASSWORD, bytes(16), 1)
NAMES = ("localhost", "127.0.0.1")
OLD_EDGE = "edge-base@sha256:1c5e70a94d2b38f6e0a7c1d3b5f7921e4d6c8f0b2a4e6d8f0c1b3a5d7e9f1c2b"
EDGE = "edge-base@sha256:8f31c09a2b7e4d6f90b1a3c5e7f9012b4d6e8f0a1c3e5d7f9b0a2c4e6d8f1a3b"
SCADA = "scada-view@sha256:41d7e2f09c8b6a5d3e1f0c2b4a69788756453423120fedcba987654321abcdef"


@dataclass
class Estate:
    """A plane with its world. Logins are first names; everybody's password is `PASSWORD`."""

    directory: Path
    db: Database = field(init=False)
    plane: Plane = field(init=False)
    url: str = ""
    people: dict[str, Person] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    rollouts: dict[str, str] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    keys: dict[str, keys_of.PrivateKey] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.db = Database.open(f"sqlite:{self.directory / 'checkvalve.sqlite'}", self.directory)
        migrate.upgrade(self.db)

    @property
    def authority(self) -> Path:
        """The file of the CA that the listener's certificate comes from."""
        return self.directory / "keys" / "authority.crt"

    @contextmanager
    def served(self) -> Iterator["Estate"]:
        """Serve on loopback until the block ends."""
        authority = keys.make_authority(self.directory / "keys", "norra-plane", clock.now(), clock.entropy(16))
        pair = keys.plane_pair(self.directory / "keys", authority, NAMES, clock.now(), clock.entropy(16))
        door = Listener("operators", _nobody, "127.0.0.1", 0, tls.operators_context(pair.certificate, pair.key))
        door.bind()
        self.url = f"https://localhost:{door.port}"
        self.plane = Plane(
            db=self.db,
            name="norra-plane",
            version="0",
            ca_pem=certificates.to_pem(authority.certificate),
            ca_pin=authority.pin,
            origins=(self.url,),
            blobs=Blobs(self.directory / "blobs"),
            online=keys.online(self.directory / "keys"),
            authority=authority,
            orders=keys.orders(self.directory / "keys", authority, clock.now(), clock.entropy(16)),
            values=bytes(range(32)),
        )
        door.app = pages.operators(self.plane)
        loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

        async def run() -> None:
            ready.set()
            origins = rolling.Origins(self.plane.now, self.plane.new_id)
            watching = [
                asyncio.create_task(self.plane.rolling.watch(self.db, origins, self.plane.presence.stir, stop)),
                asyncio.create_task(self.plane.live.watch(stop)),
            ]
            await listeners.serve([door], stop, grace=2)
            await asyncio.gather(*watching)

        thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    def close(self) -> None:
        """Let the database go."""
        self.db.close()

    def build(self) -> "Estate":
        """Make the company: what waits, what was decided, and what was refused."""
        self._ground()
        a_day = 24 * 60
        whole, at = self.places["Norra Water"], self.moment(4 * a_day)
        stock.release(self.db, self.new_id(), OLD_EDGE, at, version="5.1", scope=whole)
        stock.release(self.db, self.new_id(), EDGE, at, version="5.2", number=2, scope=whole)
        stock.release(self.db, self.new_id(), SCADA, at, version="3.0.4", scope=whole)
        self.stand("scada-01", "Norra Water/Visby", ("line-a",), "")
        self.stand("intake-01", "Norra Water/Malmö/Intake", ("line-a",), OLD_EDGE)
        self.stand("valve-01", "Norra Water/Luleå", ("line-a",), OLD_EDGE)
        self.draft("SCADA view 3.0.4", "olof", "Norra Water/Visby", SCADA, ago=3 * a_day)
        self.propose("SCADA view 3.0.4", ago=3 * a_day - 20)
        self.vote("SCADA view 3.0.4", "ada", Choice.APPROVE, "Window agreed with Visby.", ago=2 * a_day)
        self.start("SCADA view 3.0.4", "olof", ago=2 * a_day - 60)
        self.done("SCADA view 3.0.4", ago=2 * a_day - 75)
        self.draft("Historian fix, line A", "maria", "Norra Water/Örebro", EDGE, ago=a_day)
        self.propose("Historian fix, line A", ago=a_day - 5)
        self.vote("Historian fix, line A", "ada", Choice.REJECT, "No window before the audit.", ago=600)
        self.cancel("Historian fix, line A", "maria", ago=590)
        self.draft("Chlorine dosing test", "olof", "Norra Water/Gävle", EDGE, ago=95)
        self.draft("Edge base 5.2, autumn", "olof", "Norra Water/Malmö", EDGE, ago=47, change="MOC-2291")
        self.propose("Edge base 5.2, autumn", ago=41)
        self._refused_start("Edge base 5.2, autumn", "olof", ago=12)
        return self

    def _ground(self) -> None:
        old = 9 * 24 * 60
        karin = self._administrator("karin", "Karin Ek", ago=old)
        self.scope("", ScopeKind.ORGANISATION, "Norra Water", karin, ago=old - 4)
        for name in ("Malmö", "Gävle", "Luleå", "Örebro", "Visby"):
            self.scope("Norra Water", ScopeKind.SITE, name, karin, ago=old - 9)
        for site, name in (("Malmö", "Intake"), ("Malmö", "Filter hall"), ("Gävle", "Dosing"), ("Örebro", "Line A")):
            self.scope(f"Norra Water/{site}", ScopeKind.AREA, name, karin, ago=old - 14)
        everywhere = self.places["Norra Water"]
        for login, name, role in (
            ("ada", "Ada Lind", "access-approver"),
            ("olof", "Olof Berg", "operator"),
            ("maria", "Maria Holm", "release-manager"),
            ("sven", "Sven Alm", "auditor"),
            ("eva", "Eva Norén", "viewer"),
        ):
            self.person(login, name, everywhere, ago=old - 30)
            self.bind(login, role, everywhere, karin, ago=old - 31)
        self.bind("ada", "security-analyst", everywhere, karin, ago=old - 32)
        self.bind("olof", "security-analyst", everywhere, karin, ago=old - 32)

    def person(self, login: str, name: str, home: str, ago: float = 0) -> Person:
        person = Person(PersonId(self.new_id(ago)), login, name, home, self.moment(ago))
        actor = self.actor("karin")
        made = self.db.write_now("person", identity_actions.create_person, self.act(actor, ago), person, STORED)
        self.people[login] = made
        return made

    def bind(self, login: str, role: str, path: str, by: Person, ago: float = 0) -> None:
        made, at = BindingId(self.new_id(ago)), self.moment(ago)
        binding = Binding(made, self.people[login].id, role, path, made_by=by.id, made_at=at)
        self.db.write_now("bind", access_actions.bind, self.act(self.actor(by.login), ago), binding)

    def scope(self, parent: str, kind: ScopeKind, name: str, by: Person, ago: float = 0) -> None:
        path = self.places[parent] if parent else ROOT
        made, act = ScopeId(self.new_id(ago)), self.act(self.actor(by.login), ago)
        scope = self.db.write_now("scope", access_actions.create_scope, act, made, path, kind, name)
        self.places[f"{parent}/{name}".lstrip("/")] = scope.path

    def draft(self, name: str, login: str, where: str, release: str, ago: float = 0, change: str = "") -> None:
        made, act = RolloutId(self.new_id(ago)), self.act(self.actor(login), ago)
        intent = Intent(release, "tag:line-a and not tag:frozen", 1, change, "")
        self.db.write_now("draft", rollout_actions.draft, act, made, self.places[where], name, intent)
        self.rollouts[name] = made

    def propose(self, name: str, ago: float = 0) -> None:
        asked, made = ApprovalId(self.new_id(ago)), RolloutId(self.rollouts[name])
        drafter = self.db.read_now("drafter", _drafter, made)
        login = next(login for login, person in self.people.items() if person.id == drafter)
        self.db.write_now("propose", rollout_actions.propose, self.act(self.actor(login), ago), made, asked)
        self.approvals[name] = asked

    def vote(self, name: str, login: str, choice: Choice, note: str, ago: float = 0) -> None:
        asked, person = ApprovalId(self.approvals[name]), self.people[login].id
        digest = self.db.read_now("digest", approval_queries.approval, asked).digest
        act = self.act(self.actor(login), ago)
        self.db.write_now("vote", approval_actions.vote, act, asked, person, choice, digest, note)

    def start(self, name: str, login: str, ago: float = 0) -> None:
        made = RolloutId(self.rollouts[name])
        self.db.write_now("start", rollout_actions.start, self.act(self.actor(login), ago), made, self.new_id)

    def cancel(self, name: str, login: str, ago: float = 0) -> None:
        made = RolloutId(self.rollouts[name])
        self.db.write_now("cancel", rollout_actions.cancel, self.act(self.actor(login), ago), made)

    def stand(self, name: str, where: str, tags: Sequence[str], active: str) -> Device:
        """Let a device be at a place, heard just now, and run the release with this name."""
        scope, runs, at = self.places[where], active.partition("@")[2], self.moment(9 * 24 * 60)

        def put(tx: Tx) -> Device:
            invite = fleet.invited(tx, self.new_id, scope, at, tags=tags, link=LinkClass.ASYNC)
            changes = {"active": runs, "seen_at": self.moment(0.1), "offset": 140}
            key = self.keys[name].public_key()
            return fleet.joined(tx, self.new_id, invite, at, name=name, key=key, changes=changes)

        self.keys[name] = keys_of.make()
        return self.db.write_now("join", put)

    def done(self, name: str, ago: float) -> None:
        """Let a rollout's devices have taken it."""
        rollout, at = RolloutId(self.rollouts[name]), self.moment(ago)

        def end(tx: Tx) -> None:
            for seat in rollout_queries.seats(tx, rollout, limit=None):
                member = seat.member
                rollout_writes.ended(tx, member.device, member.attempt, Outcome.COMMITTED, "", "", at)
            act = Act(EntryId(self.new_id(ago)), at, PLANE)
            rollout_actions.finish(tx, act, rollout, Done("1 device took it."))

        self.db.write_now("done", end)

    def moment(self, ago: float) -> datetime:
        """Return the moment `ago` minutes before now."""
        return clock.now() - timedelta(minutes=ago)

    def new_id(self, ago: float = 0) -> str:
        milliseconds = int(self.moment(ago).timestamp() * 1000)
        return ids.encode(milliseconds, next(self._numbers).to_bytes(4) + clock.entropy(6))

    def act(self, actor: Actor, ago: float = 0) -> Act:
        return Act(EntryId(self.new_id(ago)), self.moment(ago), actor, address="127.0.0.1")

    def actor(self, login: str) -> Actor:
        return Actor("person", self.people[login].id, login)

    def _administrator(self, login: str, name: str, ago: float) -> Person:
        person = Person(PersonId(self.new_id(ago)), login, name, ROOT, self.moment(ago))
        act = Act(EntryId(self.new_id(ago)), self.moment(ago), PLANE)
        self.db.write_now("person", identity_actions.create_person, act, person, STORED)
        binding = Binding(
            BindingId(self.new_id(ago)),
            person.id,
            "platform-admin",
            ROOT,
            origin=Origin.INIT,
            made_by=PLANE.id,
            made_at=self.moment(ago),
        )
        self.db.write_now("bind", access_writes.add_binding, binding)
        self.people[login] = person
        return person

    def _refused_start(self, name: str, login: str, ago: float) -> None:
        act = self.act(self.actor(login), ago)
        path = self.places["Norra Water/Malmö"]
        try:
            self.db.write_now("start", rollout_actions.start, act, RolloutId(self.rollouts[name]), self.new_id)
        except ConflictError as error:
            subject = f"rollout:{self.rollouts[name]}"
            self.db.write_now("refuse", audit_actions.refuse, act, "rollout.start", subject, path, error)


def _drafter(tx: Tx, rollout: RolloutId) -> str:
    return rollout_queries.rollout(tx, rollout).made_by


async def _nobody(*_: object) -> None:
    """Stand in until the port is known."""
