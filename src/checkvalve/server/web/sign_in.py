# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, for pages and API alike.

Rules: 1. an unknown login takes as long as a wrong password, and gets the same answer; 2. every failed try leaves a
`refused` entry, without the password; 3. each sign-in makes a new session, and ends the one whose cookie came with it
(session fixation); 4. what was true when the password was verified is checked again in the transaction that lets in;
5. a password kept at an earlier cost is kept anew in that same transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from checkvalve.crypto import passwords
from checkvalve.crypto import tokens as secrets_of
from checkvalve.errors import ForbiddenError, NotFoundError, StaleError, ThrottledError, UnauthenticatedError
from checkvalve.ids import EntryId, SessionId
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import sessions as sessions_judge
from checkvalve.server.identity.model import Person, Session
from checkvalve.server.web import auth, calls, plane, problems
from checkvalve.server.web.auth import Caller
from checkvalve.server.web.plane import Connection, Plane

ACTION = "session.sign_in"
_RECORDED = 64  # characters of what was typed as login


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session: `secret` goes into the cookie and nowhere else."""

    person: Person
    session: Session
    secret: str
    csrf: str


async def sign_in(connection: Connection, login: str, password: str) -> SignedIn:
    """Verify and make a session.

    Raises `UnauthenticatedError` (`session.refused`), `ThrottledError` (`session.throttled`, `session.busy`),
    `ForbiddenError` (`csrf.origin`).
    """
    auth.from_own_page(connection)
    here = plane.of(connection)
    address = str(calls.address(connection) or "")
    here.attempts.begin(login, address, here.now())
    signed_in = await _enter(connection, here, login, password)
    here.attempts.succeeded(login, address)
    return signed_in


async def verify(here: Plane, caller: Caller, address: str, password: str) -> bool:
    """Tell whether `password` is the caller's, under the same throttle as a sign-in."""
    login = caller.person.login
    here.attempts.begin(login, address, here.now())
    found = await here.db.read("login", identity_queries.by_login, login)
    if not await here.attempts.hashing(passwords.verify, password, found[1] if found else passwords.NOBODY):
        return False
    here.attempts.succeeded(login, address)
    return True


async def store(here: Plane, password: str) -> str:
    """Return the form of a new password that is kept, made on the threads for passwords."""
    return await here.attempts.hashing(passwords.store, password, here.entropy(passwords.SALT_SIZE))


async def _enter(connection: Connection, here: Plane, login: str, password: str, *, again: bool = True) -> SignedIn:
    found = await here.db.read("login", identity_queries.by_login, login)
    person, stored = found or (None, passwords.NOBODY)
    good = await here.attempts.hashing(passwords.verify, password, stored)
    act = _act(connection, here, login, person if good else None)
    if not good or person is None or person.disabled_at is not None:
        raise await _refused(here, act, login, person)
    secret = secrets_of.session_secret(here.entropy(secrets_of.ENTROPY))
    session = _session(connection, here, person, act.at)
    cookie = connection.cookies.get(auth.COOKIE, "")
    before = secrets_of.digest(cookie) if cookie else None
    anew = await _anew(here, password, stored)
    try:
        made = await here.db.write(
            ACTION, identity_actions.sign_in, act, session, secrets_of.digest(secret), stored, before, anew
        )
    except (ForbiddenError, NotFoundError, StaleError) as error:  # disabled, or another password, while we hashed
        if again and isinstance(error, StaleError):  # or the same one, kept anew by another sign-in of theirs
            return await _enter(connection, here, login, password, again=False)
        raise await _refused(here, act, login, person) from error
    return SignedIn(person, made, secret, secrets_of.csrf_token(secret))


async def _anew(here: Plane, password: str, stored: str) -> str | None:
    """Return the form to keep in place of one that costs a guesser less than today's, None if it is today's."""
    if not passwords.needs_rehash(stored):
        return None
    try:
        return await store(here, password)
    except ThrottledError:
        return None  # the threads are busy: the next sign-in does it


def _session(connection: Connection, here: Plane, person: Person, now: datetime) -> Session:
    return Session(
        id=SessionId(here.new_id()),
        person=person.id,
        address=str(calls.address(connection) or ""),
        agent=connection.headers.get("user-agent", ""),
        made_at=now,
        seen_at=now,
        ends_at=now + sessions_judge.ABSOLUTE,
    )


async def _refused(here: Plane, act: Act, login: str, person: Person | None) -> UnauthenticatedError:
    error = UnauthenticatedError("session.refused", "Login or password is wrong.", "Check both, and try again.")
    home = person.home if person else ROOT
    # Nobody has proved to be this person: the entry names what was typed, not who it would be.
    nobody = Act(EntryId(here.new_id()), act.at, Actor("person", "", _typed(login)), act.request, act.address)
    await here.db.write("refuse", audit_actions.refuse, nobody, ACTION, f"login:{_typed(login)}", home, error)
    return error


def _act(connection: Connection, here: Plane, login: str, person: Person | None) -> Act:
    actor = Actor("person", person.id, person.login) if person else Actor("person", "", _typed(login))
    return Act(
        id=EntryId(here.new_id()),
        at=here.now(),
        actor=actor,
        request=problems.request_id(connection.scope),
        address=str(calls.address(connection) or ""),
    )


def _typed(login: str) -> str:
    return _printable(login)[:_RECORDED]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
