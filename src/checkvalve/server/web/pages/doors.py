# SPDX-License-Identifier: Apache-2.0
"""Signing in and out in a browser."""

from litestar import get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, ThrottledError, UnavailableError
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.web import auth, plane, problems, sign_in, texts
from checkvalve.server.web.calls import Called, own
from checkvalve.server.web.pages import frame, render
from checkvalve.server.web.pages.frame import Answer, Asked
from checkvalve.server.web.pages.view import Data

HOME = "/today"
_REASONS = {"ended": ("waits", "door.ended", "door.ended_why"), "left": ("done", "door.left", "door.left_why")}


@get("/", opt={"permission": auth.PUBLIC})
async def root() -> Redirect:
    """Go to the first page."""
    return Redirect(HOME, status_code=HTTP_303_SEE_OTHER)


@get("/sign-in", opt={"permission": auth.PUBLIC})
async def door(request: Asked) -> Answer:
    """Ask who comes."""
    asked = frame.plain(dict(request.query_params))
    reason = _REASONS.get(asked.get("why", ""))
    notice: Data | None = None
    if reason is not None:
        kind, sentence, remedy = reason
        notice = {"kind": kind, "sentence": texts.say(sentence), "remedy": texts.say(remedy)}
    return _door(request, notice, onward=asked.get("next", ""))


@post("/sign-in", opt={"permission": auth.PUBLIC})
async def enter(request: Asked) -> Answer | Redirect:
    """Let in, or say why not."""
    form = await frame.fields(request)
    login, onward = form.get("login", ""), form.get("next", "")
    try:
        entered = await sign_in.sign_in(request, login, form.get("password", ""))
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return _door(request, _refused(error), login=login, onward=onward, error=error)
    return Redirect(_within(onward), status_code=HTTP_303_SEE_OTHER, cookies=[auth.cookie(entered.secret)])


@post("/sign-out", opt={"permission": auth.IN_PERSON})
async def leave(call: Called) -> Redirect:
    """End this session."""
    person, session = call.caller.person, call.caller.own_session
    await call.act(
        "session.sign_out",
        f"session:{session.id}",
        own(person.home),
        lambda tx, act: identity_actions.sign_out(tx, act, session.id, person.id),
    )
    return Redirect("/sign-in?why=left", status_code=HTTP_303_SEE_OTHER, cookies=[auth.cookie("")])


def _door(
    request: Asked,
    notice: Data | None,
    login: str = "",
    onward: str = "",
    error: CheckvalveError | None = None,
) -> Answer:
    here = plane.of(request)
    values = {
        "title": texts.say("door.title"),
        "plane": here.name,
        "notice": notice,
        "login": login,
        "next": onward,
        "wrong": error is not None and error.kind == "unauthenticated",
    }
    headers = problems.headers(error) if error else None
    status = problems.STATUS[error.kind] if error else HTTP_200_OK
    return render.html("sign_in.html", values, here.now(), status=status, headers=headers)


def _refused(error: CheckvalveError) -> Data:
    wait = error.facts.get("retry_after")
    if isinstance(error, ThrottledError) and error.code == "session.throttled" and isinstance(wait, int):
        return {
            "kind": "waits",
            "sentence": texts.say("door.throttled"),
            "remedy": texts.count("door.throttled_why", wait),
        }
    return {"kind": "bad", "sentence": error.sentence, "remedy": error.remedy}


def _within(onward: str) -> str:
    """Return where to go on: a path of this plane, and nothing that a browser reads as another host (`//`)."""
    safe = onward.startswith("/") and onward[1:2] not in {"/", "\\"} and onward.isprintable()
    return onward if safe else HOME


handlers = [root, door, enter, leave]
