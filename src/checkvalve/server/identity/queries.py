# SPDX-License-Identifier: Apache-2.0
"""Reading people, sessions and tokens. Text from outside may be anything; what nothing can be called finds nothing."""

import json
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import NotFoundError
from checkvalve.ids import PersonId, SessionId, TokenId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.identity import logins
from checkvalve.server.identity.model import Person, Session, Token

Predicate = sa.ColumnElement[bool]
SLICE = 500  # people that one statement names at most

_people, _sessions, _tokens = schema.people.c, schema.sessions.c, schema.tokens.c
_PERSON = (_people.id, _people.login, _people.name, _people.home, _people.made_at, _people.disabled_at)
_SESSION = (
    _sessions.id,
    _sessions.person,
    _sessions.address,
    _sessions.agent,
    _sessions.made_at,
    _sessions.seen_at,
    _sessions.ends_at,
)
_TOKEN = (
    _tokens.id,
    _tokens.person,
    _tokens.label,
    _tokens.scope,
    _tokens.permissions,
    _tokens.made_at,
    _tokens.ends_at,
    _tokens.used_at,
)


def by_login(tx: Tx, login: str) -> tuple[Person, str] | None:
    """Return who signs in as `login`, disabled ones too, and the stored form of their password."""
    known = logins.known_as(login)
    if known is None:
        return None
    row = tx.first(sa.select(*_PERSON, _people.password).where(_people.login == known))
    return None if row is None else (_person(row), row.password)


def person(tx: Tx, person_id: PersonId) -> Person:
    """Return one person, disabled ones too; `NotFoundError` (`person.not_found`)."""
    return _person(_person_row(tx, person_id, *_PERSON))


def names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Return what people are called, by id, disabled ones too; who is no person is left out.

    For whoever may read what they made: that takes no right to read people.
    """
    wanted = sorted({each for each in ids if each and each.isprintable()})
    found: dict[str, str] = {}
    for begin in range(0, len(wanted), SLICE):
        here = _people.id.in_(wanted[begin : begin + SLICE])
        found |= {row.id: row.name for row in tx.all(sa.select(_people.id, _people.name).where(here))}
    return found


def password(tx: Tx, person_id: PersonId) -> str:
    """Return the stored form of a person's password; `NotFoundError` (`person.not_found`)."""
    stored: str = _person_row(tx, person_id, _people.password).password
    return stored


def people(tx: Tx, seen: Predicate, *, limit: int | None = None, after: str = "") -> list[Person]:
    """Return the people one may see, by login; `after` is the login of the last one had (paging)."""
    wanted = sa.select(*_PERSON).where(seen, _people.login > after).order_by(_people.login).limit(limit)
    return [_person(row) for row in tx.all(wanted)]


def session(tx: Tx, digest: str) -> Session | None:
    """Return the session whose secret has this digest; `sessions.judge` says whether it still counts."""
    row = tx.first(sa.select(*_SESSION).where(_sessions.digest == digest))
    return None if row is None else _session(row)


def session_by_id(tx: Tx, session_id: SessionId) -> Session | None:
    """Return a session that was not signed out."""
    if not session_id.isprintable():
        return None
    row = tx.first(sa.select(*_SESSION).where(_sessions.id == session_id))
    return None if row is None else _session(row)


def sessions_of(tx: Tx, person_id: PersonId) -> list[Session]:
    """Return a person's sessions that were not signed out, newest first; `sessions.judge` says which still count."""
    wanted = sa.select(*_SESSION).where(_sessions.person == person_id).order_by(_sessions.id.desc())
    return [_session(row) for row in tx.all(wanted)]


def token(tx: Tx, digest: str) -> Token | None:
    """Return the token with this digest, unless revoked or its owner is disabled; `tokens.judge` says if it ended."""
    row = tx.first(
        sa.select(*_TOKEN)
        .join(schema.people, _people.id == _tokens.person)
        .where(_tokens.digest == digest, _tokens.revoked_at.is_(None), _people.disabled_at.is_(None))
    )
    return None if row is None else _token(row)


def token_of(tx: Tx, token_id: TokenId, owner: PersonId) -> Token:
    """Return `owner`'s token; `NotFoundError` (`token.not_found`) if it is revoked or another person's, too."""
    row = None
    if token_id.isprintable():
        row = tx.first(
            sa.select(*_TOKEN).where(_tokens.id == token_id, _tokens.person == owner, _tokens.revoked_at.is_(None))
        )
    if row is None:
        raise NotFoundError(
            "token.not_found", "There is no such token, or not for you.", "List the tokens that hold now."
        )
    return _token(row)


def tokens_of(tx: Tx, person_id: PersonId) -> list[Token]:
    """Return a person's tokens that were not revoked, newest first; `tokens.judge` says which still count."""
    wanted = sa.select(*_TOKEN).where(_tokens.person == person_id, _tokens.revoked_at.is_(None))
    return [_token(row) for row in tx.all(wanted.order_by(_tokens.id.desc()))]


def live_tokens(tx: Tx, person_id: PersonId, now: datetime) -> int:
    """Return how many of a person's tokens count at `now`."""
    count: int = tx.scalar(
        sa.select(sa.func.count()).where(
            _tokens.person == person_id, _tokens.revoked_at.is_(None), _tokens.ends_at > now
        )
    )
    return count


def home(tx: Tx, person_id: str) -> str | None:
    """Return the home path of a person, None if `person_id` is no person's."""
    if not person_id.isprintable():
        return None
    path: str | None = tx.scalar(sa.select(_people.home).where(_people.id == person_id))
    return path


def _person_row(tx: Tx, person_id: PersonId, *columns: sa.Column[object]) -> Row:
    row = tx.first(sa.select(*columns).where(_people.id == person_id)) if person_id.isprintable() else None
    if row is None:
        raise NotFoundError(
            "person.not_found", "There is no such person, or not for you.", "List the people you can see."
        )
    return row


def _person(row: Row) -> Person:
    return Person(
        id=PersonId(row.id),
        login=row.login,
        name=row.name,
        home=row.home,
        made_at=row.made_at,
        disabled_at=row.disabled_at,
    )


def _session(row: Row) -> Session:
    return Session(
        id=SessionId(row.id),
        person=PersonId(row.person),
        address=row.address,
        agent=row.agent,
        made_at=row.made_at,
        seen_at=row.seen_at,
        ends_at=row.ends_at,
    )


def _token(row: Row) -> Token:
    return Token(
        id=TokenId(row.id),
        person=PersonId(row.person),
        label=row.label,
        scope=row.scope,
        permissions=None if row.permissions is None else tuple(json.loads(row.permissions)),
        made_at=row.made_at,
        ends_at=row.ends_at,
        used_at=row.used_at,
    )
