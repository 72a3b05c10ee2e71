# SPDX-License-Identifier: Apache-2.0
"""The guide to the scorecard, apart from any assessment: what a low section means, and what closes its gaps."""

from litestar import get

from checkvalve.server.access.model import Permission
from checkvalve.server.scorecard.standard import Section, Standard
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View

PAGE = Page("readiness_guide.html", "compliance", "guide.title")


@get(["/compliance/guide", "/compliance/guide.json"], opt={"permission": Permission.SCORECARD_READ})
async def shown(request: Asked, call: Called) -> Answer:
    """Answer with the whole guide."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    view.seen(Permission.SCORECARD_READ)
    standard = view.call.plane.standard
    return {
        "reading": list(standard.guide.reading),
        "sections": [_section(standard, section) for section in standard.sections],
    }


def _section(standard: Standard, section: Section) -> Data:
    said = standard.guide.sections[section.id]
    return {
        "id": section.id,
        "title": section.title,
        "low": said.low,
        "signs": [
            {"title": texts.say("guide.at_risk"), "points": list(said.at_risk)},
            {"title": texts.say("guide.developing"), "points": list(said.developing)},
            {"title": texts.say("score.good"), "points": list(said.good)},
        ],
        "steps": [
            {
                "text": step.text,
                "href": step.place,
                "until": step.until,
                "about": f"{texts.say('score.closes', ids=', '.join(step.closes))}; "
                + texts.say("score.guide", guide=step.guide),
            }
            for step in said.steps
        ],
        "questions": [f"{one.id}. {one.text}" for one in section.questions],
    }


handlers = [shown]
