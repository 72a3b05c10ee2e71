# SPDX-License-Identifier: Apache-2.0
"""What is asked and what is measured: `/api/v1/frameworks`, with `/requirements` and `/checks`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from checkvalve.errors import NotFoundError
from checkvalve.protocol import api
from checkvalve.protocol import frameworks as said
from checkvalve.server.access.model import Permission
from checkvalve.server.checks import judge as check_judge
from checkvalve.server.checks import shipped as check_shipped
from checkvalve.server.checks.model import Verdict
from checkvalve.server.frameworks import judge, shipped
from checkvalve.server.frameworks.model import Coverage, Framework, Requirement
from checkvalve.server.web.api.paging import Word
from checkvalve.server.web.calls import Called

Which = Annotated[
    str, QueryParameter(name="state", max_length=100, pattern=api.TEXT, description="In this state only.")
]
_READ = {"permission": Permission.SCORECARD_READ}
COVERAGE = {Coverage.DATA: "data", Coverage.PARTLY: "partly", Coverage.ATTESTED: "attested"}


@get("/", opt=_READ, summary="Frameworks, and how many of their requirements are in which state")
async def listed(call: Called) -> api.Page[said.Framework]:
    """List every framework; counts of states, never a percentage alone."""
    now = call.plane.now()
    return await call.ask("frameworks", lambda _tx, _seen: api.Page(items=frameworks(now)))


@get("/requirements", opt=_READ, summary="What frameworks ask, and what is known about each")
async def asked(call: Called, framework: Word = "", which: Which = "") -> api.Page[said.Requirement]:
    """List requirements, of one framework, in one state."""
    now = call.plane.now()

    def look(_tx: object, _seen: object) -> api.Page[said.Requirement]:
        found = (
            requirements(framework, now) if framework else [row for each in shipped.shipped() for row in of(each, now)]
        )
        return api.Page(items=[each for each in found if which in ("", each.state)])

    return await call.ask("frameworks", look)


@get("/checks", opt=_READ, summary="What can be measured, and what is known")
async def measured(call: Called, subject: Word = "", which: Which = "") -> api.Page[said.Check]:
    """List checks, of one subject, in one state."""
    now = call.plane.now()

    def look(_tx: object, _seen: object) -> api.Page[said.Check]:
        found = checks(now)
        here = [each for each in found if subject in ("", each.subject) and which in ("", each.state)]
        return api.Page(items=here)

    return await call.ask("checks", look)


def checks(now: datetime) -> list[said.Check]:
    """Return every check as it stands."""
    known = _verdicts(now)
    return [
        said.Check(
            id=each.id,
            subject=each.subject,
            asks=each.asks,
            state=known[each.id].state.value,
            reason=known[each.id].reason,
        )
        for each in check_shipped.shipped()
    ]


def frameworks(now: datetime) -> list[said.Framework]:
    """Return every framework as it stands."""
    known = _verdicts(now)
    return [
        said.Framework(
            id=each.id,
            name=each.name,
            version=each.version,
            valid_from=each.valid_from,
            note=each.note,
            protected=each.text == "title_only",
            requirements=len(each.requirements),
            counts=[
                said.Count(state=state.value if state else "", number=number)
                for state, number in judge.counts(each, known).items()
            ],
        )
        for each in shipped.shipped()
    ]


def requirements(framework: str, now: datetime) -> list[said.Requirement]:
    """Return what one framework asks; `NotFoundError` (`framework.not_found`)."""
    found = next((each for each in shipped.shipped() if each.id == framework), None)
    if found is None:
        raise NotFoundError("framework.not_found", "There is no such framework.", "List the frameworks.")
    return of(found, now)


def of(framework: Framework, now: datetime) -> list[said.Requirement]:
    """Return the requirements of a framework as they stand."""
    known = _verdicts(now)
    return [_requirement(each, known) for each in framework.requirements]


def _verdicts(now: datetime) -> Mapping[str, Verdict]:
    """Return what is known about each check: nothing runs them yet, so that each says what it waits for."""
    return check_judge.all_of(check_shipped.shipped(), {}, now)


def _requirement(each: Requirement, known: Mapping[str, Verdict]) -> said.Requirement:
    answer = judge.answer(each, known)
    return said.Requirement(
        framework=each.framework,
        id=each.id,
        asks=each.asks,
        who=each.who,
        coverage=COVERAGE[each.coverage],
        checks=list(each.checks),
        clock=list(each.clock),
        valid_from=each.valid_from,
        reread=each.reread,
        state=answer.state.value if answer.state else "",
        reason=answer.reason,
    )


router = Router("/frameworks", route_handlers=[listed, asked, measured], tags=["frameworks"])
