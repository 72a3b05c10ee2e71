# SPDX-License-Identifier: Apache-2.0
"""The small organisation whose people assess it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from checkvalve.crypto import digests
from checkvalve.ids import AssessmentId, DecisionId, EvidenceId, GapId, PersonId, ReplyId
from checkvalve.protocol.scorecard import GapChange
from checkvalve.server.scorecard import actions, queries
from checkvalve.server.scorecard.model import Assessment, Decision, Evidence, Gap, Reply, Said, Work
from checkvalve.server.scorecard.queries import Result
from checkvalve.server.scorecard.shipped import shipped
from checkvalve.server.scorecard.standard import Standard
from tests.server.rollouts import world
from tests.server.scorecard.papers import answers

ANNA, RUT, MAJA = PersonId("1" * 26), PersonId("2" * 26), PersonId("3" * 26)
DIGEST = f"sha256:{digests.sha256_hex(b'scan of the firewall')}"


@dataclass
class World(world.World):
    """What people do with assessments; each function is a transaction of its own, a minute after the one before."""

    def later(self, **more: float) -> None:
        """Let time pass."""
        self.now += timedelta(**(more or {"minutes": 1}))

    def open(self, scope: str = "", standard: Standard | None = None, title: str = "") -> Assessment:
        """Begin an assessment, of the organisation if no place is named."""
        ident = AssessmentId(self.new_id())
        return self.database.write_now(
            "open", actions.open, self.act(ANNA), ident, ANNA, scope or self.org, title, standard or shipped()
        )

    def say(
        self,
        there: Assessment,
        said: Said | None,
        question: str = "PM1",
        person: PersonId = ANNA,
        **more: str,
    ) -> Reply:
        """Answer a question."""
        self.later()
        reason = more.get("reason", "It is so." if said is Said.NOT_APPLICABLE else "")
        wanted = Reply(
            ReplyId(self.new_id()), there.id, question, person, said, reason, more.get("comment", ""), self.now
        )
        return self.database.write_now("reply", actions.reply, self.act(person), wanted)

    def say_all(self, there: Assessment, person: PersonId = ANNA, **sections: str) -> None:
        """Answer all questions, as `papers.answers`."""
        for question, said in answers(**sections).items():
            if said is not None:
                self.say(there, said, question, person)

    def settle(self, there: Assessment, said: Said, question: str = "PM1", person: PersonId = MAJA) -> Decision:
        """Settle a question."""
        self.later()
        wanted = Decision(DecisionId(self.new_id()), there.id, question, said, "", "", person, self.now)
        return self.database.write_now("settle", actions.settle, self.act(person), wanted)

    def close(self, there: Assessment, estate: dict[str, int] | None = None) -> Assessment:
        """Close an assessment."""
        self.later()
        return self.database.write_now(
            "close", actions.close, self.act(ANNA), there.id, ANNA, estate or {"device": 640}, 18
        )

    def drop(self, there: Assessment, why: str = "It was the wrong site.") -> Assessment:
        """Give an assessment up."""
        return self.database.write_now("drop", actions.drop, self.act(ANNA), there.id, ANNA, why)

    def back(self, there: Assessment, question: str = "AI1", **changes: Any) -> Evidence:  # noqa: ANN401 - fields
        """Add a file of evidence, or what `changes` make of it."""
        fields: dict[str, Any] = {
            "name": "firewall.pdf",
            "link": "",
            "digest": DIGEST,
            "size": 20_000,
            "owner": "Rut",
            "note": "",
        }
        dates = {"period_from": None, "period_to": None, "expires": None}
        more = fields | dates | changes
        wanted = Evidence(
            id=EvidenceId(self.new_id()),
            assessment=there.id,
            question=question,
            added_by=ANNA,
            added_at=self.now,
            **more,
        )
        return self.database.write_now("add", actions.add_evidence, self.act(ANNA), wanted)

    def take_away(self, evidence: Evidence, why: str = "It is of another site.") -> Evidence:
        """Remove evidence."""
        return self.database.write_now("remove", actions.remove_evidence, self.act(ANNA), evidence.id, ANNA, why)

    def plan(self, step: str = "pm-1", scope: str = "", **changes: Any) -> Gap:  # noqa: ANN401 - fields of Gap
        """Put a step into a plan."""
        fields = {"section": "", "text": "", "owner": "", "due": None} | changes
        wanted = Gap(
            id=GapId(self.new_id()),
            scope=scope or self.org,
            step=step,
            state=Work.OPEN,
            note="",
            made_by=ANNA,
            made_at=self.now,
            changed_by=ANNA,
            changed_at=self.now,
            **fields,
        )
        return self.database.write_now("plan", actions.plan, self.act(ANNA), wanted, shipped())

    def follow(self, gap: Gap, **changes: Any) -> Gap:  # noqa: ANN401 - fields of GapChange
        """Change a row of a plan."""
        return self.database.write_now("change", actions.change_gap, self.act(RUT), gap.id, RUT, GapChange(**changes))

    def of(self, there: Assessment) -> Assessment:
        """Read an assessment."""
        return self.database.read_now("assessment", queries.assessment, there.id)

    def result(self, there: Assessment) -> Result:
        """Read what an assessment comes to."""
        return self.database.read_now("result", queries.result, self.of(there))
