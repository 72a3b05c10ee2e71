# SPDX-License-Identifier: Apache-2.0
"""Two organisations on one plane, a person for each role in each, and a clock that stands until it is moved."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from litestar import Litestar

from checkvalve import ids
from checkvalve.canonical import Json
from checkvalve.crypto import keys, passwords, tokens
from checkvalve.ids import ApprovalId, BindingId, EntryId, PersonId, RolloutId, ScopeId, SessionId, TokenId
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access import roles
from checkvalve.server.access.model import ROOT, Binding, ScopeKind, Visibility
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import PLANE, Act, Actor, Entry
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity.model import Person, Session, Token
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts.model import Intent
from checkvalve.server.web import app, auth, pages, problems
from checkvalve.server.web.door import Door
from checkvalve.server.web.plane import Plane
from tests.parts import keyring, stock

ORIGIN = "https://plane.test:9443"
DEVICE_ORIGINS = ("https://plane.test:8443", "https://192.0.2.10:8443")
PASSWORD = "a horse, a staple, no battery"
STORED = passwords.store(PASSWORD, bytes(16), 1)
NOBODYS_ROLE = "none"
ROLES = (*roles.BUILT_IN, NOBODYS_ROLE)
ONLINE = keys.make()
AUTHORITY, ORDERS = keyring.plane(datetime(2026, 1, 1, tzinfo=UTC))
RELEASE = "edge-base@sha256:" + "a" * 64


_MADE: dict[str, Litestar] = {}


def door(plane: Plane, kind: str = "api") -> Door:
    """Return the operators' application for this plane, with pages or without.

    An application takes a tenth of a second to make, a test less: it is made once, and lent to one plane at a time.
    """
    if kind not in _MADE:
        with_pages = kind == "pages"
        handlers = copy.deepcopy(pages.handlers) if with_pages else []
        _MADE[kind] = app.application(plane, handlers, pages.answer if with_pages else problems.answer)
    _MADE[kind].state["plane"] = plane
    return Door(_MADE[kind], plane, plane.hosts)


@dataclass(frozen=True)
class User:
    """A person with an open session."""

    person: Person
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """Of every request of theirs, changes included."""
        return {"cookie": f"{auth.COOKIE}={self.secret}", "x-csrf-token": tokens.csrf_token(self.secret)}

    @property
    def actor(self) -> Actor:
        return Actor("person", self.person.id, self.person.login)


@dataclass
class Plant:
    """The plane under test, its blobs in `directory`. `time` is what its clock shows."""

    db: Database
    time: datetime
    directory: Path
    numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    organisations: dict[str, str] = field(default_factory=dict)
    users: dict[tuple[str, str], User] = field(default_factory=dict)
    plane: Plane = field(init=False)
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        self.plane = Plane(
            db=self.db,
            name="test plane",
            version="0",
            ca_pem=b"-----BEGIN CERTIFICATE-----\n",
            ca_pin="sha256:00",
            origins=(ORIGIN,),
            device_origins=DEVICE_ORIGINS,
            blobs=Blobs(self.directory / "blobs"),
            online=ONLINE,
            authority=AUTHORITY,
            orders=ORDERS,
            values=bytes(range(32)),
            now=lambda: self.time,
            new_id=self.new_id,
            entropy=lambda size: self.numbers().to_bytes(size),
        )
        self.door = door(self.plane)

    def build(self) -> "Plant":
        """Make both organisations and everybody in them, and a release that all may run.

        That takes forty acts: they are done once, and what they left is put into the plants that come after.
        """
        if self.time in _BUILT:
            _BUILT[self.time].put(self)
        else:
            _BUILT[self.time] = Built.of(self._build())
        return self

    def _build(self) -> "Plant":
        stock.release(self.db, self.new_id(), RELEASE, self.time)
        for name in ("north", "south"):
            self.organisations[name] = self.scope(ROOT, ScopeKind.ORGANISATION, name)
            for role in ROLES:
                self.users[name, role] = self.user(self.organisations[name], f"{role}.{name}", role)
        return self

    def close(self) -> None:
        """Let the threads go."""
        self.plane.attempts.close()
        self.plane.imports.close()

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.door, client=("192.0.2.7", 40_000))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers, verify=False)  # no TLS here

    def later(self, **span: float) -> None:
        self.time += timedelta(**span)

    def new_id(self) -> str:
        return ids.encode(int(self.time.timestamp() * 1000), self.numbers().to_bytes(10))

    def act(self, actor: Actor = PLANE) -> Act:
        return Act(EntryId(self.new_id()), self.time, actor)

    def scope(self, parent: str, kind: ScopeKind, name: str) -> str:
        made = ScopeId(self.new_id())
        return self.db.write_now("scope", access_actions.create_scope, self.act(), made, parent, kind, name).path

    def person(self, home: str, login: str = "") -> Person:
        login = login or f"someone.{self.numbers()}"
        person = Person(PersonId(self.new_id()), login, login.title(), home, self.time)
        return self.db.write_now("person", identity_actions.create_person, self.act(), person, STORED)

    def bind(self, person: Person, role: str, scope: str, **more: Any) -> Binding:  # noqa: ANN401 - of Binding
        binding = Binding(BindingId(self.new_id()), person.id, role, scope, made_by="plane", made_at=self.time, **more)
        return self.db.write_now("bind", access_actions.bind, self.act(), binding)

    def unbind(self, binding: Binding) -> None:
        self.db.write_now("unbind", access_actions.unbind, self.act(), binding.id)

    def sign_in(self, person: Person) -> User:
        secret = tokens.session_secret(self.numbers().to_bytes(32))
        ends = self.time + timedelta(hours=12)
        session = Session(SessionId(self.new_id()), person.id, "192.0.2.7", "test", self.time, self.time, ends)
        self.db.write_now("sign in", identity_actions.sign_in, self.act(), session, tokens.digest(secret))
        return User(person, secret)

    def user(self, home: str, login: str = "", role: str = NOBODYS_ROLE) -> User:
        person = self.person(home, login)
        if role != NOBODYS_ROLE:
            self.bind(person, role, home)
        return self.sign_in(person)

    def token(self, person: Person, scope: str = ROOT, *permissions: str) -> str:
        """Issue an API token; return its secret."""
        secret = tokens.api_token(self.numbers().to_bytes(32))
        ends = self.time + timedelta(days=30)
        token = Token(TokenId(self.new_id()), person.id, "test", scope, permissions or None, self.time, ends)
        self.db.write_now("token", identity_actions.issue_token, self.act(), token, tokens.digest(secret))
        return secret

    def rollout(self, scope: str, drafter: Person, approvals: int = 1, *, proposed: bool = False) -> tuple[str, str]:
        """Return the ids of a rollout and of its approval ("" where it has none)."""
        actor = Actor("person", drafter.id, drafter.login)
        made, asked = RolloutId(self.new_id()), ApprovalId(self.new_id())
        intent = Intent(RELEASE, "all", approvals)
        self.db.write_now("draft", rollout_actions.draft, self.act(actor), made, scope, f"r{self.numbers()}", intent)
        if not proposed:
            return made, ""
        self.db.write_now("propose", rollout_actions.propose, self.act(actor), made, asked)
        return made, asked if approvals else ""

    def start(self, rollout: str) -> str:
        """Start a rollout that was proposed; return its id."""
        self.db.write_now("start", rollout_actions.start, self.act(), RolloutId(rollout), self.new_id)
        return rollout

    def pause(self, rollout: str, code: str = "", reason: str = "") -> str:
        """Pause a rollout: as the judge does, if there is a code; return its id."""
        self.db.write_now("pause", rollout_actions.pause, self.act(), RolloutId(rollout), code, reason)
        return rollout

    def entries(self, limit: int = 5) -> list[Entry]:
        """Return the newest entries, newest first."""
        everywhere = access_queries.entries_within(Visibility((ROOT,)))
        return self.db.read_now("entries", lambda tx: audit_queries.latest(tx, everywhere, limit=limit))


@dataclass(frozen=True)
class Built:
    """What a plant has once it is built: its rows by table, who and what is there, and the last of its numbers."""

    rows: dict[str, list[dict[str, Any]]]
    organisations: dict[str, str]
    users: dict[tuple[str, str], User]
    number: int

    @classmethod
    def of(cls, plant: Plant) -> "Built":
        def read(tx: Tx) -> dict[str, list[dict[str, Any]]]:
            tables = schema.metadata.sorted_tables
            return {table.name: [dict(row._mapping) for row in tx.all(sa.select(*table.c))] for table in tables}

        rows = plant.db.read_now("built", read)
        return cls(rows, dict(plant.organisations), dict(plant.users), plant.numbers())

    def put(self, plant: Plant) -> None:
        """Let a plant whose database is empty have the same."""

        def write(tx: Tx) -> None:
            for table in schema.metadata.sorted_tables:
                if self.rows[table.name]:
                    tx.run(sa.insert(table), self.rows[table.name])  # type: ignore[arg-type] # many at once

        plant.db.write_now("built", write)
        plant.organisations |= self.organisations
        plant.users |= self.users
        plant.numbers = itertools.count(self.number + 1).__next__


_BUILT: dict[datetime, Built] = {}


def without_ids(answer: httpx.Response) -> tuple[int, Json]:
    """Return what two answers to different requests may share: all but the request's id."""
    body = answer.json()
    body.pop("request", None)
    return answer.status_code, body
