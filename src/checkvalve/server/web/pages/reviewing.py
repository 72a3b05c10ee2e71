# SPDX-License-Identifier: Apache-2.0
"""The record of an assessment: who said what, what counts and what backs it; settling, closing, giving up."""

from collections.abc import Mapping

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import AssessmentId
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.scorecard import queries
from checkvalve.server.web import texts
from checkvalve.server.web.api import assessments
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import assess_view, frame, render, score_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("review.html", "compliance", "review.title")
_MANAGE = {"permission": Permission.SCORECARD_MANAGE}
_AT = "/compliance/assess/{assessment_id:str}"


@get([f"{_AT}/review", f"{_AT}/review.json"], opt={"permission": Permission.SCORECARD_READ})
async def shown(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer:
    """Answer with all that was said in an assessment."""
    return await _show(request, call, known(assessment_id))


@post(f"{_AT}/settle", opt=_MANAGE)
async def settle(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer | Redirect:
    """Settle what counts for a question."""
    wanted, form = known(assessment_id), await frame.fields(request)
    question = form.get("question", "")

    async def do(said: Mapping[str, str]) -> None:
        body = forms.Settle(
            question=question,
            said=said.get("said", ""),
            reason=said.get("reason", ""),
            comment=said.get("comment", ""),
        )
        await assessments.settled(call, wanted, body)

    return await _change(request, call, wanted, f"settle-{question}", do)


@post(f"{_AT}/close", opt=_MANAGE)
async def close(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer | Redirect:
    """Close the assessment, and show what it came to."""
    wanted = known(assessment_id)

    async def do(_: Mapping[str, str]) -> None:
        await assessments.closed(call, wanted)

    return await _change(request, call, wanted, "close", do, "/compliance")


@post(f"{_AT}/drop", opt=_MANAGE)
async def drop(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer | Redirect:
    """Give the assessment up."""
    wanted = known(assessment_id)

    async def do(said: Mapping[str, str]) -> None:
        await assessments.dropped(call, wanted, said.get("why", ""))

    return await _change(request, call, wanted, "drop", do)


def look(view: View, wanted: str) -> Data:
    """Return the page's data."""
    found = queries.assessment(view.tx, AssessmentId(wanted), view.seen(Permission.SCORECARD_READ))
    whole = answers.whole(view.tx, found, view.now, view.call.plane.blobs)
    base = f"/compliance/assess/{found.id}"
    rows = [assess_view.row(whole, each, view.link(base, q=each.id)) for each in whole.questions]
    differ = [row for row in rows if row["standing"] == "differ"]
    missing = [row for row in rows if row["standing"] == "unanswered"]
    score = whole.assessment.declared
    many = [each.title for each in score.sections if each.too_many_not_applicable] if score else []
    most = queries.standard_of(view.tx, found).scheme.not_applicable_max
    going, may = whole.assessment.state == "open", view.may(Permission.SCORECARD_MANAGE, found.scope)
    return {
        "id": found.id,
        "sentence": _sentence(whole, len(differ) + len(missing), bool(many)),
        "detail": _detail(whole),
        "banner": whole.banner,
        "going": going,
        "may": may,
        "differ": differ if going else [],
        "missing": missing if going else [],
        "many": texts.say("review.many", sections=", ".join(many), most=str(most)) if many else "",
        "rows": [row for row in rows if not going or row["standing"] in ("agreed", "decided")],
        "evidence": assess_view.evidence(whole, whole.evidence),
        "answer_href": view.link(base),
        "compare_href": view.link("/compliance/compare", after=found.id) if whole.assessment.state == "closed" else "",
        "print_href": view.link("/compliance/print", assessment=found.id) if whole.assessment.state == "closed" else "",
        "json_href": f"/api/v1/assessments/{found.id}",
        "base": base,
        "close": _deed("close", may, going and not (differ or missing or many)),
        "drop": _deed("drop", may, going),
    }


def _sentence(whole: forms.Whole, left: int, many: bool) -> str:  # noqa: FBT001 - of one caller
    one = whole.assessment
    if one.state == "dropped":
        return texts.say("review.dropped", where=one.where)
    if one.state == "closed":
        return texts.say("review.closed", where=one.where, sentence=score_view.sentence(one))
    if not left and not many:
        return texts.say("review.ready", where=one.where)
    return texts.say("review.open", where=one.where, left=str(left), count=str(one.asked))


def _detail(whole: forms.Whole) -> str:
    one = whole.assessment
    if one.state == "dropped":
        return texts.say("review.detail_why", title=plainly(one.title), why=plainly(one.why))
    return texts.say("review.detail", title=plainly(one.title), opened=one.opened_at[:10])


def _deed(name: str, may: bool, possible: bool) -> Data:  # noqa: FBT001 - of one caller
    why = texts.say(f"review.{name}_why")
    if not possible and name == "close":
        why = texts.say("review.close_not")
    return {
        "name": name,
        "label": texts.say(f"review.{name}"),
        "style": "primary" if name == "close" else "danger",
        "why": why if may else texts.say("review.no_right"),
        "enabled": may and possible,
    }


async def _show(request: Asked, call: Call, wanted: str, retry: Retry | None = None, tried: str = "") -> Answer:
    return await frame.show(request, call, PAGE, lambda view: look(view, wanted), retry=retry, tried=tried)


async def _change(request: Asked, call: Call, wanted: str, name: str, do: object, then: str = "") -> Answer | Redirect:
    scope = request.query_params.get("scope", "")
    onward = render.link(then or f"/compliance/assess/{wanted}/review", scope=scope)
    again = lambda retry: _show(request, call, wanted, retry, name)  # noqa: E731 - as the others have it
    return await frame.change(request, do, again, onward)  # type: ignore[arg-type]


handlers = [shown, settle, close, drop]
