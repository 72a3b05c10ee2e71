# SPDX-License-Identifier: Apache-2.0
"""Assessments and gap plans as the API and the pages say them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from checkvalve.protocol import scorecard as said
from checkvalve.server.access import queries as access_queries
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.scorecard import decide, keeping, proof, queries, reconcile
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Gap, Reply
from checkvalve.server.scorecard.queries import Result
from checkvalve.server.scorecard.standard import Guidance, Question

Names = Mapping[str, str]


def whole(tx: Tx, assessment: Assessment, now: datetime, blobs: Blobs) -> said.Whole:
    """Return one assessment with all that was said in it; `blobs` is where its files are."""
    result = queries.result(tx, assessment)
    replies, decisions = queries.replies(tx, assessment.id), queries.decisions(tx, assessment.id)
    people = {*(one.person for one in replies), *(one.by for one in decisions)}
    names = identity_queries.names(tx, people)
    counts = {each.decision.id for each in result.outcome.values() if each.decision}
    guide = result.standard.guide
    shown = _listed(tx, assessment, result)
    return said.Whole(
        assessment=shown,
        banner=guide.not_sure if shown.declared and shown.declared.internal_audit else "",
        guide=[_guidance(guide.sections[section.id]) for section in result.standard.sections],
        questions=[_asked(question) for question in result.standard.questions],
        answers=result.kept.answers if result.kept else queries.answers(result, now),
        replies=[_reply(one, names) for one in replies],
        decisions=[_decision(one, names, counts=one.id in counts) for one in decisions],
        evidence=[evidence(one, now.date(), blobs) for one in queries.evidence(tx, assessment.id)],
    )


def listed(tx: Tx, assessments: Sequence[Assessment]) -> list[said.Assessment]:
    """Return assessments as they stand in a list: closed ones as they were kept, open ones as they are."""
    return [_listed(tx, one, queries.result(tx, one)) for one in assessments]


def evidence(one: Evidence, today: date, blobs: Blobs) -> said.Evidence:
    """Return a piece of evidence as it is worth on a day."""
    return said.Evidence(
        id=one.id,
        question=one.question,
        name=one.name,
        link=one.link,
        digest=one.digest,
        size=one.size,
        period_from=one.period_from,
        period_to=one.period_to,
        owner=one.owner,
        expires=one.expires,
        note=one.note,
        added_by=one.added_by,
        added_at=rfc3339(one.added_at),
        state=proof.worth(one, today, there=bool(one.link) or blobs.has(one.digest)).value,
        removed_why=one.removed_why,
    )


def places(tx: Tx, found: Sequence[Gap]) -> Mapping[str, str]:
    """Return the names of the places that have a plan, by path."""
    return {scope: _where(tx, scope) for scope in {one.scope for one in found}}


def gaps(tx: Tx, found: Sequence[Gap], today: date) -> list[said.Gap]:
    """Return rows of gap plans as they stand on a day."""
    where = places(tx, found)
    return [
        said.Gap(
            id=one.id,
            scope=one.scope,
            where=where[one.scope],
            section=one.section,
            step=one.step,
            text=one.text,
            owner=one.owner,
            due=one.due,
            state=one.state.value,
            note=one.note,
            overdue=one.due is not None and one.due < today and one.state not in decide.ENDED,
            changed_by=one.changed_by,
            changed_at=rfc3339(one.changed_at),
        )
        for one in found
    ]


def _listed(tx: Tx, one: Assessment, result: Result) -> said.Assessment:
    open_questions = reconcile.Standing.UNANSWERED
    return said.Assessment(
        id=one.id,
        scope=one.scope,
        where=_where(tx, one.scope),
        title=one.title,
        state=one.state.value,
        opened_by=one.opened_by,
        opened_at=rfc3339(one.opened_at),
        ended_at=rfc3339(one.ended_at) if one.ended_at else None,
        answered=sum(each.standing is not open_questions for each in result.outcome.values()),
        asked=len(result.outcome),
        declared=result.kept.declared if result.kept else keeping.shown(result.standard, result.declared),
        defensible=result.kept.defensible if result.kept else keeping.shown(result.standard, result.defensible),
        why=one.why,
    )


def _where(tx: Tx, scope: str) -> str:
    return "/".join(access_queries.names(tx, scope))


def _asked(question: Question) -> said.Asked:
    return said.Asked(
        id=question.id,
        section=question.section,
        text=question.text,
        why=question.why,
        evidence=question.evidence,
        answers={str(points): text for points, text in question.answers.items()},
        metric=question.metric,
        checks=list(question.checks),
    )


def _guidance(one: Guidance) -> said.Guidance:
    return said.Guidance(
        section=one.section,
        low=one.low,
        at_risk=list(one.at_risk),
        developing=list(one.developing),
        good=list(one.good),
        steps=[
            said.Step(
                id=step.id,
                text=step.text,
                place=step.place,
                guide=step.guide,
                until=step.until,
                closes=list(step.closes),
                regulatory=step.regulatory,
                leverage=step.leverage,
            )
            for step in one.steps
        ],
    )


def _reply(one: Reply, names: Names) -> said.Reply:
    return said.Reply(
        id=one.id,
        question=one.question,
        person=one.person,
        name=names.get(one.person, ""),
        said=one.said.value if one.said else None,
        reason=one.reason,
        comment=one.comment,
        at=rfc3339(one.at),
    )


def _decision(one: Decision, names: Names, *, counts: bool) -> said.Decision:
    return said.Decision(
        id=one.id,
        question=one.question,
        said=one.said.value,
        reason=one.reason,
        comment=one.comment,
        by=one.by,
        name=names.get(one.by, ""),
        at=rfc3339(one.at),
        counts=counts,
    )
