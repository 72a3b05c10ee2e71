# SPDX-License-Identifier: Apache-2.0
"""Compliance: how ready is this place, which section is lowest, and what closes its gaps?

The newest closed assessment of the highest place that one may see here stands first; those of others are listed.
"""

from collections.abc import Collection

from litestar import get

from checkvalve.protocol import scorecard as said
from checkvalve.server.access.model import Permission, ScopeKind
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Assessment, State
from checkvalve.server.web import texts
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame, score_trend, score_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View

PAGE = Page("compliance.html", "compliance", "compliance.title")
SHOWN, SITES = 50, 100


@get(["/compliance", "/compliance.json"], opt={"permission": Permission.SCORECARD_READ})
async def shown(request: Asked, call: Called) -> Answer:
    """Answer with the scorecard of the place looked at."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    seen = view.seen(Permission.SCORECARD_READ)
    every = answers.listed(view.tx, queries.assessments(view.tx, seen, limit=SHOWN))
    going = [one for one in every if one.state == State.OPEN]
    shown = first(view)
    whole = answers.whole(view.tx, shown, view.now, view.call.plane.blobs) if shown else None
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
        "suppliers_href": view.link("/suppliers") if view.holds(Permission.SUPPLIER_READ) else "",
        "fresh": whole is None,
        "scope": shown.scope if shown else "",
        "may_plan": shown is not None and view.may(Permission.SCORECARD_ANSWER, shown.scope),
        "trend": score_trend.drawn(answers.listed(view.tx, queries.trend(view.tx, shown.scope))) if shown else None,
        **_sites(view),
        "plan_href": view.link("/compliance/plan"),
        "guide_href": view.link("/compliance/guide"),
        "frameworks_href": view.link("/compliance/frameworks"),
        "print_href": view.link("/compliance/print") if shown else "",
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


def _sites(view: View) -> Data:
    """Return the places one may see here, the lowest result first; those without one come last, and are counted."""
    latest = queries.latest(view.tx, view.seen(Permission.SCORECARD_READ))
    results = {one.scope: one for one in answers.listed(view.tx, list(latest.values())[:SITES])}
    nodes = [one for one in view.places(Permission.SCORECARD_READ) if one.path.startswith(view.scope)]
    scored = [one for one in nodes if one.path in results]
    bare = [one for one in nodes if one.path not in latest and one.kind is not ScopeKind.AREA]
    scored.sort(key=lambda one: score_view.rank(results[one.path]))
    room = max(SITES - len(scored), 0)
    rows = [score_view.site(view.where(one.path), results.get(one.path)) for one in scored + bare[:room]]
    more = len(bare) - len(bare[:room])
    return {"sites": rows if len(nodes) > 1 else [], "sites_more": texts.say("sites.more", n=str(more)) if more else ""}


def _begin(view: View, going: Collection[str]) -> Data:
    """Return where the caller may begin an assessment: one is open at a place at a time."""
    places = [one for one in view.places(Permission.SCORECARD_MANAGE) if one.path not in going]
    return {
        "may": view.holds(Permission.SCORECARD_MANAGE),
        "places": [{"value": one.path, "label": view.where(one.path)} for one in places],
    }


def first(view: View) -> Assessment | None:
    """Return the newest result of the highest place that one may see here, None where there is none."""
    latest = queries.latest(view.tx, view.seen(Permission.SCORECARD_READ))
    return latest[min(latest, key=lambda path: (path.count("/"), path))] if latest else None


handlers = [shown]
