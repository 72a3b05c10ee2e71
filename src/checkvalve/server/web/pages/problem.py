# SPDX-License-Identifier: Apache-2.0
"""How a refusal looks on a page: in the same frame, with its sentence, its remedy and its code.

Whoever is not signed in is sent to sign in and back. A JSON twin, and whoever does not ask for a page, gets the problem
document that the API gives.
"""

from litestar import Response
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from checkvalve.errors import UnauthenticatedError
from checkvalve.server.web import auth, plane, problems
from checkvalve.server.web.pages import frame, render
from checkvalve.server.web.pages.frame import Asked

ELSEWHERE = ("/api/", "/static/", "/healthz", "/readyz", "/ca.pem")


def answer(request: Asked, error: Exception) -> Response[bytes] | Redirect:
    """Answer a browser with a page; the handler of all errors of the operators' application."""
    if not _wants_page(request):
        return problems.answer(request, error)
    if isinstance(error, UnauthenticatedError):
        return _to_the_door(request, error)
    problem = problems.of(error, problems.request_id(request.scope))
    problems.note(error, problem, request.scope)
    caller = request.scope.get(auth.CALLER)
    known = frame.bare(caller) if isinstance(caller, auth.Caller) else None
    again = request.url.path if request.method in auth.SAFE else "/today"
    return frame.refusal(problem, plane.of(request), known, again, problems.headers(error))


def _wants_page(request: Asked) -> bool:
    path = request.url.path
    return (
        not path.startswith(ELSEWHERE) and not frame.twin(request) and "text/html" in request.headers.get("accept", "")
    )


def _to_the_door(request: Asked, error: UnauthenticatedError) -> Redirect:
    again = request.url.path if request.method in auth.SAFE else ""
    if again and request.url.query:
        again = f"{again}?{request.url.query}"
    ended = "ended" if error.code == "session.ended" else ""
    path = render.link("/sign-in", next=again if again != "/" else "", why=ended)
    cookies = [auth.cookie("")] if ended else None
    return Redirect(path, status_code=HTTP_303_SEE_OTHER, cookies=cookies)
