# SPDX-License-Identifier: Apache-2.0
"""Changes of who is there. The face has judged the right to make them, in the same transaction (ADR 0012).

Entries stand at the home of the person they are about, and never hold a password, a secret or a digest.
"""

import dataclasses

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, ForbiddenError, NotFoundError, StaleError
from checkvalve.ids import PersonId, SessionId, TokenId, well_formed
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import logins, names, paths, queries, sessions, tokens, writes
from checkvalve.server.identity.model import Person, Session, Token

_PLANE = "/"


def create_person(tx: Tx, act: Act, person: Person, stored_password: str) -> Person:
    """Make a person who can sign in and has no rights yet; return them as they are kept.

    The caller has judged the password itself (`passwords.check`) and that the scope at `person.home` exists. Raises
    `InvalidError` (`login.*`, `name.*`, `scope.path`), `ConflictError` (`login.taken`).
    """
    made = dataclasses.replace(
        person, login=logins.check(person.login), name=names.person(person.name), home=paths.check(person.home)
    )
    if queries.by_login(tx, made.login) is not None:
        raise ConflictError(
            "login.taken", f"Somebody signs in as {made.login} already.", "Choose another login, or enable that person."
        )
    writes.add_person(tx, made, stored_password)
    facts: dict[str, Json] = {"after": {"home": made.home, "login": made.login, "name": made.name}}
    audit_writes.record(tx, act, "person.create", f"person:{made.id}", made.home, facts)
    return made


def rename_person(tx: Tx, act: Act, person_id: PersonId, name: str) -> Person:
    """Give a person another name; the login stays.

    Raises `NotFoundError` (`person.not_found`), `InvalidError` (`name.*`).
    """
    before = queries.person(tx, person_id)
    after = dataclasses.replace(before, name=names.person(name))
    writes.name_person(tx, person_id, after.name)
    facts: dict[str, Json] = {"after": {"name": after.name}, "before": {"name": before.name}}
    audit_writes.record(tx, act, "person.rename", f"person:{person_id}", before.home, facts)
    return after


def set_password(tx: Tx, act: Act, person_id: PersonId, stored: str, besides: SessionId | None = None) -> None:
    """Give a person another password and end their sessions, all but `besides` (the one they change it from).

    Tokens go on: they are secrets of their own. Raises `NotFoundError` (`person.not_found`).
    """
    person = queries.person(tx, person_id)
    writes.set_password(tx, person_id, stored)
    ended = writes.end_sessions(tx, person_id, besides)
    audit_writes.record(
        tx,
        act,
        "person.set_password",
        f"person:{person_id}",
        person.home,
        {"login": person.login, "sessions_ended": ended},
    )


def sign_in(
    tx: Tx,
    act: Act,
    session: Session,
    digest: str,
    verified: str | None = None,
    before: str | None = None,
    rehashed: str | None = None,
) -> Session:
    """Open a session under the digest of its secret; return it as it is kept. Ended ones of the person are forgotten.

    `before` is the digest of the session that the same browser had until now, whoever's: it ends. `verified` is the
    stored form the password was compared with, outside this transaction; `rehashed` is to be kept in its place, the
    same password at today's cost. Raises `NotFoundError` (`person.not_found`), `ForbiddenError` (`person.disabled`),
    `StaleError` (`password.changed`: the form kept now is not `verified`, so the session would outlive the change that
    was to end it).
    """
    person = queries.person(tx, session.person)
    _enabled(person)
    changed = verified is not None and queries.password(tx, person.id) != verified
    if changed or (rehashed is not None and not writes.store_anew(tx, person.id, verified, rehashed)):
        raise StaleError("password.changed", "The password was changed just now.", "Sign in with the new one.")
    made = sessions.opened(session)
    writes.forget_sessions(tx, person.id, act.at)
    earlier = queries.session(tx, before) if before else None
    if earlier is not None:
        writes.end_session(tx, earlier.id)
    writes.add_session(tx, made, digest)
    facts: dict[str, Json] = {
        "address": made.address,
        "agent": made.agent,
        "ended": earlier.id if earlier else None,
        "ends_at": rfc3339(made.ends_at),
        "person": person.id,
    }
    if rehashed is not None:
        facts["rehashed"] = True
    audit_writes.record(tx, act, "session.sign_in", f"session:{made.id}", person.home, facts)
    return made


def sign_out(tx: Tx, act: Act, session_id: SessionId, owner: PersonId | None = None) -> None:
    """End a session, of `owner` only if given. One that ended before is ended: quiet, and recorded all the same.

    Raises `NotFoundError` (`session.not_found`) for another person's session, and for what is not an id.
    """
    session = queries.session_by_id(tx, session_id)
    if not well_formed(session_id) or (session is not None and owner is not None and session.person != owner):
        raise NotFoundError("session.not_found", "There is no such session, or not for you.", "List your sessions.")
    whose = session.person if session is not None else owner or act.actor.id
    ended = writes.end_session(tx, session_id)
    facts: dict[str, Json] = {"ended": ended, "person": whose}
    audit_writes.record(tx, act, "session.sign_out", f"session:{session_id}", queries.home(tx, whose) or _PLANE, facts)


def issue_token(tx: Tx, act: Act, token: Token, digest: str) -> Token:
    """Issue a token under the digest of its secret; return it as it is kept.

    Raises `NotFoundError` (`person.not_found`), `ForbiddenError` (`person.disabled`; `token.by_token`, because a token
    could shed its own ceiling and end), `InvalidError` (`token.*`, `scope.path`), `ConflictError` (`token.many`).
    """
    if act.actor.kind == "token":
        raise ForbiddenError("token.by_token", "A token issues no tokens.", "Sign in as a person to issue one.")
    owner = queries.person(tx, token.person)
    _enabled(owner)
    made = tokens.check(token, act.at)
    if queries.live_tokens(tx, owner.id, act.at) >= tokens.MOST:
        raise ConflictError(
            "token.many", f"There are {tokens.MOST} tokens already, the most one person may have.", "Revoke one first."
        )
    writes.add_token(tx, made, digest)
    audit_writes.record(tx, act, "token.issue", f"token:{made.id}", owner.home, {"after": _said(made)})
    return made


def revoke_token(tx: Tx, act: Act, token_id: TokenId, owner: PersonId) -> None:
    """Take `owner`'s token away, at once.

    Raises `NotFoundError` (`token.not_found`) if there is none, it is another person's, or it was revoked before.
    """
    token = queries.token_of(tx, token_id, owner)
    writes.revoke_token(tx, token_id, act.at)
    home = queries.person(tx, owner).home
    audit_writes.record(tx, act, "token.revoke", f"token:{token_id}", home, {"before": _said(token)})


def _enabled(person: Person) -> None:
    if person.disabled_at is not None:
        raise ForbiddenError(
            "person.disabled", f"{person.name} is disabled.", "Ask an administrator to enable the account again."
        )


def _said(token: Token) -> Json:
    return {
        "ends_at": rfc3339(token.ends_at),
        "label": token.label,
        "permissions": token.permissions,
        "person": token.person,
        "scope": token.scope,
    }
