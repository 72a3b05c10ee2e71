# SPDX-License-Identifier: Apache-2.0
"""Assessments in a plant, as people would have made them."""

from typing import Any

from checkvalve.ids import AssessmentId, EntryId, EvidenceId, GapId, PersonId, ReplyId
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.scorecard import actions
from checkvalve.server.scorecard.model import Assessment, Evidence, Gap, Reply, Said, Work
from checkvalve.server.scorecard.shipped import shipped
from tests.server.web.plant import Plant

LINK: dict[str, Any] = {
    "question": "AI1",
    "name": "firewall.pdf",
    "link": "https://files.example/firewall.pdf",
    "digest": "sha256:" + "ab" * 32,
    "owner": "Rut",
}


def by(plant: Plant, role: str = "operator") -> PersonId:
    """Return the person of a role in the northern organisation."""
    return plant.users["north", role].person.id


def act(plant: Plant, person: PersonId) -> Act:
    """Return an act of a person, now."""
    return Act(EntryId(plant.new_id()), plant.time, Actor("person", person, person))


def opened(plant: Plant, scope: str) -> Assessment:
    """Begin an assessment."""
    person = by(plant)
    ident = AssessmentId(plant.new_id())
    return plant.db.write_now("open", actions.open, act(plant, person), ident, person, scope, "", shipped())


def say(plant: Plant, assessment: str, role: str, said: str, question: str = "PM1") -> Reply:
    """Let the person of a role answer."""
    person = by(plant, role)
    wanted = Reply(ReplyId(plant.new_id()), AssessmentId(assessment), question, person, Said(said), "", "", plant.time)
    return plant.db.write_now("reply", actions.reply, act(plant, person), wanted)


def say_all(plant: Plant, assessment: str, said: str = "3") -> None:
    """Answer every question."""
    for question in shipped().questions:
        say(plant, assessment, "operator", said, question.id)


def closed(plant: Plant, scope: str, said: str = "3") -> Assessment:
    """Answer every question of an assessment, and close it."""
    there, person = opened(plant, scope), by(plant)
    say_all(plant, there.id, said)
    plant.db.write_now("close", actions.close, act(plant, person), there.id, person, {}, 0)
    return there


def filed(plant: Plant, assessment: str, data: bytes = b"%PDF-1.7 ports", name: str = "ports.pdf") -> Evidence:
    """Add a file that the plane keeps."""
    kept, person = plant.plane.blobs.put(data), by(plant)
    dates: dict[str, Any] = {"period_from": None, "period_to": None, "expires": None}
    wanted = Evidence(
        EvidenceId(plant.new_id()),
        AssessmentId(assessment),
        question="PM1",
        name=name,
        link="",
        digest=kept.digest,
        size=kept.size,
        owner="Rut",
        note="",
        added_by=person,
        added_at=plant.time,
        **dates,
    )
    return plant.db.write_now("add", actions.add_evidence, act(plant, person), wanted)


def backed(plant: Plant, assessment: str) -> Evidence:
    """Add evidence that is kept elsewhere."""
    person = by(plant)
    dates: dict[str, Any] = {"period_from": None, "period_to": None, "expires": None}
    wanted = Evidence(
        EvidenceId(plant.new_id()),
        AssessmentId(assessment),
        size=0,
        note="",
        added_by=person,
        added_at=plant.time,
        **LINK,
        **dates,
    )
    return plant.db.write_now("add", actions.add_evidence, act(plant, person), wanted)


def planned(plant: Plant, scope: str) -> Gap:
    """Put a step of one's own into a plan."""
    person = by(plant)
    text = f"Ask the insurer, {plant.numbers()}."
    wanted = Gap(
        GapId(plant.new_id()), scope, "RE", "", text, "", None, Work.OPEN, "", person, plant.time, person, plant.time
    )
    return plant.db.write_now("plan", actions.plan, act(plant, person), wanted, shipped())
