# SPDX-License-Identifier: Apache-2.0
"""Makes a plane out of nothing, gives it its root of trust, and keeps what only its machine has: the values key.

Keys, database, first administrator, and last the settings file, whose presence says that it is one. Cut short at any
point, the same command finishes it; done twice, the second time says that there is one. The root of trust names the
plane's online key, so it usually comes after: the plane is made, people make the root, the plane is given it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from checkvalve.crypto import digests, passwords, seal
from checkvalve.crypto import keys as crypto_keys
from checkvalve.errors import ConflictError, InvalidError, NotFoundError
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
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import publish
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Anchor
from checkvalve.server.values import actions as value_actions
from checkvalve.server.values import custody, locking
from checkvalve.server.values import queries as value_queries
from checkvalve.server.values import writes as value_writes


@dataclass(frozen=True)
class Origins:
    """Where time, ids and entropy come from."""

    now: Callable[[], datetime]
    new_id: Callable[[], str]
    entropy: Callable[[int], bytes]


@dataclass(frozen=True)
class Founded:
    """What `init` tells: the pin devices and people type once, and the public key that signers name in their root."""

    directory: Path
    pin: str
    login: str
    online: Path


def found(
    directory: Path, wanted: Settings, login: str, password: str, origins: Origins, root: bytes | None = None
) -> Founded:
    """Make the plane `wanted` in `directory` with one administrator, and with `root` if its key is there already.

    Raises `ConflictError` (`plane.exists`, `trust.no_plane_key`), `InvalidError` (`login.*`, `password.*`,
    `settings.database`), `UnavailableError` (`database.unavailable`), and what `publish.rooted` raises of `root`.
    """
    tidy = logins.check(login)
    password_rules.check(password, tidy)
    settings.absent(directory)
    if root is not None:
        publish.rooted(Anchor(), root, _online(directory / "keys"), origins.now())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys.online(directory / "keys")
    authority = keys.make_authority(directory / "keys", wanted.plane, origins.now(), origins.entropy(16))
    keys.plane_pair(directory / "keys", authority, wanted.names, origins.now(), origins.entropy(16))
    keys.orders(directory / "keys", authority, origins.now(), origins.entropy(16))
    database = Database.open(wanted.database, directory)
    try:
        migrate.upgrade(database)
        values_key(directory / "keys", database, origins)
        stored = passwords.store(password, origins.entropy(passwords.SALT_SIZE))
        database.write_now("found", _administrator, tidy, stored, origins)
        if root is not None:
            database.write_now("root", _first_root, root, keys.online(directory / "keys"), origins, again=True)
    finally:
        database.close()
    settings.write(directory, wanted)
    return Founded(directory, authority.pin, tidy, directory / "keys" / keys.ONLINE_PUBLIC)


def give_root(directory: Path, known: Settings, root: bytes, origins: Origins) -> str:
    """Give the plane in `directory` its first root of trust; return the root's SHA-256, in hex: what devices pin.

    Raises `ConflictError` (`trust.same`, `trust.present`), and what `publish.rooted` raises.
    """
    online = keys.online(directory / "keys")
    database = Database.open(known.database, directory)
    try:
        migrate.upgrade(database)
        database.write_now("root", _first_root, root, online, origins, again=False)
    finally:
        database.close()
    return digests.sha256_hex(root)


def values_key(directory: Path, database: Database, origins: Origins) -> bytes:
    """Return the key that secrets are locked with, from the keys in `directory`; made if none was ever needed.

    Raises `ConflictError` (`values.key_lost`, `values.key_other`), `InvalidError` (`key.form`).
    """
    there = keys.values_there(directory)
    new = custody.judge(database.read_now("values key", value_queries.custody), there)
    key = keys.values(directory, origins.entropy(seal.KEY_SIZE)) if there is None else there
    if new:
        database.write_now("values key", _note_key, key, origins.now())
    return key


def new_values_key(directory: Path, known: Settings, origins: Origins, *, sure: bool) -> int:
    """Go on without the key that secrets were locked with; return how many secrets are taken away with it.

    No process of the plane may run meanwhile. Cut short, it may be done again. Raises `ConflictError`
    (`values.key_there`: nothing is lost), `InvalidError` (`values.key_sure`).
    """
    database = Database.open(known.database, directory)
    try:
        migrate.upgrade(database)
        if _has_key(directory / "keys", database):
            raise ConflictError(
                "values.key_there", "Every secret here opens with keys/values.key.", "Start the plane: checkvalve serve"
            )
        number = len(database.read_now("secrets", value_queries.secrets))
        if not sure:
            raise InvalidError(
                "values.key_sure",
                f"Without keys/values.key the secrets that are set, {number}, have to be set again.",
                "Look for the backup of the key first. If there is none: checkvalve new-values-key --yes",
            )
        key = keys.values_anew(directory / "keys", origins.entropy(seal.KEY_SIZE))
        reason = "checkvalve new-values-key on this machine"
        act = Act(EntryId(origins.new_id()), origins.now(), PLANE, reason=reason)
        return database.write_now("values.new_key", value_actions.new_key, act, key, origins.new_id)
    finally:
        database.close()


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


def _note_key(tx: Tx, key: bytes, now: datetime) -> None:
    if custody.judge(value_queries.custody(tx), key):  # of two processes that start at once one is first
        value_writes.note_key(tx, locking.fingerprint(key), now)


def _has_key(directory: Path, database: Database) -> bool:
    try:
        custody.judge(database.read_now("values key", value_queries.custody), keys.values_there(directory))
    except (ConflictError, InvalidError):
        return False
    return True


def _online(directory: Path) -> crypto_keys.PrivateKey:
    if not (directory / keys.ONLINE).exists():
        raise ConflictError(
            "trust.no_plane_key",
            "No root of trust can name this plane's key yet: the key is made together with the plane.",
            "Make the plane without --root, make the root with its online.pub, then: checkvalve init --root root.json",
        )
    return keys.online(directory)


def _first_root(tx: Tx, root: bytes, online: crypto_keys.PrivateKey, origins: Origins, *, again: bool) -> None:
    there = supply_queries.anchor(tx).root
    if there == root and again:
        return  # given by a first try that was cut short before the settings file
    if there not in {None, root}:
        raise ConflictError(
            "trust.present",
            "The plane has a root of trust already.",
            "A successor, signed by the people of this one too, is brought with: checkvalve trust install root.json",
        )
    act = Act(id=EntryId(origins.new_id()), at=origins.now(), actor=PLANE, reason="checkvalve init on this machine")
    supply_actions.trust_root(tx, act, root, online)


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
