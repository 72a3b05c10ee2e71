# SPDX-License-Identifier: Apache-2.0
"""Two assessments beside each other: what became better, what worse, and what is not quite alike?"""

from litestar import get

from checkvalve.ids import AssessmentId
from checkvalve.protocol import scorecard as said
from checkvalve.server.access.model import Permission, Visibility
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Assessment, State
from checkvalve.server.web import texts
from checkvalve.server.web.api import comparison
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import assess_view, frame, score_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("compare.html", "compliance", "compare.title")
OFFERED = 200


@get(["/compliance/compare", "/compliance/compare.json"], opt={"permission": Permission.SCORECARD_READ})
async def shown(request: Asked, call: Called) -> Answer:
    """Answer with the two that `?before=` and `?after=` name; else with the newest one and the one before it."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    seen = view.seen(Permission.SCORECARD_READ)
    closed = queries.assessments(view.tx, seen, limit=OFFERED, states=(State.CLOSED,))
    after, before = _two(view, seen, closed)
    data: Data = {
        "choices": [{"value": one.id, "label": _label(one)} for one in answers.listed(view.tx, closed)],
        "before": before.id if before else "",
        "after": after.id if after else "",
    }
    if before is None or after is None:
        nothing: Data = {"sections": [], "questions": [], "notes": [], "same": "", "rescored": "", "compared": False}
        said_ = {"sentence": texts.say("compare.none"), "detail": texts.say("compare.none_why")}
        return {**data, **said_, **nothing}
    return {**data, "compared": True, **_found(comparison.beside(view.tx, before, after))}


def _two(view: View, seen: Visibility, closed: list[Assessment]) -> tuple[Assessment | None, Assessment | None]:
    """Return the later and the earlier one; `NotFoundError` for one that is named and not there."""
    named = {key: view.query.get(key, "") for key in ("after", "before")}
    chosen = {key: queries.assessment(view.tx, AssessmentId(known(i)), seen) for key, i in named.items() if i}
    for after in [chosen["after"]] if "after" in chosen else closed:
        earlier = [one for one in closed if one.scope == after.scope and _ended(one) < _ended(after)]
        before = chosen.get("before") or max(earlier, key=_ended, default=None)
        if before is not None:
            return after, before
    return chosen.get("after"), chosen.get("before")


def _found(found: said.Comparison) -> Data:
    left, right, again = found.before, found.after, found.rescored
    changed = [one for one in found.questions if one.before != one.after or one.reworded]
    return {
        "sentence": texts.say("compare.sentence", where=right.where, before=_total(left), after=_total(right)),
        "detail": texts.say("compare.detail", left=_label(left), right=_label(right)),
        "sections": [_line(one, one.before or "-", one.after or "-") for one in found.sections],
        "questions": [_line(one, assess_view.word(one.before), assess_view.word(one.after)) for one in changed],
        "same": texts.say("compare.same", n=str(len(found.questions) - len(changed))),
        "notes": found.notes,
        "rescored": texts.say("compare.rescored", total=score_view.score(again.total), most=str(again.most))
        if again
        else "",
    }


def _line(one: said.Line, before: str, after: str) -> Data:
    change = one.change
    if change is None:
        alike = one.before == one.after
        shape, word = "unknown", texts.say("compare.alike" if alike else "compare.other")
    elif change:
        shape = "ok" if change > 0 else "bad"
        word = texts.say("compare.better" if change > 0 else "compare.worse", by=score_view.score(abs(change)))
    else:
        shape, word = "unknown", texts.say("compare.alike")
    note = texts.say("compare.reworded") if one.reworded else ""
    return {
        "id": one.id,
        "title": one.title,
        "before": before,
        "after": after,
        "shape": shape,
        "word": word,
        "note": note,
    }


def _total(one: said.Assessment) -> str:
    return score_view.score(one.declared.total if one.declared else None)


def _label(one: said.Assessment) -> str:
    name, ended = score_view.called(one), (one.ended_at or one.opened_at)[:10]
    return name if ended in name else texts.say("compare.label", title=name, ended=ended)


def _ended(one: Assessment) -> tuple[object, str]:
    return one.ended_at or one.opened_at, one.id


handlers = [shown]
