# SPDX-License-Identifier: Apache-2.0
"""What backs the answers of assessments: `/api/v1/evidence`."""

from collections.abc import Sequence

from litestar import Router, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import EvidenceId, PersonId
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import actions, queries
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called, Place, named


@post(
    "/{evidence_id:str}/remove",
    opt={"permission": Permission.SCORECARD_ANSWER},
    status_code=200,
    summary="Say that evidence backs its answer no longer",
)
async def remove(call: Called, evidence_id: FromPath[str], data: JSONBody[forms.Why]) -> forms.Evidence:
    """Remove evidence from an open assessment, with a reason; what it was stays in the history."""

    def do(tx: Tx, act: Act) -> forms.Evidence:
        person = PersonId(call.caller.person.id)
        after = actions.remove_evidence(tx, act, EvidenceId(evidence_id), person, data.why)
        return answers.evidence(after, act.at.date())

    return await call.act("evidence.remove", named("evidence", evidence_id), Place(place, evidence_id), do)


def place(tx: Tx, evidence_id: str) -> Sequence[str]:
    """Return where the right to evidence is judged; `NotFoundError`."""
    return (queries.evidence_one(tx, EvidenceId(evidence_id))[1].scope,)


router = Router("/evidence", route_handlers=[remove], tags=["scorecard"])
