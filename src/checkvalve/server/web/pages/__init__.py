# SPDX-License-Identifier: Apache-2.0
"""Pages for people in a browser, each with its JSON twin. `operators` is the whole application of their listener.

A page asks a question and may read several rooms; it knows no SQL and judges no right: `calls` does.
"""

import copy

from litestar import Router

from checkvalve.server.web import app
from checkvalve.server.web.door import Door
from checkvalve.server.web.pages import (
    account,
    approvals,
    assessing,
    audit,
    comparing,
    compliance,
    devices,
    documents,
    doors,
    drafts,
    errands,
    estate,
    find,
    fleet,
    frameworks,
    gap_plan,
    holds,
    onboarding,
    people,
    problem,
    readiness_guide,
    releases,
    render,
    reviewing,
    rollouts,
    score_print,
    suppliers,
    today,
    uncovered,
    values,
)
from checkvalve.server.web.plane import Plane

_QUESTIONS = (
    doors,
    today,
    approvals,
    rollouts,
    releases,
    drafts,
    values,
    fleet,
    devices,
    errands,
    holds,
    compliance,
    assessing,
    reviewing,
    comparing,
    gap_plan,
    readiness_guide,
    score_print,
    estate,
    suppliers,
    documents,
    frameworks,
    onboarding,
    audit,
    account,
    people,
    uncovered,
    find,
)

answer = problem.answer
handlers = [
    Router(
        "/",
        route_handlers=[render.static, *(handler for question in _QUESTIONS for handler in question.handlers)],
        include_in_schema=False,
    )
]


def operators(here: Plane) -> Door:
    """Return the operators' application, API and pages."""
    return app.operators(here, copy.deepcopy(handlers), answer)
