# SPDX-License-Identifier: Apache-2.0
"""Assessing: one question a screen, answered by a key or a thumb; and what backs the answer.

`?q=` names the question; without it one goes on where one was. Every answer is kept at once, and the page goes on to
the next question that one has not answered, at the end to the review (walk scorecard, 2). It works without scripts.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import date

from litestar import get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from checkvalve.errors import InvalidError
from checkvalve.ids import AssessmentId, EvidenceId
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import LARGEST
from checkvalve.server.web import texts
from checkvalve.server.web.api import assessments, evidence
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import assess_view, compliance, frame, render
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("assess.html", "compliance", "assess.title")
PIECE = 1 << 20
_READ, _ANSWER = {"permission": Permission.SCORECARD_READ}, {"permission": Permission.SCORECARD_ANSWER}
_BODY = LARGEST + (1 << 20)  # bytes: a file within a form


@get("/compliance/assess/{assessment_id:str}", opt=_READ)
async def asked(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer:
    """Answer with one question of an assessment."""
    return await _show(request, call, known(assessment_id))


@post("/compliance/assess/{assessment_id:str}", opt=_ANSWER)
async def say(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer | Redirect:
    """Answer the question, and go on to the next; an empty answer takes one's own back, and stays."""
    wanted, form = known(assessment_id), await frame.fields(request)
    question = form.get("question", "")

    async def do(said: Mapping[str, str]) -> None:
        body = forms.Say(
            question=question,
            said=said.get("said", "") or None,
            reason=said.get("reason", ""),
            comment=_one_line(said.get("comment", "")),
        )
        await assessments.replied(call, wanted, body)

    onward = form.get("then", "") if form.get("said") else question
    at = _at(request, wanted, q=onward) if onward else _at(request, f"{wanted}/review")
    return await frame.change(request, do, lambda retry: _show(request, call, wanted, question, retry, "say"), at)


@post("/compliance/assess/{assessment_id:str}/evidence", opt=_ANSWER, request_max_body_size=_BODY)
async def back_up(request: Asked, call: Called, assessment_id: FromPath[str]) -> Answer | Redirect:
    """Back an answer with a file, or with the address of a document."""
    wanted, form = known(assessment_id), await request.form()
    sent, question = form.get("file"), str(form.get("question", ""))

    async def do(said: Mapping[str, str]) -> None:
        chosen = sent if isinstance(sent, UploadFile) and sent.filename else None
        about = forms.Link(
            question=question,
            name=said.get("name", "") or (chosen.filename if chosen else ""),
            link="" if chosen else said.get("link", "") or "-",  # a link that is none is refused as such
            digest=said.get("digest", ""),
            owner=said.get("owner", ""),
            period_from=_date(said.get("period_from", "")),
            period_to=_date(said.get("period_to", "")),
            expires=_date(said.get("expires", "")),
            note=said.get("note", ""),
        )
        if chosen is None:
            await assessments.linked(call, wanted, about)
        else:
            await evidence.brought(call, wanted, about, _pieces(chosen))

    again = _at(request, wanted, q=question) + "#evidence"
    return await frame.change(
        request, do, lambda retry: _show(request, call, wanted, question, retry, "evidence"), again
    )


@post("/compliance/evidence/{evidence_id:str}/remove", opt=_ANSWER)
async def remove(request: Asked, call: Called, evidence_id: FromPath[str]) -> Answer | Redirect:
    """Say that evidence backs no answer any more."""
    wanted = known(evidence_id)
    found, there = await call.read("evidence", lambda tx: queries.evidence_one(tx, EvidenceId(wanted)))

    async def do(said: Mapping[str, str]) -> None:
        await evidence.removed(call, wanted, said.get("why", ""))

    again = _at(request, there.id, q=found.question) + "#evidence"
    return await frame.change(
        request, do, lambda retry: _show(request, call, there.id, found.question, retry, f"remove-{wanted}"), again
    )


@get("/compliance/evidence/{evidence_id:str}", opt=_READ)
async def content(call: Called, evidence_id: FromPath[str]) -> Stream:
    """Answer with the file that backs an answer, to be kept."""
    found = await call.ask(
        "evidence.content", lambda tx, seen: queries.evidence_one(tx, EvidenceId(evidence_id), seen)[0]
    )
    return await evidence.attached(call.plane.blobs, found)


