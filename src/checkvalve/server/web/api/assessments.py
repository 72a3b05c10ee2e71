# SPDX-License-Identifier: Apache-2.0
"""Assessments of organisations, sites and areas: `/api/v1/assessments`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.ids import AssessmentId, DecisionId, PersonId, ReplyId
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.estate import queries as estate_queries
from checkvalve.server.scorecard import actions, decide, queries
from checkvalve.server.scorecard.model import Assessment, Decision, Reply, State, Wanted
from checkvalve.server.web.api import comparison, evidence
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
    return await begun(call, AssessmentId(call.plane.new_id()), data)


@get("/{assessment_id:str}", opt={"permission": Permission.SCORECARD_READ}, summary="One assessment")
async def one(call: Called, assessment_id: FromPath[str]) -> forms.Whole:
    """Return an assessment with its questions, what everybody said, what was settled and what backs it."""

    def look(tx: Tx, seen: Visibility) -> forms.Whole:
        found = queries.assessment(tx, AssessmentId(assessment_id), seen)
        return answers.whole(tx, found, call.plane.now(), call.plane.blobs)

    return await call.ask("assessment", look)


@post(
    "/{assessment_id:str}/replies",
    opt={"permission": Permission.SCORECARD_ANSWER},
    summary="Answer a question oneself",
)
async def reply(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Say]) -> forms.Whole:
    """Say what one thinks: 0 to 4, not_sure, not_applicable with a reason; null takes back what one said."""
    return await replied(call, assessment_id, data)


@post("/{assessment_id:str}/decisions", opt={"permission": Permission.SCORECARD_MANAGE}, summary="Settle a question")
async def settle(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Settle]) -> forms.Whole:
    """Settle what counts where people differ. It counts until somebody says something else."""
    return await settled(call, assessment_id, data)


@post(
    "/{assessment_id:str}/close",
    opt={"permission": Permission.SCORECARD_MANAGE},
    status_code=200,
    summary="Close an assessment",
)
async def close(call: Called, assessment_id: FromPath[str]) -> forms.Whole:
    """Close an assessment: its result is kept for good, and nothing is added any more."""
    return await closed(call, assessment_id)


@post(
    "/{assessment_id:str}/drop",
    opt={"permission": Permission.SCORECARD_MANAGE},
    status_code=200,
    summary="Give an assessment up",
)
async def drop(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Why]) -> forms.Whole:
    """Give an assessment up, with a reason; it counts nowhere, and stays readable."""
    return await dropped(call, assessment_id, data.why)


@post(
    "/{assessment_id:str}/evidence",
    opt={"permission": Permission.SCORECARD_ANSWER},
    summary="Back an answer with a document that is kept elsewhere",
)
async def link(call: Called, assessment_id: FromPath[str], data: JSONBody[forms.Link]) -> forms.Whole:
    """Add the address and digest of what backs an answer."""
    return await linked(call, assessment_id, data)


async def linked(call: Call, assessment_id: str, data: forms.Link) -> forms.Whole:
    """Add the address of what backs an answer. Raises what `scorecard.actions.add_evidence` does."""
    wanted = replace(evidence.of(call, assessment_id, data), link=data.link or "-", digest=data.digest)  # "-": refused
    return await evidence.added(call, wanted)


async def begun(call: Call, made: AssessmentId, data: forms.New) -> forms.Whole:
    """Begin an assessment. Raises what `scorecard.actions.open` does."""

    def do(tx: Tx, act: Act) -> forms.Whole:
        opened = actions.open(tx, act, made, _me(call), data.scope, data.title, call.plane.standard)
        return answers.whole(tx, opened, act.at, call.plane.blobs)

    return await call.act("assessment.open", f"assessment:{made}", in_scope(data.scope), do)


async def replied(call: Call, assessment_id: str, data: forms.Say) -> forms.Whole:
    """Answer a question. Raises what `scorecard.actions.reply` does."""
    made, there = ReplyId(call.plane.new_id()), AssessmentId(assessment_id)

    def do(tx: Tx, act: Act) -> Assessment:
        said = decide.said(data.said)
        actions.reply(tx, act, Reply(made, there, data.question, _me(call), said, data.reason, data.comment, act.at))
        return queries.assessment(tx, there)

    return await _changed(call, "assessment.reply", assessment_id, do)


async def settled(call: Call, assessment_id: str, data: forms.Settle) -> forms.Whole:
    """Settle a question. Raises what `scorecard.actions.settle` does."""
    made, there = DecisionId(call.plane.new_id()), AssessmentId(assessment_id)

    def do(tx: Tx, act: Act) -> Assessment:
        said = decide.settled(data.said)
        actions.settle(
            tx, act, Decision(made, there, data.question, said, data.reason, data.comment, _me(call), act.at)
        )
        return queries.assessment(tx, there)

    return await _changed(call, "assessment.settle", assessment_id, do)


async def closed(call: Call, assessment_id: str) -> forms.Whole:
    """Close an assessment with what is declared at its place now. Raises what `scorecard.actions.close` does."""

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


async def dropped(call: Call, assessment_id: str, why: str) -> forms.Whole:
    """Give an assessment up. Raises what `scorecard.actions.drop` does."""
    ident = AssessmentId(assessment_id)
    return await _changed(
        call, "assessment.drop", assessment_id, lambda tx, act: actions.drop(tx, act, ident, _me(call), why)
    )


async def _changed(call: Call, action: str, ident: str, do: Callable[[Tx, Act], Assessment]) -> forms.Whole:
    def work(tx: Tx, act: Act) -> forms.Whole:
        return answers.whole(tx, do(tx, act), act.at, call.plane.blobs)

    return await call.act(action, named("assessment", ident), Place(evidence.place_of, ident), work)


def _me(call: Call) -> PersonId:
    return PersonId(call.caller.person.id)


router = Router(
    "/assessments",
    route_handlers=[listed, begin, one, reply, settle, close, drop, link, evidence.file, comparison.compared],
    tags=["scorecard"],
)
