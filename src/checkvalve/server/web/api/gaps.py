# SPDX-License-Identifier: Apache-2.0
"""Gap plans: what is going to be done, by whom and until when: `/api/v1/gaps`."""

from collections.abc import Sequence

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import GapId, PersonId
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import actions, csvs, queries
from checkvalve.server.scorecard.model import Gap, Work
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.api.paging import Within
from checkvalve.server.web.calls import Call, Called, Place, in_scope, named


@get("/", opt={"permission": Permission.SCORECARD_READ}, summary="The gap plan, what is due first first")
async def listed(call: Called, *, within: Within = ROOT) -> api.Page[forms.Gap]:
    """List the steps of a place and of all below it, those that have ended too. A plan is never long."""

    def look(tx: Tx, seen: Visibility) -> list[forms.Gap]:
        return answers.gaps(tx, queries.gaps(tx, seen), call.plane.now().date())

    return api.Page(items=await call.ask("gaps", look, scope=within))


@get("/export", opt={"permission": Permission.SCORECARD_READ}, summary="The gap plan, as CSV")
async def export(call: Called, *, within: Within = ROOT) -> Response[bytes]:
    """Answer with the plan as a file for spreadsheets."""

    def look(tx: Tx, seen: Visibility) -> bytes:
        found = queries.gaps(tx, seen)
        return csvs.write(found, answers.places(tx, found))

    data = await call.ask("gaps", look, scope=within)
    headers = {"Content-Disposition": 'attachment; filename="plan.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type="text/csv", headers=headers)


@post("/", opt={"permission": Permission.SCORECARD_ANSWER}, summary="Put a step into the plan")
async def plan(call: Called, data: JSONBody[forms.NewGap]) -> forms.Gap:
    """Put a step of the guide, or one's own, into the plan of a place. A step of the guide stands there once."""
    return await planned(call, data)


@post(
    "/{gap_id:str}",
    opt={"permission": Permission.SCORECARD_ANSWER},
    status_code=200,
    summary="Change owner, due date, state or note of a step",
)
async def change(call: Called, gap_id: FromPath[str], data: JSONBody[forms.GapChange]) -> forms.Gap:
    """Change a step; what is left out stays as it is. What has ended may be set back to open."""
    return await changed(call, gap_id, data)


async def planned(call: Call, data: forms.NewGap) -> forms.Gap:
    """Put a step into the plan. Raises what `scorecard.actions.plan` does."""
    made, person, now = GapId(call.plane.new_id()), PersonId(call.caller.person.id), call.plane.now()
    wanted = Gap(
        id=made,
        scope=data.scope,
        section=data.section,
        step=data.step,
        text=data.text,
        owner=data.owner,
        due=data.due,
        state=Work.OPEN,
        note="",
        made_by=person,
        made_at=now,
        changed_by=person,
        changed_at=now,
    )

    def do(tx: Tx, act: Act) -> forms.Gap:
        return answers.gaps(tx, [actions.plan(tx, act, wanted, call.plane.standard)], act.at.date())[0]

    return await call.act("gap.plan", f"gap:{made}", in_scope(data.scope), do)


async def changed(call: Call, gap_id: str, data: forms.GapChange) -> forms.Gap:
    """Change a step. Raises what `scorecard.actions.change_gap` does."""

    def do(tx: Tx, act: Act) -> forms.Gap:
        after = actions.change_gap(tx, act, GapId(gap_id), PersonId(call.caller.person.id), data)
        return answers.gaps(tx, [after], act.at.date())[0]

    return await call.act("gap.change", named("gap", gap_id), Place(place, gap_id), do)


def place(tx: Tx, gap_id: str) -> Sequence[str]:
    """Return where the right to a step is judged; `NotFoundError`."""
    return (queries.gap(tx, GapId(gap_id)).scope,)


router = Router("/gaps", route_handlers=[listed, export, plan, change], tags=["scorecard"])
