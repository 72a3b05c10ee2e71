# SPDX-License-Identifier: Apache-2.0
"""Makes a plane out of nothing.

Keys, database, first administrator, and last the settings file, whose presence says that it is one. Cut short at any
point, the same command finishes it; done twice, the second time says that there is one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from checkvalve.crypto import passwords
from checkvalve.errors import NotFoundError
from checkvalve.ids import BindingId, EntryId, PersonId
from checkvalve.server import keys, settings
from checkvalve.server.access import roles
from checkvalve.server.access import writes as access_writes
from checkvalve.server.access.model import ROOT, Binding, Origin
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.db.schema import people
from checkvalve.server.identity import logins
from checkvalve.server.identity import passwords as password_rules
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import writes as identity_writes
from checkvalve.server.identity.model import Person
from checkvalve.server.settings import Settings


@dataclass(frozen=True)
class Origins:
    """Where time, ids and entropy come from."""

    now: Callable[[], datetime]
    new_id: Callable[[], str]
    entropy: Callable[[int], bytes]


@dataclass(frozen=True)
class Founded:
    """What `init` tells: the pin devices and people type once."""

    directory: Path
    pin: str
    login: str


def found(directory: Path, wanted: Settings, login: str, password: str, origins: Origins) -> Founded:
    """Make the plane `wanted` in `directory` with one administrator.

    Raises `ConflictError` (`plane.exists`), `InvalidError` (`login.*`, `password.*`, `settings.database`),
    `UnavailableError` (`database.unavailable`).
    """
    tidy = logins.check(login)
    password_rules.check(password, tidy)
    settings.absent(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = keys.make_authority(directory / "keys", wanted.plane, origins.now(), origins.entropy(16))
    keys.plane_pair(directory / "keys", authority, wanted.names, origins.now(), origins.entropy(16))
    database = Database.open(wanted.database, directory)
    try:
        migrate.upgrade(database)
        stored = passwords.store(password, origins.entropy(passwords.SALT_SIZE))
        database.write_now("found", _administrator, tidy, stored, origins)
    finally:
        database.close()
    settings.write(directory, wanted)
    return Founded(directory, authority.pin, tidy)


def reset_password(database: Database, login: str, password: str, origins: Origins) -> None:
    """Give a person another password and let them in again, on the machine of the plane; it leaves an entry.

    Raises `NotFoundError` (`person.not_found`), `InvalidError` (`login.*`, `password.*`).
    """
    tidy = logins.check(login)
    password_rules.check(password, tidy)
    stored = passwords.store(password, origins.entropy(passwords.SALT_SIZE))
    database.write_now("reset password", _reset, tidy, stored, origins)


def _administrator(tx: Tx, login: str, stored: str, origins: Origins) -> None:
    if tx.first(sa.select(people.c.id).limit(1)) is not None:
        return  # made by a first try that was cut short before the settings file
    now = origins.now()
    person = Person(PersonId(origins.new_id()), login, "Administrator", ROOT, now, None)
    identity_writes.add_person(tx, person, stored)
    binding = Binding(
        id=BindingId(origins.new_id()),
        person=person.id,
        role=roles.ADMINISTRATOR,
        scope=ROOT,
        origin=Origin.INIT,
        made_by=PLANE.id,
        made_at=now,
    )
    access_writes.add_binding(tx, binding)
    act = Act(id=EntryId(origins.new_id()), at=now, actor=PLANE, reason="checkvalve init on this machine")
    audit_writes.record(tx, act, "plane.init", f"person:{person.id}", ROOT, {"login": login, "role": binding.role})


def _reset(tx: Tx, login: str, stored: str, origins: Origins) -> None:
    found = identity_queries.by_login(tx, login)
    if found is None:
        raise NotFoundError("person.not_found", f"Nobody here signs in as {login}.", "Check the spelling.")
    person = found[0]
    identity_writes.set_password(tx, person.id, stored)
    identity_writes.end_sessions(tx, person.id)
    identity_writes.enable(tx, person.id)
    act = Act(EntryId(origins.new_id()), origins.now(), PLANE, reason="checkvalve reset-password on this machine")
    audit_writes.record(tx, act, "person.reset_password", f"person:{person.id}", person.home, {"login": login})
