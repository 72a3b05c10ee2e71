# SPDX-License-Identifier: Apache-2.0
"""Opening, answering, settling and ending assessments, what backs the answers, and the plan that follows.

The caller has judged the right at the assessment's place. What was said and settled is added, never changed: whoever
changes their mind says something new.
"""

from collections.abc import Mapping
from dataclasses import replace

from checkvalve.canonical import Json
from checkvalve.crypto import digests
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import AssessmentId, EvidenceId, GapId, PersonId
from checkvalve.protocol.scorecard import GapChange, Kept
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Visibility
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import decide, keeping, proof, queries, score, writes
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Gap, Reply, State, Work
from checkvalve.server.scorecard.standard import Standard


def open(  # noqa: A001 - the word of the house; each argument is one thing that is opened
    tx: Tx, act: Act, new_id: AssessmentId, person: PersonId, scope: str, title: str, standard: Standard
) -> Assessment:
    """Begin an assessment of an organisation, a site or an area, read by `standard`, whose bytes are kept.

    Raises `NotFoundError` (`scope.not_found`), `InvalidError` (`assessment.scope`, `assessment.title`),
    `ConflictError` (`assessment.open`).
    """
    node = access_queries.at(tx, scope)
    if node is None:
        raise InvalidError(
            "assessment.scope",
            "The plane itself is not assessed: organisations, sites and areas are.",
            "Name an organisation, a site or an area.",
        )
    if queries.open_at(tx, scope) is not None:
        raise ConflictError(
            "assessment.open",
            "An assessment of this place is open already.",
            "Answer that one; everybody with the right may.",
        )
    known = standard.digests
    opened = Assessment(
        id=new_id,
        scope=scope,
        title=decide.title(title, f"{node.name}, {act.at:%Y-%m-%d}"),
        state=State.OPEN,
        questions=known["questions"],
        scheme=known["scheme"],
        guide=known["guide"],
        opened_by=person,
        opened_at=act.at,
    )
    writes.keep(tx, standard, act.at)
    writes.open_(tx, opened)
    audit_writes.record(tx, act, "assessment.open", f"assessment:{new_id}", scope, {"title": opened.title, **known})
    return opened


def reply(tx: Tx, act: Act, wanted: Reply) -> Reply:
    """Take what one person says to one question; the same again is kept once. Return it as it is kept.

    Raises `NotFoundError` (`assessment.not_found`, `scorecard.question`), `ConflictError` (`assessment.ended`),
    `InvalidError` (`reply.reason`, `reply.comment`).
    """
    found = _open(tx, wanted.assessment)
    queries.standard_of(tx, found).question(wanted.question)
    reason, comment = decide.reason(wanted.said, wanted.reason), decide.comment(wanted.comment)
    kept = replace(wanted, reason=reason, comment=comment, at=act.at)
    theirs = [each for each in queries.replies(tx, found.id) if each.person == kept.person]
    before = next((each for each in reversed(theirs) if each.question == kept.question), None)
    again = before is not None and replace(before, id=kept.id, at=kept.at) == kept
    if not again:
        writes.reply(tx, kept)
    facts: dict[str, Json] = {
        "again": again,
        "before": _word(before),
        "question": kept.question,
        "said": _word(kept),
    }
    audit_writes.record(tx, act, "assessment.reply", f"assessment:{found.id}", found.scope, facts)
    return before if again and before is not None else kept


def settle(tx: Tx, act: Act, wanted: Decision) -> Decision:
    """Settle what counts where people differ; it counts until somebody says something else again.

    Raises `NotFoundError` (`assessment.not_found`, `scorecard.question`), `ConflictError` (`assessment.ended`,
    `decision.needless`), `InvalidError` (`reply.reason`, `reply.comment`).
    """
    found = _open(tx, wanted.assessment)
    result = queries.result(tx, found)
    result.standard.question(wanted.question)
    outcome = result.outcome[wanted.question]
    decide.needed(outcome)
    reason, comment = decide.reason(wanted.said, wanted.reason), decide.comment(wanted.comment)
    kept = replace(wanted, reason=reason, comment=comment, at=act.at)
    writes.decision(tx, kept)
    facts: dict[str, Json] = {
        "question": kept.question,
        "said": kept.said.value,
        "words": {word.person: _word(word) for word in outcome.words},
    }
    audit_writes.record(tx, act, "assessment.settle", f"assessment:{found.id}", found.scope, facts)
    return kept


def close(
    tx: Tx, act: Act, assessment_id: AssessmentId, person: PersonId, estate: Mapping[str, int], managed: int
) -> Assessment:
    """Close an assessment and keep its result for good. `estate` are the declared totals, `managed` our devices there.

    Raises `NotFoundError` (`assessment.not_found`), `ConflictError` (`assessment.ended`, `assessment.unfinished`).
    """
    before = _open(tx, assessment_id)
    result = queries.result(tx, before)
    decide.finished(result.outcome, result.declared)
    kept = Kept(
        declared=keeping.shown(result.standard, result.declared),
        defensible=keeping.shown(result.standard, result.defensible),
        answers=queries.answers(result, act.at),
        sites=queries.sites_within(tx, before.scope),
        estate=dict(estate),
        managed=managed,
    )
    content = keeping.dump(kept)
    after = replace(before, state=State.CLOSED, ended_by=person, ended_at=act.at, result=content)
    writes.end(tx, after)
    facts: dict[str, Json] = {
        "internal_audit": result.declared.internal_audit,
        "lowest": list(result.declared.lowest),
        "not_sure": result.declared.not_sure,
        "result": f"sha256:{digests.sha256_hex(content)}",
        "total": score.shown(result.declared.total),
    }
    audit_writes.record(tx, act, "assessment.close", f"assessment:{before.id}", before.scope, facts)
    return after


