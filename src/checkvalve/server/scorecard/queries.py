# SPDX-License-Identifier: Apache-2.0
"""Reading assessments, what was said in them, and gap plans. What may not be seen is not there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Unpack

import sqlalchemy as sa

from checkvalve.errors import NotFoundError
from checkvalve.ids import AssessmentId, EvidenceId, GapId, well_formed
from checkvalve.protocol import scorecard as said
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.decide import narrowed
from checkvalve.server.access.model import ROOT, ScopeKind, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import claims, decide, keeping, proof, reading, reconcile, score, tables
from checkvalve.server.scorecard.compare import Sheet
from checkvalve.server.scorecard.model import (
    Assessment,
    Decision,
    Evidence,
    Gap,
    Reply,
    Said,
    State,
    Wanted,
    Work,
)
from checkvalve.server.scorecard.reconcile import Outcome
from checkvalve.server.scorecard.score import Score
from checkvalve.server.scorecard.standard import Standard

EVERYWHERE = Visibility((ROOT,))
_assessments, _gaps, _evidence = schema.assessments.c, schema.gaps.c, schema.evidence.c


@dataclass(frozen=True, slots=True)
class Result:
    """What an assessment comes to: of an open one as it stands, of a closed one with the bytes that were kept.

    `defensible` is what remains where each answer without data counts 3 at most.
    """

    standard: Standard
    outcome: Mapping[str, Outcome]
    answers: Mapping[str, Said | None]
    declared: Score
    defensible: Score
    kept: said.Kept | None


def assessment(tx: Tx, assessment_id: AssessmentId, seen: Visibility = EVERYWHERE) -> Assessment:
    """Return one assessment; `NotFoundError` (`assessment.not_found`) if there is none that may be seen."""
    row = None
    if well_formed(assessment_id):
        here = (_assessments.id == assessment_id, access_queries.within(_assessments.scope, seen))
        row = tx.first(sa.select(*tables.ASSESSMENT).where(*here))
    if row is None:
        raise NotFoundError(
            "assessment.not_found", "There is no such assessment, or not for you.", "List the assessments."
        )
    return tables.assessment(row)


def assessments(
    tx: Tx, seen: Visibility, *, limit: int | None = 100, before: str = "", **wanted: Unpack[Wanted]
) -> list[Assessment]:
    """Return the assessments that are wanted, newest first; `before` is the id of the last one had (paging)."""
    chosen = [access_queries.within(_assessments.scope, seen)]
    if "scope" in wanted:
        chosen.append(_assessments.scope == wanted["scope"])
    if wanted.get("states"):
        chosen.append(_assessments.state.in_([each.value for each in wanted["states"]]))
    if before:
        chosen.append(_assessments.id < before)
    newest = sa.select(*tables.ASSESSMENT).where(*chosen).order_by(_assessments.id.desc()).limit(limit)
    return [tables.assessment(row) for row in tx.all(newest)]


def open_at(tx: Tx, scope: str) -> Assessment | None:
    """Return the assessment of exactly this place that is open, if there is one."""
    return next(iter(assessments(tx, EVERYWHERE, limit=1, scope=scope, states=(State.OPEN,))), None)


def latest(tx: Tx, seen: Visibility) -> dict[str, Assessment]:
    """Return the newest closed assessment of each place, by path."""
    found: dict[str, Assessment] = {}
    for each in assessments(tx, seen, limit=None, states=(State.CLOSED,)):
        if each.scope not in found or _ended(each) > _ended(found[each.scope]):
            found[each.scope] = each
    return found


def trend(tx: Tx, scope: str) -> list[Assessment]:
    """Return the closed assessments of exactly this place, the first that ended first."""
    return sorted(assessments(tx, EVERYWHERE, limit=None, scope=scope, states=(State.CLOSED,)), key=_ended)


def earlier(tx: Tx, assessment: Assessment) -> Assessment:
    """Return the one of the same place that was closed before it; `NotFoundError` (`assessment.alone`)."""
    had = [each for each in trend(tx, assessment.scope) if each.id != assessment.id]
    if assessment.state is State.CLOSED:
        had = [each for each in had if _ended(each) < _ended(assessment)]
    if not had:
        raise NotFoundError(
            "assessment.alone",
            "No assessment of this place was closed before this one.",
            "Name the one to compare it with; it may be of another place.",
        )
    return had[-1]


def replies(tx: Tx, assessment_id: AssessmentId) -> list[Reply]:
    """Return all that was ever said in an assessment, oldest first."""
    here = schema.replies.c.assessment == assessment_id
    return [tables.reply(row) for row in tx.all(sa.select(*tables.REPLY).where(here).order_by(schema.replies.c.id))]


def decisions(tx: Tx, assessment_id: AssessmentId) -> list[Decision]:
    """Return all that was ever settled in an assessment, oldest first."""
    settled = schema.decisions.c
    chosen = sa.select(*tables.DECISION).where(settled.assessment == assessment_id).order_by(settled.id)
    return [tables.decision(row) for row in tx.all(chosen)]


def evidence(tx: Tx, assessment_id: AssessmentId, question: str = "", *, removed: bool = True) -> list[Evidence]:
    """Return what backs the answers of an assessment, or of one question, oldest first."""
    chosen = [_evidence.assessment == assessment_id]
    if question:
        chosen.append(_evidence.question == question)
    if not removed:
        chosen.append(_evidence.removed_at.is_(None))
    rows = tx.all(sa.select(*tables.EVIDENCE).where(*chosen).order_by(_evidence.id))
    return [tables.evidence(row) for row in rows]


def evidence_one(tx: Tx, evidence_id: EvidenceId, seen: Visibility = EVERYWHERE) -> tuple[Evidence, Assessment]:
    """Return one piece of evidence and where it belongs; `NotFoundError` (`evidence.not_found`)."""
    row = tx.first(sa.select(*tables.EVIDENCE).where(_evidence.id == evidence_id)) if well_formed(evidence_id) else None
    found = tables.evidence(row) if row else None
    if found is not None:
        where = assessments_of(tx, [found.assessment], seen)
        if where:
            return found, where[0]
    raise NotFoundError("evidence.not_found", "There is no such evidence, or not for you.", "List the evidence.")


def addable(tx: Tx, wanted: Evidence) -> tuple[Assessment, Evidence]:
    """Return the assessment that evidence would be added to, and the evidence as it would be kept.

    For a file, before its bytes are taken: with the size that was announced, and any digest. Raises `NotFoundError`
    (`assessment.not_found`, `scorecard.question`), `ConflictError` (`assessment.ended`), and what `proof.added` does.
    """
    found = assessment(tx, wanted.assessment)
    decide.still_open(found)
    standard_of(tx, found).question(wanted.question)
    return found, proof.added(wanted, len(evidence(tx, found.id, wanted.question, removed=False)))


def assessments_of(tx: Tx, ids: Iterable[AssessmentId], seen: Visibility) -> list[Assessment]:
    """Return those of these assessments that may be seen."""
    here = (_assessments.id.in_(list(ids)), access_queries.within(_assessments.scope, seen))
    return [tables.assessment(row) for row in tx.all(sa.select(*tables.ASSESSMENT).where(*here))]


def kept(tx: Tx) -> set[str]:
    """Return the digests of the files of evidence: whatever sweeps content keeps these, removed ones too.

    What was removed stays in the history of an assessment, and its bytes with it.
    """
    files = sa.select(_evidence.digest).where(_evidence.link == "").distinct()
    return {row.digest for row in tx.all(files)}


def standard_of(tx: Tx, assessment: Assessment) -> Standard:
    """Return what an assessment is read by, from the bytes that were kept when it was opened."""
    digests = (assessment.questions, assessment.scheme, assessment.guide)
    rows = tx.all(
        sa.select(schema.standards.c.digest, schema.standards.c.content).where(schema.standards.c.digest.in_(digests))
    )
    content = {row.digest: row.content for row in rows}
    return reading.again(*(content[digest] for digest in digests))


def result(tx: Tx, assessment: Assessment) -> Result:
    """Return what an assessment comes to."""
    standard = standard_of(tx, assessment)
    asked = [question.id for question in standard.questions]
    outcome = reconcile.outcome(asked, replies(tx, assessment.id), decisions(tx, assessment.id))
    answers = {question: each.said for question, each in outcome.items()}
    worth = {question: claims.defensible(each, None) for question, each in answers.items()}
    kept_bytes = keeping.load(assessment.result) if assessment.result is not None else None
    return Result(standard, outcome, answers, score.of(standard, answers), score.of(standard, worth), kept_bytes)


def sheet(tx: Tx, assessment: Assessment) -> Sheet:
    """Return one side of a comparison: with the sites that were there when it was closed, or that are there now."""
    found = result(tx, assessment)
    sites = found.kept.sites if found.kept else sites_within(tx, assessment.scope)
    return Sheet(found.standard, found.answers, found.declared, sites)


def sites_within(tx: Tx, scope: str) -> dict[str, str]:
    """Return the sites at this place and below it, id path to name."""
    nodes = access_queries.listed(tx, Visibility((scope,)))
    return {node.path: node.name for node in nodes if node.kind is ScopeKind.SITE}


def answers(found: Result, now: datetime) -> list[said.Answer]:
    """Return every answer as it counts, with what it stands on at a moment."""
    return [_answer(question, each, now) for question, each in found.outcome.items()]


def gaps(tx: Tx, seen: Visibility, *, scope: str = ROOT, states: Iterable[Work] = ()) -> list[Gap]:
    """Return the gap plan of a place and of all below it, what is due first first."""
    chosen = [access_queries.within(_gaps.scope, narrowed(seen, scope))]
    wanted = [each.value for each in states]
    if wanted:
        chosen.append(_gaps.state.in_(wanted))
    order = (_gaps.due.is_(None), _gaps.due, _gaps.id)
    return [tables.gap(row) for row in tx.all(sa.select(*tables.GAP).where(*chosen).order_by(*order))]


def gap(tx: Tx, gap_id: GapId, seen: Visibility = EVERYWHERE) -> Gap:
    """Return one row of a gap plan; `NotFoundError` (`gap.not_found`)."""
    row = None
    if well_formed(gap_id):
        here = (_gaps.id == gap_id, access_queries.within(_gaps.scope, seen))
        row = tx.first(sa.select(*tables.GAP).where(*here))
    if row is None:
        raise NotFoundError("gap.not_found", "There is no such step, or not for you.", "List the plan.")
    return tables.gap(row)


def _answer(question: str, each: Outcome, now: datetime) -> said.Answer:
    newest = each.decision.at if each.decision else max((word.at for word in each.words), default=now)
    claim = claims.judge(each.said, None, max(now - newest, timedelta()))
    return said.Answer(
        question=question,
        standing=each.standing.value,
        said=each.said.value if each.said else None,
        reason=each.reason,
        measured=None,
        claim=claim.kind.value,
        claim_reason=claim.reason,
    )


def _ended(each: Assessment) -> tuple[datetime, str]:
    return each.ended_at or each.opened_at, each.id
