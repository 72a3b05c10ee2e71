# SPDX-License-Identifier: Apache-2.0
"""A result to hand over: one document to print, and the same as one file that opens anywhere.

The file needs nothing beside it: style and drawings stand in it, no script, no address that is fetched; a policy in it
says so to the browser that opens it (`default-src 'none'`; walk scorecard, 14).
"""

from typing import Any

import msgspec
from litestar import Response, get
from markupsafe import Markup

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.ids import AssessmentId
from checkvalve.protocol import scorecard as said
from checkvalve.server.access.model import Permission
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Assessment, State
from checkvalve.server.web import texts
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import assess_view, frame, render, score_trend, score_view
from checkvalve.server.web.pages.compliance import first
from checkvalve.server.web.pages.frame import Asked
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_READ = {"permission": Permission.SCORECARD_READ}


@get(["/compliance/print", "/compliance/print.json"], opt=_READ)
async def printed(request: Asked, call: Called) -> Response[bytes]:
    """Answer with the document of `?assessment=`, else of the newest result of the place looked at."""
    data, scope = await call.read("score.print", lambda tx: _looked(tx, request, call))
    if frame.twin(request):
        return Response(msgspec.json.encode(data), media_type=frame.JSON)
    return render.html("score_print.html", _values(data, inline=False), call.plane.now(), scope=scope)


@get("/compliance/export", opt=_READ)
async def exported(request: Asked, call: Called) -> Response[bytes]:
    """Answer with the same as a file of its own."""
    data, _ = await call.read("score.export", lambda tx: _looked(tx, request, call))
    text = render.part("score_print.html", _values(data, inline=True), call.plane.now())
    headers = {
        "Content-Disposition": f'attachment; filename="readiness-{data["id"]}.html"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text.encode(), media_type="application/octet-stream", headers=headers)


def look(view: View) -> Data:
    """Return the document's data.

    Raises `NotFoundError` (`assessment.not_found`), `ConflictError` (`assessment.not_closed`).
    """
    found = _chosen(view)
    whole = answers.whole(view.tx, found, view.now, view.call.plane.blobs)
    result = queries.result(view.tx, found)
    gaps = answers.gaps(
        view.tx, queries.gaps(view.tx, view.seen(Permission.SCORECARD_READ), scope=found.scope), view.now.date()
    )
    past = answers.listed(view.tx, [each for each in queries.trend(view.tx, found.scope) if each.id <= found.id])
    one = whole.assessment
    return {
        "id": found.id,
        "title": texts.say("paper.title", where=one.where),
        "sentence": score_view.sentence(one),
        "detail": score_view.detail(one),
        "banner": whole.banner,
        "inferred": score_view.inferred(one),
        "sections": score_view.sections(one),
        "low": score_view.low(whole, ()),
        "trend": score_trend.drawn(past),
        "gaps": [score_view.gap(each) for each in gaps],
        "rows": [assess_view.row(whole, each, "") for each in whole.questions],
        "evidence": assess_view.evidence(whole, whole.evidence),
        "closed": texts.say(
            "paper.closed",
            ended=(one.ended_at or "")[:16].replace("T", " "),
            id=found.id,
            plane=plainly(view.call.plane.name),
            now=view.now.isoformat()[:16].replace("T", " "),
        ),
        **_estate(result.kept),
        "digests": [
            texts.say("paper.digest", kind=kind, digest=digest) for kind, digest in result.standard.digests.items()
        ],
        "json": msgspec.json.format(msgspec.json.encode(whole), indent=1).decode(),
    }


def _looked(tx: Tx, request: Asked, call: Any) -> tuple[Data, str]:  # noqa: ANN401 - what `Called` lends
    view = View.open(tx, call, frame.plain(dict(request.query_params)))
    return look(view), "" if view.scope == "/" else view.scope


def _chosen(view: View) -> Assessment:
    wanted, seen = view.query.get("assessment", ""), view.seen(Permission.SCORECARD_READ)
    found = queries.assessment(view.tx, AssessmentId(known(wanted)), seen) if wanted else first(view)
    if found is None:
        raise NotFoundError("assessment.not_found", texts.say("paper.none"), texts.say("paper.none_why"))
    if found.state is not State.CLOSED:
        raise ConflictError("assessment.not_closed", texts.say("paper.not_closed"), texts.say("paper.not_closed_why"))
    return found


def _estate(kept: said.Kept | None) -> Data:
    if kept is None:
        return {"estate": [], "sites": []}
    rows = [
        texts.say("paper.estate_row", kind=kind, number=f"{number:,}") for kind, number in sorted(kept.estate.items())
    ]
    managed = [texts.say("paper.managed", number=f"{kept.managed:,}")] if rows else []
    return {"estate": rows + managed, "sites": [plainly(name) for name in sorted(kept.sites.values())]}


def _values(data: Data, *, inline: bool) -> dict[str, Json | Data | bool]:
    sheets = "\n".join(render.text(name) for name in ("tokens.css", "paper.css"))
    style = Markup(f"<style>{sheets}</style>") if inline else ""  # noqa: S704 - our own files, in one that is no page
    return {"title": str(data["title"]), "data": data, "inline": inline, "policy": POLICY, "style": style}


handlers = [printed, exported]
