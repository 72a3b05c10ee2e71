# SPDX-License-Identifier: Apache-2.0
"""Putting steps into a place's gap plan, and following them."""

from dataclasses import replace

from checkvalve.canonical import Json
from checkvalve.errors import InvalidError
from checkvalve.ids import GapId, PersonId
from checkvalve.protocol.scorecard import GapChange
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Visibility
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import decide, queries, writes
from checkvalve.server.scorecard.model import Gap, Work
from checkvalve.server.scorecard.standard import Standard


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
    there = next((each for each in _open_at(tx, kept.scope) if kept.step and each.step == kept.step), None)
    if there is None:
        writes.plan(tx, kept)
    facts = _facts(kept) | {"again": there is not None}
    audit_writes.record(tx, act, "gap.plan", f"gap:{(there or kept).id}", kept.scope, facts)
    return there or kept


def change(tx: Tx, act: Act, gap_id: GapId, person: PersonId, wanted: GapChange) -> Gap:
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
        state=_state(wanted.state),
        note=wanted.note,
        by=person,
        at=act.at,
    )
    writes.change(tx, after)
    facts: dict[str, Json] = {"after": _facts(after), "before": _facts(before)}
    audit_writes.record(tx, act, "gap.change", f"gap:{gap_id}", before.scope, facts)
    return after


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


def _open_at(tx: Tx, scope: str) -> list[Gap]:
    states = [each for each in Work if each not in decide.ENDED]
    return [each for each in queries.gaps(tx, Visibility((scope,)), scope=scope, states=states) if each.scope == scope]


def _state(text: str | None) -> Work | None:
    try:
        return None if text is None else Work(text)
    except ValueError:
        raise InvalidError("gap.state", "A step is open, doing, done or dropped.", "Name one of the four.") from None


def _facts(gap: Gap) -> dict[str, Json]:
    return {
        "due": gap.due.isoformat() if gap.due else "",
        "note": gap.note,
        "owner": gap.owner,
        "state": gap.state.value,
        "step": gap.step,
        "text": gap.text,
    }
