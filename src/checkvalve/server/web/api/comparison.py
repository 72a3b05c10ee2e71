# SPDX-License-Identifier: Apache-2.0
"""Two assessments beside each other: `/api/v1/assessments/{id}/comparison`."""

from dataclasses import replace
from fractions import Fraction
from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from checkvalve.ids import AssessmentId
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission, Visibility
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import compare, keeping, queries, score
from checkvalve.server.scorecard.model import Assessment, Said
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called

Other = Annotated[
    str,
    QueryParameter(
        name="before",
        max_length=40,
        pattern=api.TEXT,
        description="The earlier one; else the one of the same place that was closed before it.",
    ),
]


@get("/{assessment_id:str}/comparison", opt={"permission": Permission.SCORECARD_READ}, summary="What changed since")
async def compared(call: Called, assessment_id: FromPath[str], before: Other = "") -> forms.Comparison:
    """Compare an assessment with an earlier one, and say what is not alike: scheme, questions, sites."""

    def look(tx: Tx, seen: Visibility) -> forms.Comparison:
        after = queries.assessment(tx, AssessmentId(assessment_id), seen)
        other = queries.assessment(tx, AssessmentId(before), seen) if before else queries.earlier(tx, after)
        return beside(tx, other, after)

    return await call.ask("assessment.compare", look)


def beside(tx: Tx, before: Assessment, after: Assessment) -> forms.Comparison:
    """Return two assessments beside each other; both may be seen."""
    one, two = queries.sheet(tx, before), queries.sheet(tx, after)
    found = compare.compare(one, two)
    left, right = answers.listed(tx, [before, after])
    later = replace(one.standard, scheme=two.standard.scheme)
    return forms.Comparison(
        before=left,
        after=right,
        sections=[_section(each) for each in found.sections],
        questions=[_question(each) for each in found.questions],
        rescored=keeping.shown(later, found.rescored) if found.rescored else None,
        notes=list(found.notes),
    )


def _section(each: compare.Moved) -> forms.Line:
    return forms.Line(
        id=each.id,
        title=each.title,
        before=_shown(each.before),
        after=_shown(each.after),
        change=None if each.change is None else round(float(each.change), 1),
    )


def _question(each: compare.Answered) -> forms.Line:
    return forms.Line(
        id=each.id,
        title=each.text,
        before=each.before.value if each.before else None,
        after=each.after.value if each.after else None,
        change=_points(each.before, each.after),
        reworded=each.reworded,
    )


def _points(before: Said | None, after: Said | None) -> float | None:
    had, has = before.points if before else None, after.points if after else None
    return None if had is None or has is None else float(has - had)


def _shown(value: Fraction | None) -> str | None:
    return None if value is None else score.shown(value)