@post("/compliance/begin", opt={"permission": Permission.SCORECARD_MANAGE})
async def begin(request: Asked, call: Called) -> Answer | Redirect:
    """Begin an assessment, and ask its first question."""
    made = AssessmentId(call.plane.new_id())

    async def do(said: Mapping[str, str]) -> None:
        await assessments.begun(call, made, forms.New(scope=said.get("place", ""), title=said.get("title", "")))

    return await frame.change(
        request,
        do,
        lambda retry: frame.show(request, call, compliance.PAGE, compliance.look, retry=retry),
        _at(request, made),
    )


def look(view: View, wanted: str, question: str = "") -> Data:
    """Return the page's data. Raises `NotFoundError` (`assessment.not_found`, `scorecard.question`)."""
    found = queries.assessment(view.tx, AssessmentId(wanted), view.seen(Permission.SCORECARD_READ))
    whole = answers.whole(view.tx, found, view.now, view.call.plane.blobs)
    mine = assess_view.mine(whole, view.me)
    first = whole.questions[0].id
    here = (question or view.query.get("q", "")).upper() or assess_view.left(whole, mine, "") or first
    queries.standard_of(view.tx, found).question(here)
    ids = [each.id for each in whole.questions]
    number, base = ids.index(here), f"/compliance/assess/{found.id}"
    return {
        "id": found.id,
        "where": whole.assessment.where,
        "title": plainly(found.title),
        "enabled": whole.assessment.state == "open" and view.may(Permission.SCORECARD_ANSWER, found.scope),
        **_locked(view, whole),
        **_question(whole, whole.questions[number], mine.get(here)),
        "number": number + 1,
        "count": len(ids),
        "done": len(mine),
        "then": assess_view.left(whole, {*mine, here}, here),
        "back_href": view.link(base, q=ids[number - 1]) if number else "",
        "next_href": view.link(base, q=ids[number + 1]) if number + 1 < len(ids) else "",
        "review_href": view.link(f"{base}/review"),
        "map": [_mark(view, base, each, mine, here) for each in ids],
    }


def _question(whole: forms.Whole, one: forms.Asked, mine: forms.Reply | None) -> Data:
    said = mine.said if mine else None
    others = [] if mine is None else [each for each in assess_view.words(whole, one.id) if each.person != mine.person]
    return {
        "question": one.id,
        "section": assess_view.title(whole, one.section),
        "text": one.text,
        "why": one.why,
        "shows": one.evidence,
        "answers": [{"value": value, "text": one.answers[value], "chosen": value == said} for value in one.answers],
        "unsure": said == "not_sure",
        "beside": said == "not_applicable",
        "said": assess_view.word(said) if said else "",
        "reason": plainly(mine.reason) if mine else "",
        "comment": plainly(mine.comment) if mine else "",
        "others": [
            {
                "text": texts.say("review.word", name=plainly(each.name), said=assess_view.word(each.said)),
                "comment": plainly(each.comment or each.reason),
            }
            for each in others
        ],
        "evidence": assess_view.evidence(whole, [each for each in whole.evidence if each.question == one.id]),
    }


def _locked(view: View, whole: forms.Whole) -> Data:
    """Return why nothing can be answered, "" where it can."""
    one = whole.assessment
    if one.state != "open":
        state = texts.say(f"score.is.{one.state}")
        return {"locked": texts.say("assess.ended", state=state), "locked_why": texts.say("assess.ended_why")}
    if not view.may(Permission.SCORECARD_ANSWER, one.scope):
        return {"locked": texts.say("assess.may_not"), "locked_why": texts.say("assess.may_not_why")}
    return {"locked": "", "locked_why": ""}


def _mark(view: View, base: str, question: str, mine: Mapping[str, forms.Reply], here: str) -> Data:
    said = mine[question].said if question in mine else None
    return {
        "id": question,
        "href": view.link(base, q=question),
        "here": question == here,
        "done": said is not None,
        "label": texts.say("assess.map_one", id=question, state=assess_view.word(said)),
    }


async def _show(
    request: Asked, call: Call, wanted: str, question: str = "", retry: Retry | None = None, tried: str = ""
) -> Answer:
    return await frame.show(
        request, call, PAGE, lambda view: look(view, wanted, question), retry=retry, tried=tried, longest=LARGEST >> 20
    )


def _at(request: Asked, ident: str, **query: str) -> str:
    return render.link(f"/compliance/assess/{ident}", scope=request.query_params.get("scope", ""), **query)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidError(
            "evidence.dates", texts.say("evidence.wrong_date"), texts.say("evidence.wrong_date_why")
        ) from None


async def _pieces(sent: UploadFile) -> AsyncIterator[bytes]:
    while piece := await sent.read(PIECE):
        yield piece


handlers = [asked, say, back_up, remove, content, begin]
