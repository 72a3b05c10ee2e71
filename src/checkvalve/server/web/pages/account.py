# SPDX-License-Identifier: Apache-2.0
"""Account: the caller's own sessions, API tokens, rights and password. Only for a person, never for a token."""

from collections.abc import Mapping
from datetime import timedelta

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.crypto import tokens as secrets_of
from checkvalve.errors import CheckvalveError, ForbiddenError, UnavailableError
from checkvalve.ids import SessionId, TokenId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import passwords
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import sessions as sessions_judge
from checkvalve.server.identity import tokens as tokens_judge
from checkvalve.server.identity.model import Live, Token
from checkvalve.server.web import auth, sign_in, texts
from checkvalve.server.web.calls import Call, Called, in_scope, own
from checkvalve.server.web.pages import frame, times
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known, when

PAGE = Page("account.html", "settings", "account.title")
DAYS = (30, 7, 1, 90, 365)
_OPT = {"permission": auth.IN_PERSON}


@get(["/account", "/account.json"], opt=_OPT)
async def account(request: Asked, call: Called) -> Answer:
    """Answer with what is the caller's own."""
    return await _show(request, call)


@post("/account/sessions/{session_id:str}/end", opt=_OPT)
async def end(request: Asked, call: Called, session_id: FromPath[str]) -> Answer | Redirect:
    """End one of the caller's sessions."""
    person = call.caller.person

    async def do(_: Mapping[str, str]) -> None:
        await call.act(
            "session.sign_out",
            f"session:{known(session_id)}",
            own(person.home),
            lambda tx, act: identity_actions.sign_out(tx, act, SessionId(known(session_id)), person.id),
        )

    return await frame.change(request, do, lambda retry: _show(request, call, retry), "/account")


@post("/account/tokens", opt=_OPT)
async def issue(request: Asked, call: Called) -> Answer:
    """Make an API token and show it, this once."""
    form, person = await frame.fields(request), call.caller.person
    secret = secrets_of.api_token(call.plane.entropy(secrets_of.ENTROPY))
    token_id, scope = TokenId(call.plane.new_id()), form.get("scope", "")
    days = int(form["days"]) if form.get("days") in {str(n) for n in DAYS} else DAYS[0]

    def make(tx: Tx, act: Act) -> Token:
        call.locate(tx, in_scope(scope))
        ends = act.at + timedelta(days=days)
        token = Token(token_id, person.id, form.get("label", ""), scope, None, act.at, ends)
        return identity_actions.issue_token(tx, act, token, secrets_of.digest(secret))

    try:
        made = await call.act("token.issue", f"token:{token_id}", own(person.home), make)
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return await _show(request, call, Retry(error, form))
    return await _show(request, call, secret={"label": made.label, "token": secret})


@post("/account/tokens/{token_id:str}/revoke", opt=_OPT)
async def revoke(request: Asked, call: Called, token_id: FromPath[str]) -> Answer | Redirect:
    """Take one of the caller's tokens away."""
    person = call.caller.person

    async def do(_: Mapping[str, str]) -> None:
        await call.act(
            "token.revoke",
            f"token:{known(token_id)}",
            own(person.home),
            lambda tx, act: identity_actions.revoke_token(tx, act, TokenId(known(token_id)), person.id),
        )

    return await frame.change(request, do, lambda retry: _show(request, call, retry), "/account")


@post("/account/password", opt=_OPT)
async def password(request: Asked, call: Called) -> Answer:
    """Change the caller's password; their other sessions end."""
    form = await frame.fields(request)
    try:
        await _set_password(call, form.get("old", ""), form.get("new", ""))
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return await _show(request, call, Retry(error, {}))
    return await _show(request, call, changed=True)


async def _set_password(call: Call, old: str, new: str) -> None:
    person, session = call.caller.person, call.caller.own_session
    subject, where = f"person:{person.id}", own(person.home)
    right = await sign_in.verify(call.plane, call.caller, str(call.address or ""), old)

    def check(_: Tx) -> None:
        if not right:
            raise ForbiddenError("password.wrong", "The current password is wrong.", "Type it again.")
        passwords.check(new, person.login)

    await call.may("person.set_password", subject, where, check)
    stored = await sign_in.store(call.plane, new)
    await call.act(
        "person.set_password",
        subject,
        where,
        lambda tx, act: identity_actions.set_password(tx, act, person.id, stored, session.id),
    )


async def _show(
    request: Asked,
    call: Call,
    retry: Retry | None = None,
    *,
    secret: Mapping[str, str] | None = None,
    changed: bool = False,
) -> Answer:
    return await frame.show(
        request, call, PAGE, lambda view: {**look(view), "password_changed": changed}, retry=retry, secret=secret
    )


def look(view: View) -> Data:
    """Return the page's data."""
    person, session = view.call.caller.person, view.call.caller.own_session
    ends = times.exact(session.ends_at)
    return {
        "sentence": texts.say("account.sentence", name=person.name),
        "detail": texts.say("account.detail", when=times.relative(session.made_at, view.now), ends=ends),
        "person": {"id": person.id, "login": person.login, "name": person.name, "home": person.home},
        "bindings": _bindings(view),
        "sessions": _sessions(view, session.id),
        "tokens": _tokens(view),
        "scopes": _scopes(view),
        "days": [{"value": str(n), "label": texts.count("days", n)} for n in DAYS],
    }


def _bindings(view: View) -> list[Data]:
    held = access_queries.bindings_of(view.tx, Visibility((ROOT,)), view.me)
    return [
        {"role": one.role, "scope": one.scope, "where": view.where(one.scope), "not_after": when(one.not_after)}
        for one in held
    ]


def _sessions(view: View, this: SessionId) -> list[Data]:
    return [
        {
            "id": one.id,
            "address": one.address,
            "agent": _program(one.agent),
            "seen_at": when(one.seen_at),
            "ends_at": when(one.ends_at),
            "current": one.id == this,
        }
        for one in identity_queries.sessions_of(view.tx, view.me)
        if isinstance(sessions_judge.judge(one, view.now), Live)
    ]


def _tokens(view: View) -> list[Data]:
    return [
        {
            "id": one.id,
            "label": one.label,
            "scope": one.scope,
            "where": view.where(one.scope),
            "used_at": when(one.used_at),
            "ends_at": when(one.ends_at),
            "ended": not isinstance(tokens_judge.judge(one, view.now), Live),
        }
        for one in identity_queries.tokens_of(view.tx, view.me)
    ]


def _scopes(view: View) -> list[Data]:
    options: list[Data] = [{"value": ROOT, "label": texts.say("place.all")}]
    places = view.places(Permission.SCOPE_READ)
    return options + [{"value": place.path, "label": view.where(place.path)} for place in places]


def _program(agent: str) -> str:
    """Return what a person calls the program: a browser's own line names four others before it."""
    for mark, name in (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")):
        if mark in agent:
            return name
    return agent.split(" ", maxsplit=1)[0].replace("/", " ")[:40] or "-"


handlers = [account, end, issue, revoke, password]
