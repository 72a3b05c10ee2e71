# SPDX-License-Identifier: Apache-2.0
"""Assessments of organisations, sites and areas: `/api/v1/assessments`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.ids import AssessmentId, DecisionId, EvidenceId, PersonId, ReplyId
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.estate import queries as estate_queries
from checkvalve.server.scorecard import actions, decide, queries
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Reply, State, Wanted
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import Call, Called, Place, in_scope, named

Which = Annotated[
    Literal["all", "open", "closed", "dropped"], QueryParameter(name="state", description="In this state only.")
]


@get("/", opt={"permission": Permission.SCORECARD_READ}, summary="Assessments, newest first")
async def listed(
    call: Called, *, within: Within = ROOT, which: Which = "all", limit: Limit = USUAL, before: Before = ""
) -> api.Page[forms.Assessment]:
    """List the assessments of what one may see, with what each came to."""
    wanted: Wanted = {} if which == "all" else {"states": (State(which),)}

    def look(tx: Tx, seen: Visibility) -> list[forms.Assessment]:
        return answers.listed(tx, queries.assessments(tx, seen, limit=limit + 1, before=last(before), **wanted))

    found = await call.ask("assessments", look, scope=within)
    return stretch(found, limit, lambda one: one.id, lambda one: one)


@post("/", opt={"permission": Permission.SCORECARD_MANAGE}, summary="Begin an assessment")
async def begin(call: Called, data: JSONBody[forms.New]) -> forms.Whole:
    """Begin an assessment of a place; one of each place is open at a time."""
    made = AssessmentId(call.plane.new_id())

    def do(tx: Tx, act: Act) -> forms.Whole:
        opened = actions.open(tx, act, made, _me(call), data.scope, data.title, call.plane.standard)
        return answers.whole(tx, opened, act.at)

    return await call.act("assessment.open", f"assessment:{made}", in_scope(data.scope), do)


@get("/{assessment_id:str}", opt={"permission": Permission.SCORECARD_READ}, summary="One assessment")
async def one(call: Called, assessment_id: FromPath[str]) -> forms.Whole:
    """Return an assessment with its questions, what everybody said, what was settled and what backs it."""

    def look(tx: Tx, seen: Visibility) -> forms.Whole:
        return answers.whole(tx, queries.assessment(tx, AssessmentId(assessment_id), seen), call.plane.now())

    return await call.ask("assessment", look)


@post(
    "/{assessment_id:str}/replies",
    opt={"permission": Permission.SCORECARD_ANSWER},
    summary="Answer a question oneself",
)
async def reply(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Say]) -> forms.Whole:
    """Say what one thinks: 0 to 4, not_sure, not_applicable with a reason; null takes back what one said."""
    made = ReplyId(call.plane.new_id())

    def do(tx: Tx, act: Act) -> Assessment:
        said = decide.said(data.said)
        there = AssessmentId(assessment_id)
        actions.reply(tx, act, Reply(made, there, data.question, _me(call), said, data.reason, data.comment, act.at))
        return queries.assessment(tx, there)

    return await _changed(call, "assessment.reply", assessment_id, do)


@post("/{assessment_id:str}/decisions", opt={"permission": Permission.SCORECARD_MANAGE}, summary="Settle a question")
async def settle(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Settle]) -> forms.Whole:
    """Settle what counts where people differ. It counts until somebody says something else."""
    made = DecisionId(call.plane.new_id())

    def do(tx: Tx, act: Act) -> Assessment:
        said = decide.settled(data.said)
        there = AssessmentId(assessment_id)
        actions.settle(
            tx, act, Decision(made, there, data.question, said, data.reason, data.comment, _me(call), act.at)
        )
        return queries.assessment(tx, there)

    return await _changed(call, "assessment.settle", assessment_id, do)


@post(
    "/{assessment_id:str}/close",
    opt={"permission": Permission.SCORECARD_MANAGE},
    status_code=200,
    summary="Close an assessment",
)
async def close(call: Called, assessment_id: FromPath[str]) -> forms.Whole:
    """Close an assessment: its result is kept for good, and nothing is added any more."""

    def do(tx: Tx, act: Act) -> Assessment:
        ident = AssessmentId(assessment_id)
        here = Visibility((queries.assessment(tx, ident).scope,))
        declared = estate_queries.now(tx, here)
        estate: dict[str, int] = {}
        for row in declared:
            estate[row.kind.value] = estate.get(row.kind.value, 0) + row.number
        managed = sum(share.managed for share in estate_queries.compare(tx, here, declared, act.at))
        return actions.close(tx, act, ident, _me(call), estate, managed)

    return await _changed(call, "assessment.close", assessment_id, do)


@post(
    "/{assessment_id:str}/drop",
    opt={"permission": Permission.SCORECARD_MANAGE},
    status_code=200,
    summary="Give an assessment up",
)
async def drop(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Why]) -> forms.Whole:
    """Give an assessment up, with a reason; it counts nowhere, and stays readable."""
    ident = AssessmentId(assessment_id)
    return await _changed(
        call,
        "assessment.drop",
        assessment_id,
        lambda tx, act: actions.drop(tx, act, ident, _me(call), data.why),
    )


@post(
    "/{assessment_id:str}/evidence",
    opt={"permission": Permission.SCORECARD_ANSWER},
    summary="Back an answer with a document that is kept elsewhere",
)
async def link(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Link]) -> forms.Whole:
    """Add the address and digest of what backs an answer."""
    made = EvidenceId(call.plane.new_id())

    def do(tx: Tx, act: Act) -> Assessment:
        there = AssessmentId(assessment_id)
        actions.add_evidence(tx, act, _linked(data, made, there, _me(call), act))
        return queries.assessment(tx, there)

    return await _changed(call, "evidence.add", assessment_id, do)


def place(tx: Tx, assessment_id: str) -> Sequence[str]:
    """Return where the right to an assessment is judged; `NotFoundError`."""
    return (queries.assessment(tx, AssessmentId(assessment_id)).scope,)


async def _changed(call: Call, action: str, ident: str, do: Callable[[Tx, Act], Assessment]) -> forms.Whole:
    def work(tx: Tx, act: Act) -> forms.Whole:
        return answers.whole(tx, do(tx, act), act.at)

    return await call.act(action, named("assessment", ident), Place(place, ident), work)


def _linked(data: forms.Link, ident: EvidenceId, there: AssessmentId, person: PersonId, act: Act) -> Evidence:
    return Evidence(
        id=ident,
        assessment=there,
        question=data.question,
        name=data.name,
        link=data.link or "-",  # a link that is none is refused as such
        digest=data.digest,
        size=0,
        period_from=data.period_from,
        period_to=data.period_to,
        owner=data.owner,
        expires=data.expires,
        note=data.note,
        added_by=person,
        added_at=act.at,
    )


def _me(call: Call) -> PersonId:
    return PersonId(call.caller.person.id)


router = Router(
    "/assessments", route_handlers=[listed, begin, one, reply, settle, close, drop, link], tags=["scorecard"]
)
