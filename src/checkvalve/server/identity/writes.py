# SPDX-License-Identifier: Apache-2.0
"""Rows of people, sessions and tokens, without an entry: for actions of this room and of higher ones.

A session that ends is deleted, because a person's addresses are kept no longer than they serve; the record tells of
it. A token that is revoked stays, so that what held on a past date can be read.
"""

from datetime import datetime

import sqlalchemy as sa

from checkvalve import canonical
from checkvalve.ids import PersonId, SessionId, TokenId
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import people, sessions, tokens
from checkvalve.server.identity.model import Person, Session, Token
from checkvalve.server.identity.sessions import ABSOLUTE, IDLE


def add_person(tx: Tx, person: Person, stored_password: str) -> None:
    """Insert a person; the login is free and the text tidy."""
    tx.run(
        sa.insert(people).values(
            id=person.id,
            login=person.login,
            name=person.name,
            home=person.home,
            password=stored_password,
            made_at=person.made_at,
            disabled_at=person.disabled_at,
        )
    )


def name_person(tx: Tx, person: PersonId, name: str) -> None:
    """Give a person another name."""
    tx.run(sa.update(people).where(people.c.id == person).values(name=name))


def set_password(tx: Tx, person: PersonId, stored_password: str) -> None:
    """Keep another stored form. Sessions go on: end them with `end_sessions`."""
    tx.run(sa.update(people).where(people.c.id == person).values(password=stored_password))


def store_anew(tx: Tx, person: PersonId, verified: str | None, stored_password: str) -> bool:
    """Keep another stored form of the same password, if `verified` is still the one kept; tell whether it was."""
    kept = sa.and_(people.c.id == person, people.c.password == verified)
    return tx.run(sa.update(people).where(kept).values(password=stored_password)) > 0


def disable(tx: Tx, person: PersonId, at: datetime) -> None:
    """Shut a person out: no sign-in, no session, no token counts. One who is disabled keeps the first date."""
    tx.run(sa.update(people).where(people.c.id == person, people.c.disabled_at.is_(None)).values(disabled_at=at))
    end_sessions(tx, person)


def enable(tx: Tx, person: PersonId) -> None:
    """Let a person in again, and with them the tokens that did not end meanwhile."""
    tx.run(sa.update(people).where(people.c.id == person).values(disabled_at=None))


def add_session(tx: Tx, session: Session, digest: str) -> None:
    """Insert a session under the digest of its secret."""
    tx.run(
        sa.insert(sessions).values(
            id=session.id,
            digest=digest,
            person=session.person,
            address=session.address,
            agent=session.agent,
            made_at=session.made_at,
            seen_at=session.seen_at,
            ends_at=session.ends_at,
        )
    )


def seen(tx: Tx, session: SessionId, at: datetime) -> None:
    """Note a request of a session (telemetry: no entry); a moment earlier than the one noted changes nothing."""
    tx.run(sa.update(sessions).where(sessions.c.id == session, sessions.c.seen_at < at).values(seen_at=at))


def end_session(tx: Tx, session: SessionId) -> bool:
    """Delete a session; tell whether there was one."""
    return tx.run(sa.delete(sessions).where(sessions.c.id == session)) > 0


def end_sessions(tx: Tx, person: PersonId, besides: SessionId | None = None) -> int:
    """Delete a person's sessions, all or all but one; return how many."""
    theirs = sessions.c.person == person
    return tx.run(sa.delete(sessions).where(theirs if besides is None else sa.and_(theirs, sessions.c.id != besides)))


def forget_sessions(tx: Tx, person: PersonId, at: datetime) -> int:
    """Delete a person's sessions that no longer count at `at`, as `sessions.judge` has it; return how many."""
    over = sa.or_(sessions.c.ends_at <= at, sessions.c.made_at <= at - ABSOLUTE, sessions.c.seen_at <= at - IDLE)
    return tx.run(sa.delete(sessions).where(sessions.c.person == person, over))


def add_token(tx: Tx, token: Token, digest: str) -> None:
    """Insert a token under the digest of its secret."""
    permissions = None if token.permissions is None else canonical.dumps(token.permissions).decode()
    tx.run(
        sa.insert(tokens).values(
            id=token.id,
            digest=digest,
            person=token.person,
            label=token.label,
            scope=token.scope,
            permissions=permissions,
            made_at=token.made_at,
            ends_at=token.ends_at,
            used_at=token.used_at,
        )
    )


def token_used(tx: Tx, token: TokenId, at: datetime) -> None:
    """Note a use of a token (telemetry: no entry); a moment earlier than the one noted changes nothing."""
    later = sa.or_(tokens.c.used_at.is_(None), tokens.c.used_at < at)
    tx.run(sa.update(tokens).where(tokens.c.id == token, later).values(used_at=at))


def revoke_token(tx: Tx, token: TokenId, at: datetime) -> None:
    """Take a token away, at once."""
    tx.run(sa.update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None)).values(revoked_at=at))
