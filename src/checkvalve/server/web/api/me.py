# SPDX-License-Identifier: Apache-2.0
"""What is the caller's own: who they are, their sessions, password and API tokens. `/api/v1/me`."""

from datetime import UTC

from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.crypto import tokens as secrets_of
from checkvalve.errors import ForbiddenError
from checkvalve.ids import SessionId, TokenId
from checkvalve.protocol import api
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import passwords
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import sessions as sessions_judge
from checkvalve.server.identity import tokens as tokens_judge
from checkvalve.server.identity.model import Live, Token
from checkvalve.server.web import auth, sign_in
from checkvalve.server.web.api import answers
from checkvalve.server.web.auth import IN_PERSON, SIGNED_IN
from checkvalve.server.web.calls import Called, in_scope, named, own


@get("/", opt={"permission": SIGNED_IN}, summary="Who am I, and what may I do where")
async def me(call: Called) -> api.Me:
    """Answer with the caller, their bindings, and where they hold which permission at this moment."""
    caller = call.caller

    def question(tx: Tx) -> api.Me:
        held = access_queries.bindings_of(tx, Visibility((ROOT,)), caller.person.id)
        return api.Me(
            person=answers.person(caller.person),
            bindings=[answers.binding(one) for one in held],
            permissions={each.value: list(seen.prefixes) for each, seen in call.reach(tx).items()},
            session=answers.session(caller.session, caller.session.id) if caller.session else None,
            token=answers.token(caller.token) if caller.token else None,
            csrf=caller.csrf or None,
        )

    return await call.read("me", question)


@get("/sessions", opt={"permission": IN_PERSON}, summary="My sessions")
async def sessions(call: Called) -> api.Page[api.Session]:
    """List the sessions that count now."""
    now, this = call.plane.now(), call.caller.own_session.id
    found = await call.read("sessions", lambda tx: identity_queries.sessions_of(tx, call.caller.person.id))
    live = [one for one in found if isinstance(sessions_judge.judge(one, now), Live)]
    return api.Page(items=[answers.session(one, this) for one in live])


@delete("/sessions/{session_id:str}", opt={"permission": IN_PERSON}, summary="End one of my sessions")
async def end_session(call: Called, session_id: FromPath[str]) -> None:
    """End a session, this one or another."""
    person = call.caller.person

    def end(tx: Tx, act: Act) -> None:
        own_ones = {one.id for one in identity_queries.sessions_of(tx, person.id)}
        # The room is quiet about what ended before; here that would tell another person's session from none.
        wanted = session_id if session_id in own_ones else ""
        identity_actions.sign_out(tx, act, SessionId(wanted), person.id)

    await call.act("session.sign_out", named("session", session_id), own(person.home), end)


@post("/password", opt={"permission": IN_PERSON}, status_code=204, summary="Change my password")
async def password(call: Called, data: JSONBody[api.OwnPassword]) -> None:
    """Change the password; every other session of the caller ends."""
    person, session = call.caller.person, call.caller.own_session
    subject, where = f"person:{person.id}", own(person.home)
    known = await sign_in.verify(call.plane, call.caller, str(call.address or ""), data.old)

    def check(_: Tx) -> None:
        if not known:
            raise ForbiddenError("password.wrong", "The old password is wrong.", "Type it again.")
        passwords.check(data.new, person.login)

    await call.may("person.set_password", subject, where, check)
    stored = await sign_in.store(call.plane, data.new)
    await call.act(
        "person.set_password",
        subject,
        where,
        lambda tx, act: identity_actions.set_password(tx, act, person.id, stored, session.id),
    )


@get("/tokens", opt={"permission": IN_PERSON}, summary="My API tokens")
async def tokens(call: Called) -> api.Page[api.Token]:
    """List the tokens that count now."""
    now = call.plane.now()
    found = await call.read("tokens", lambda tx: identity_queries.tokens_of(tx, call.caller.person.id))
    return api.Page(items=[answers.token(one) for one in found if isinstance(tokens_judge.judge(one, now), Live)])


@post("/tokens", opt={"permission": IN_PERSON}, summary="Issue an API token for me")
async def issue(call: Called, data: JSONBody[api.NewToken]) -> api.IssuedToken:
    """Issue a token; its secret is in this answer and nowhere else."""
    person = call.caller.person
    secret = secrets_of.api_token(call.plane.entropy(secrets_of.ENTROPY))
    token_id = TokenId(call.plane.new_id())

    def make(tx: Tx, act: Act) -> Token:
        call.locate(tx, in_scope(data.scope))
        token = Token(
            id=token_id,
            person=person.id,
            label=data.label,
            scope=data.scope,
            permissions=None if data.permissions is None else tuple(data.permissions),
            made_at=act.at,
            ends_at=data.ends_at.astimezone(UTC),
        )
        return identity_actions.issue_token(tx, act, token, secrets_of.digest(secret))

    made = await call.act("token.issue", f"token:{token_id}", own(person.home), make)
    return api.IssuedToken(token=answers.token(made), secret=secret)


@delete("/tokens/{token_id:str}", opt={"permission": SIGNED_IN}, summary="Revoke one of my API tokens")
async def revoke(call: Called, token_id: FromPath[str]) -> None:
    """Take a token away, at once. A token may take itself away, and is not told whether there are others."""
    person, token = call.caller.person, call.caller.token

    def take_away(tx: Tx, act: Act) -> None:
        if token is not None and token.id != token_id:
            raise auth.not_in_person()
        identity_actions.revoke_token(tx, act, TokenId(token_id), person.id)

    await call.act("token.revoke", named("token", token_id), own(person.home), take_away)


router = Router("/me", route_handlers=[me, sessions, end_session, password, tokens, issue, revoke], tags=["me"])
