# SPDX-License-Identifier: Apache-2.0
"""Rows as values, and back."""

from collections.abc import Mapping
from typing import Any

from checkvalve.server.db import schema
from checkvalve.server.db.database import Row
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Gap, Reply, Said, State, Work

Value = Assessment | Reply | Decision | Evidence | Gap

ASSESSMENT = tuple(getattr(schema.assessments.c, name) for name in Assessment.__slots__)
REPLY = tuple(getattr(schema.replies.c, name) for name in Reply.__slots__)
DECISION = tuple(getattr(schema.decisions.c, name) for name in Decision.__slots__)
EVIDENCE = tuple(getattr(schema.evidence.c, name) for name in Evidence.__slots__)
GAP = tuple(getattr(schema.gaps.c, name) for name in Gap.__slots__)


def assessment(row: Row) -> Assessment:
    """Return the assessment of a row of `ASSESSMENT`."""
    return Assessment(**_values(row, state=State(row.state)))


def reply(row: Row) -> Reply:
    """Return the reply of a row of `REPLY`; "" there is None here: taken back."""
    return Reply(**_values(row, said=Said(row.said) if row.said else None))


def decision(row: Row) -> Decision:
    """Return the decision of a row of `DECISION`."""
    return Decision(**_values(row, said=Said(row.said)))


def evidence(row: Row) -> Evidence:
    """Return the evidence of a row of `EVIDENCE`."""
    return Evidence(**_values(row))


def gap(row: Row) -> Gap:
    """Return the gap of a row of `GAP`."""
    return Gap(**_values(row, state=Work(row.state)))


def row(value: Value) -> dict[str, object]:
    """Return the row of a value."""
    values = {name: getattr(value, name) for name in value.__slots__}
    if isinstance(value, Assessment | Gap):
        values["state"] = value.state.value
    if isinstance(value, Reply | Decision):
        values["said"] = value.said.value if value.said else ""
    return values


def _values(row: Row, **changes: object) -> Mapping[str, Any]:
    return {**row._mapping, **changes}  # noqa: SLF001 - SQLAlchemy's name for what a row says, by column
