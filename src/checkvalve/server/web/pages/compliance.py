# SPDX-License-Identifier: Apache-2.0
"""Compliance: how ready is this place, which section is lowest, and what closes its gaps?

The newest closed assessment of the highest place that one may see here stands first; those of others are listed.
"""

from collections.abc import Collection

from litestar import get

from checkvalve.protocol import scorecard as said
from checkvalve.server.access.model import Permission
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Assessment, State
from checkvalve.server.web import texts
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame, score_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View

PAGE = Page("compliance.html", "compliance", "compliance.title")
SHOWN = 50


@get(["/compliance", "/compliance.json"], opt={"permission": Permission.SCORECARD_READ})
async def shown(request: Asked, call: Called) -> Answer:
    """Answer with the scorecard of the place looked at."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    seen = view.seen(Permission.SCORECARD_READ)
    every = answers.listed(view.tx, queries.assessments(view.tx, seen, limit=SHOWN))
    going = [one for one in every if one.state == State.OPEN]
    first = _first(view)
    whole = answers.whole(view.tx, first, view.now, view.call.plane.blobs) if first else None
    gaps = answers.gaps(view.tx, queries.gaps(view.tx, seen), view.now.date())
    return {
        **_result(whole, gaps),
        "going": [
            {
                "text": texts.say("score.open", where=one.where, answered=str(one.answered), asked=str(one.asked)),
                "href": view.link(f"/compliance/assess/{one.id}"),
            }
            for one in going
        ],
        "gaps": [score_view.gap(one) for one in gaps],
        "past": [score_view.listed(one) for one in every],
        "estate_href": view.link("/estate"),
        "fresh": whole is None,
        "begin": _begin(view, {one.scope for one in going}),
        "compare_href": view.link("/compliance/compare") if sum(one.state == State.CLOSED for one in every) > 1 else "",
    }


def _result(whole: said.Whole | None, gaps: list[said.Gap]) -> Data:
    if whole is None:
        return {
            "sentence": texts.say("score.none"),
            "detail": texts.say("score.none_detail"),
            "sections": [],
            "low": [],
            "banner": "",
            "inferred": "",
        }
    planned = {gap.step for gap in gaps if gap.state in ("open", "doing")}
    return {
        "sentence": score_view.sentence(whole.assessment),
        "detail": score_view.detail(whole.assessment),
        "sections": score_view.sections(whole.assessment),
        "low": score_view.low(whole, planned),
        "banner": whole.banner,
        "inferred": score_view.inferred(whole.assessment),
    }


def _begin(view: View, going: Collection[str]) -> Data:
    """Return where the caller may begin an assessment: one is open at a place at a time."""
    places = [one for one in view.places(Permission.SCORECARD_MANAGE) if one.path not in going]
    return {
        "may": view.holds(Permission.SCORECARD_MANAGE),
        "places": [{"value": one.path, "label": view.where(one.path)} for one in places],
    }


def _first(view: View) -> Assessment | None:
    latest = queries.latest(view.tx, view.seen(Permission.SCORECARD_READ))
    return latest[min(latest, key=lambda path: (path.count("/"), path))] if latest else None


handlers = [shown]
