# SPDX-License-Identifier: Apache-2.0
"""The operators' application: the JSON API, the pages, and what all of their routes have in common."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from checkvalve.server.access.model import Permission
from checkvalve.server.web import auth, calls, problems
from checkvalve.server.web.api import (
    approvals,
    assessments,
    audit,
    bindings,
    description,
    devices,
    documents,
    drafts,
    errands,
    estate,
    evidence,
    frameworks,
    gaps,
    holds,
    images,
    invites,
    me,
    people,
    plane,
    releases,
    rollouts,
    scopes,
    session,
    suppliers,
    trust,
    values,
)
from checkvalve.server.web.door import Door
from checkvalve.server.web.plane import Plane

Refusal = Callable[[Request[Any, Any, Any], Exception], Response[Any]]

LARGEST_BODY = 1 << 20  # bytes; read no further than that
_OF_A_FORM = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


def operators(here: Plane, pages: Sequence[ControllerRouterHandler] = (), answer: Refusal = problems.answer) -> Door:
    """Return the ASGI application of the operators' listener; `TypeError` if a route declares no permission.

    `answer` gives refusals their form: pages answer a browser with a page, and all else with `problems.answer`.
    """
    return Door(application(here, pages, answer), here, here.hosts)


def application(
    here: Plane, pages: Sequence[ControllerRouterHandler] = (), answer: Refusal = problems.answer
) -> Litestar:
    """Return the application without its door, for those who enumerate its routes."""
    app = Litestar(
        [*_api(), description.description, *pages],
        guards=[auth.guard],
        dependencies=calls.DEPENDENCIES,
        exception_handlers={Exception: answer},
        before_request=_readable,
        request_max_body_size=LARGEST_BODY,
        state=State({"plane": here, "description": functools.cache(lambda: description.describe(_api(), here))}),
        openapi_config=None,
        logging_config=None,
        on_shutdown=[here.attempts.close, here.imports.close],
    )
    list(auth.routes(app))
    return app


def routes(app: Litestar) -> list[tuple[str, str, Permission | auth.Need]]:
    """Return method, path and need of every route, by path."""
    return sorted(auth.routes(app), key=lambda route: (route[1], route[0]))


def _api() -> list[Router]:
    supply = (images, releases, drafts, trust)
    nouns = (
        session,
        me,
        scopes,
        people,
        bindings,
        audit,
        approvals,
        rollouts,
        *supply,
        invites,
        devices,
        errands,
        holds,
        values,
        estate,
        assessments,
        evidence,
        gaps,
        suppliers,
        documents,
        frameworks,
    )
    return [
        copy.deepcopy(plane.router),
        Router("/api/v1", route_handlers=[copy.deepcopy(noun.router) for noun in nouns]),
    ]


async def _readable(request: Request[Any, Any, Any]) -> None:
    """Refuse a body of the API that does not say it is JSON: a form of another site's page never does.

    A route that reads something else names its kinds in `opt["reads"]`; what a form can send is never among them.
    """
    if request.method in auth.SAFE or not request.url.path.startswith("/api/"):
        return
    kind, reads = request.content_type[0], request.route_handler.opt.get("reads")
    if reads is not None:
        readable = kind in reads
    else:
        readable = kind not in _OF_A_FORM and (not kind or kind == "application/json" or kind.endswith("+json"))
    if not readable:
        raise HTTPException(status_code=415)
