# SPDX-License-Identifier: Apache-2.0
"""Signing in and out: `/api/v1/session`."""

from typing import Any

from litestar import Request, Response, Router, delete, post
from litestar.params import JSONBody

from checkvalve.protocol import api
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.web import auth
from checkvalve.server.web.api import answers
from checkvalve.server.web.auth import IN_PERSON, PUBLIC
from checkvalve.server.web.calls import Called, own
from checkvalve.server.web.sign_in import sign_in


@post("/", opt={"permission": PUBLIC}, summary="Sign in")
async def begin(request: Request[Any, Any, Any], data: JSONBody[api.SignIn]) -> Response[api.SignedIn]:
    """Sign in; the answer sets the session's cookie."""
    signed_in = await sign_in(request, data.login, data.password)
    body = api.SignedIn(person=answers.person(signed_in.person), csrf=signed_in.csrf)
    return Response(body, cookies=[auth.cookie(signed_in.secret)])


@delete("/", opt={"permission": IN_PERSON}, summary="Sign out")
async def end(call: Called) -> Response[None]:
    """End this session."""
    person, session = call.caller.person, call.caller.own_session
    await call.act(
        "session.sign_out",
        f"session:{session.id}",
        own(person.home),
        lambda tx, act: identity_actions.sign_out(tx, act, session.id, person.id),
    )
    return Response(None, status_code=204, cookies=[auth.cookie("")])


router = Router("/session", route_handlers=[begin, end], tags=["session"])
