# SPDX-License-Identifier: Apache-2.0
"""What the tests of this room share: people, sessions and tokens to begin with, and the record to read afterwards."""

import dataclasses
import itertools
from datetime import datetime, timedelta

import sqlalchemy as sa

from checkvalve import ids
from checkvalve.ids import EntryId, PersonId, SessionId, TokenId
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Act, Actor, Entry
from checkvalve.server.db.database import Database
from checkvalve.server.identity import actions, sessions
from checkvalve.server.identity.model import Person, Session, Token
from tests.conftest import NOON

STORED = "pbkdf2-sha256$600000$c2FsdA==$aGFzaA=="
_numbers = itertools.count(1)


def fresh() -> str:
    return ids.encode(1_793_707_200_000, next(_numbers).to_bytes(10))


ADMIN = Actor("person", fresh(), "Administrator")


def act(actor: Actor = ADMIN, at: datetime = NOON) -> Act:
    return Act(id=EntryId(fresh()), at=at, actor=actor, request="req-1")


def as_actor(person: Person) -> Actor:
    return Actor("person", person.id, person.name)


def anna(**changes: object) -> Person:
    person = Person(PersonId(fresh()), "anna", "Anna Ek", "/org/visby/", NOON)
    return dataclasses.replace(person, **changes)  # type: ignore[arg-type]


def added(database: Database, **changes: object) -> Person:
    return database.write_now("create", actions.create_person, act(), anna(**changes), STORED)


def opened(person: Person, at: datetime = NOON, **changes: object) -> Session:
    session = Session(SessionId(fresh()), person.id, "192.0.2.7", "Firefox", at, at, at + sessions.ABSOLUTE)
    return dataclasses.replace(session, **changes)  # type: ignore[arg-type]


def signed_in(database: Database, person: Person, digest: str, at: datetime = NOON, **changes: object) -> Session:
    session = opened(person, at, **changes)
    return database.write_now("sign in", actions.sign_in, act(as_actor(person), at), session, digest)


def made(person: Person, **changes: object) -> Token:
    token = Token(TokenId(fresh()), person.id, "Backup", "/org/", ("rollout.read",), NOON, NOON + timedelta(days=30))
    return dataclasses.replace(token, **changes)  # type: ignore[arg-type]


def issued(database: Database, person: Person, digest: str, **changes: object) -> Token:
    return database.write_now("issue", actions.issue_token, act(as_actor(person)), made(person, **changes), digest)


def record(database: Database) -> list[Entry]:
    """Return the whole record, newest first."""
    return database.read_now("record", audit_queries.latest, sa.true(), limit=1000)


def latest(database: Database) -> Entry:
    return record(database)[0]