def drop(tx: Tx, act: Act, assessment_id: AssessmentId, person: PersonId, why: str) -> Assessment:
    """Give an assessment up; what was said in it stays readable, and counts nowhere.

    Raises `NotFoundError` (`assessment.not_found`), `ConflictError` (`assessment.ended`), `InvalidError`
    (`assessment.why`).
    """
    before = _open(tx, assessment_id)
    after = replace(before, state=State.DROPPED, ended_by=person, ended_at=act.at, why=decide.why(why))
    writes.end(tx, after)
    audit_writes.record(tx, act, "assessment.drop", f"assessment:{before.id}", before.scope, {"why": after.why})
    return after


def add_evidence(tx: Tx, act: Act, wanted: Evidence) -> Evidence:
    """Add what backs an answer; of a file, whose bytes the caller has kept and whose digest it has computed.

    Raises `NotFoundError` (`assessment.not_found`, `scorecard.question`), `ConflictError` (`assessment.ended`,
    `evidence.many`), `InvalidError` (`evidence.name`, `evidence.link`, `evidence.digest`, `evidence.dates`,
    `evidence.size`).
    """
    found, possible = queries.addable(tx, wanted)
    kept = replace(possible, added_at=act.at)
    writes.evidence_(tx, kept)
    audit_writes.record(tx, act, "evidence.add", f"evidence:{kept.id}", found.scope, _facts(kept))
    return kept


def remove_evidence(tx: Tx, act: Act, evidence_id: EvidenceId, person: PersonId, why: str) -> Evidence:
    """Say that evidence does not back its answer any more; what it was stays in the history.

    Raises `NotFoundError` (`evidence.not_found`), `ConflictError` (`assessment.ended`, `evidence.removed`),
    `InvalidError` (`evidence.name`).
    """
    before, found = queries.evidence_one(tx, evidence_id)
    decide.still_open(found)
    reason = proof.removing(before, why)
    after = replace(before, removed_by=person, removed_at=act.at, removed_why=reason)
    writes.removed(tx, after)
    facts = _facts(before) | {"why": reason}
    audit_writes.record(tx, act, "evidence.remove", f"evidence:{evidence_id}", found.scope, facts)
    return after


def plan(tx: Tx, act: Act, wanted: Gap, standard: Standard) -> Gap:
    """Put a step of the guide (`step`) or one's own (`section` and `text`) into a plan; return it as it is kept.

    A step of the guide that is in the plan of the place and has not ended is returned as it stands. Raises
    `NotFoundError` (`scope.not_found`), `InvalidError` (`assessment.scope`, `gap.step`, `gap.text`, `gap.owner`).
    """
    if access_queries.at(tx, wanted.scope) is None:
        raise InvalidError(
            "assessment.scope",
            "The plane itself has no gap plan: organisations, sites and areas do.",
            "Name an organisation, a site or an area.",
        )
    kept = _wanted(wanted, standard, act)
    there = next((each for each in _unended(tx, kept.scope) if kept.step and each.step == kept.step), None)
    if there is None:
        writes.plan(tx, kept)
    facts = _row_facts(kept) | {"again": there is not None}
    audit_writes.record(tx, act, "gap.plan", f"gap:{(there or kept).id}", kept.scope, facts)
    return there or kept


def change_gap(tx: Tx, act: Act, gap_id: GapId, person: PersonId, wanted: GapChange) -> Gap:
    """Change owner, due date, state or note of a row; the record holds what it was.

    Raises `NotFoundError` (`gap.not_found`), `InvalidError` (`gap.owner`, `gap.note`, `gap.state`), `ConflictError`
    (`gap.ended`).
    """
    before = queries.gap(tx, gap_id)
    after = decide.changed(
        before,
        owner_is=wanted.owner,
        due=wanted.due,
        no_due=wanted.no_due,
        state=decide.work(wanted.state),
        note=wanted.note,
        by=person,
        at=act.at,
    )
    writes.change(tx, after)
    facts: dict[str, Json] = {"after": _row_facts(after), "before": _row_facts(before)}
    audit_writes.record(tx, act, "gap.change", f"gap:{gap_id}", before.scope, facts)
    return after


def _open(tx: Tx, assessment_id: AssessmentId) -> Assessment:
    found = queries.assessment(tx, assessment_id)
    decide.still_open(found)
    return found


def _word(reply: Reply | None) -> str:
    """Return what somebody said, "" where they said nothing or took it back."""
    return reply.said.value if reply is not None and reply.said is not None else ""


def _facts(evidence: Evidence) -> dict[str, Json]:
    return {
        "assessment": evidence.assessment,
        "digest": evidence.digest,
        "link": evidence.link,
        "name": evidence.name,
        "question": evidence.question,
        "size": evidence.size,
    }


def _wanted(wanted: Gap, standard: Standard, act: Act) -> Gap:
    section, text = wanted.section, wanted.text
    if wanted.step:
        section, step = decide.step(standard, wanted.step)
        text = step.text
    return replace(
        wanted,
        section=decide.section(standard, section),
        text=decide.text(text),
        owner=decide.owner(wanted.owner),
        made_at=act.at,
        changed_at=act.at,
    )


def _unended(tx: Tx, scope: str) -> list[Gap]:
    states = [each for each in Work if each not in decide.ENDED]
    return [each for each in queries.gaps(tx, Visibility((scope,)), scope=scope, states=states) if each.scope == scope]


def _row_facts(gap: Gap) -> dict[str, Json]:
    return {
        "due": gap.due.isoformat() if gap.due else "",
        "note": gap.note,
        "owner": gap.owner,
        "state": gap.state.value,
        "step": gap.step,
        "text": gap.text,
    }
