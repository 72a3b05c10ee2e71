# SPDX-License-Identifier: Apache-2.0
"""The one place where errors meet HTTP statuses (ADR 0009): every refusal leaves as a problem document (RFC 9457)."""

import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Scope

from checkvalve.errors import CheckvalveError
from checkvalve.protocol.problem import MEDIA_TYPE, Problem

REQUEST = "checkvalve.request"  # the key of the request's id in its ASGI scope

# 400 is for what cannot be read, 422 for what was read and is wrong.
STATUS: Mapping[str, int] = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "stale": 412,
    "invalid": 422,
    "throttled": 429,
    "unavailable": 503,
    "error": 500,
}

# Of the framework's own refusals: code, sentence, remedy.
_OF_HTTP: Mapping[int, tuple[str, str, str]] = {
    400: ("request.malformed", "The request cannot be read.", "Send what the API's description asks for, as JSON."),
    404: ("route.not_found", "There is nothing at this address.", "Check the address; /api/openapi.json lists all."),
    405: ("route.method", "This address does not take this method.", "Use one of those in the header `Allow`."),
    408: ("request.slow", "The request came too slowly.", "Send it again, over a steadier line."),
    411: ("request.length", "The request does not say how long it is.", "Send it with the header `Content-Length`."),
    413: ("request.too_large", "The request is too large.", "Send less at once."),
    415: (
        "request.media_type",
        "The body is not of a kind that is read here.",
        "Send JSON, or a file as application/octet-stream where the route takes one, and say so in Content-Type.",
    ),
    421: ("request.host", "The plane does not go by this name.", "Use a name it was configured with."),
}

_log = structlog.get_logger("checkvalve.web")


def of(error: Exception, request: str = "") -> Problem:
    """Return what a caller may hear of `error`. What nobody foresaw is a 500 without a word of its cause."""
    match error:
        case CheckvalveError():
            status = STATUS[error.kind]
            return _problem(status, error.code, error.sentence, error.remedy, error.facts, request)
        case RecursionError():
            remedy = "Send what the API's description asks for."
            return _problem(400, "request.nesting", "The JSON is nested too deep.", remedy, {}, request)
        case ValidationException():
            remedy = "Correct it; nothing was changed."
            return _problem(400, "request.invalid", _what_is_wrong(error), remedy, {}, request)
        case HTTPException(status_code=status) if status in _OF_HTTP:
            return _problem(status, *_OF_HTTP[status], {}, request)
        case HTTPException(status_code=status) if status < 500:
            return _problem(status, "request.refused", "The request was refused.", "", {}, request)
        case _:
            remedy = "Look for the request's id in the plane's log, or hand it to whoever runs the plane."
            return _problem(500, "plane.defect", "Something went wrong inside the plane.", remedy, {}, request)


def headers(error: Exception) -> dict[str, str]:
    """Return the headers that belong to the status of `error`."""
    match error:
        case CheckvalveError(kind="throttled"):
            return {"Retry-After": str(error.facts.get("retry_after", 1))}
        case CheckvalveError(kind="unavailable"):
            return {"Retry-After": "5"}
        case CheckvalveError(kind="unauthenticated"):
            return {"WWW-Authenticate": 'Bearer realm="checkvalve"'}
        case _:
            return {}


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer with the problem document of `error`: the handler of all errors."""
    problem = of(error, request_id(request.scope))
    note(error, problem, request.scope)
    said = headers(error)
    if problem.status == 405:
        said["Allow"] = ", ".join(methods(request.app, request.scope["path"]))
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=said)


def methods(app: Litestar, path: str) -> list[str]:
    """Return what the address takes (RFC 9110, 15.5.6)."""
    parts = path.rstrip("/").split("/")
    found: set[str] = set()
    for route in app.routes:
        forms = route.path_format.rstrip("/").split("/")
        if len(forms) == len(parts) and all(
            form == part or form.startswith("{") for form, part in zip(forms, parts, strict=True)
        ):
            found.update(str(method) for method in route.methods)
    return sorted(found)


def note(error: Exception, problem: Problem, scope: Scope) -> None:
    """Log what the plane has to answer for: defects with their trace, refusals without."""
    log = _log.bind(request=problem.request, method=scope.get("method"), path=scope.get("path"), code=problem.code)
    if problem.status >= 500:
        # Formatted here, without the values of variables: those of a request hold secrets.
        log.error("request failed", status=problem.status, trace="".join(traceback.format_exception(error)))
    else:
        log.info("request refused", status=problem.status)


def request_id(scope: Scope) -> str:
    """Return the id of this request."""
    return str(scope.get(REQUEST, ""))


def _problem(
    status: int, code: str, sentence: str, remedy: str, facts: Mapping[str, str | int], request: str
) -> Problem:
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=sentence,
        code=code,
        remedy=remedy,
        facts=dict(facts),
        request=request,
    )


def _what_is_wrong(error: ValidationException) -> str:
    said = []
    for item in error.extra if isinstance(error.extra, list) else []:
        if isinstance(item, dict):
            key, message = str(item.get("key", "")), str(item.get("message", ""))
            said.append(f"{key}: {message}" if key and key != "data" else message)
    if not said and error.detail.strip("'") == "data":
        return "A body is needed."
    return ("; ".join(said) or error.detail)[:500]
