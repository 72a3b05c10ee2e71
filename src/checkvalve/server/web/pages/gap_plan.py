# SPDX-License-Identifier: Apache-2.0
"""The gap plan: what closes the gaps, by whom and until when? Planning a step, and changing one.

`?text=`, `?state=` and `?section=` narrow, `?sort=` orders; what is overdue stands first.
"""

from collections.abc import Mapping
from datetime import date

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.scorecard import queries
from checkvalve.server.scorecard.model import Work
from checkvalve.server.scorecard.standard import Standard
from checkvalve.server.web import texts
from checkvalve.server.web.api import gaps
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.calls import Call, Called
from checkvalve.server.web.pages import frame, render, score_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("gap_plan.html", "compliance", "gaps.title")
ORDERS = ("due", "owner", "where")
GOING = "going"
_ANSWER = {"permission": Permission.SCORECARD_ANSWER}
_ENDED = (Work.DONE.value, Work.DROPPED.value)


@get(["/compliance/plan", "/compliance/plan.json"], opt={"permission": Permission.SCORECARD_READ})
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with the plan of the place looked at, and of all below it."""
    return await _show(request, call)


@post("/compliance/plan", opt=_ANSWER)
async def add(request: Asked, call: Called) -> Answer | Redirect:
    """Put a step into the plan; `back` names the section of the scorecard that it was pressed on."""
    form = await frame.fields(request)

    async def do(said: Mapping[str, str]) -> None:
        step = said.get("step", "")
        wanted = forms.NewGap(
            scope=said.get("place", ""),
            step=step,
            section="" if step else said.get("section", ""),
            text="" if step else said.get("text", ""),
            owner=said.get("owner", ""),
            due=_date(said.get("due", "")),
        )
        await gaps.planned(call, wanted)

    section = form.get("back", "")
    then = f"{_at(request, '/compliance')}#low-{section}" if section.isalnum() else _at(request, "/compliance/plan")
    return await frame.change(request, do, lambda retry: _show(request, call, retry, "add"), then)


@post("/compliance/plan/{gap_id:str}", opt=_ANSWER)
async def change(request: Asked, call: Called, gap_id: FromPath[str]) -> Answer | Redirect:
    """Change a step of the plan."""
    wanted = known(gap_id)

    async def do(said: Mapping[str, str]) -> None:
        due = _date(said.get("due", ""))
        body = forms.GapChange(
            owner=said.get("owner", ""),
            due=due,
            no_due=due is None,
            state=said.get("state", ""),
            note=said.get("note", ""),
        )
        await gaps.changed(call, wanted, body)

    return await frame.change(
        request, do, lambda retry: _show(request, call, retry, f"change-{wanted}"), _at(request, "/compliance/plan")
    )


def look(view: View) -> Data:
    """Return the page's data."""
    found = answers.gaps(view.tx, queries.gaps(view.tx, view.seen(Permission.SCORECARD_READ)), view.now.date())
    asked = {key: view.query.get(key, "") for key in ("text", "state", "section", "sort")}
    order = asked["sort"] if asked["sort"] in ORDERS else ORDERS[0]
    rows = sorted((one for one in found if _wanted(one, asked)), key=lambda one: (not one.overdue, *_rank(one, order)))
    standard, places = view.call.plane.standard, view.places(Permission.SCORECARD_ANSWER)
    return {
        **_head(found),
        "any": bool(found),
        "narrowed": any(asked[key] for key in ("text", "state", "section")),
        "query": asked | {"sort": order},
        "states": _choices(("", GOING, *Work), lambda one: texts.say(_STATES.get(one) or f"score.work.{one}")),
        "sections": [{"value": "", "label": texts.say("gaps.any")}, *_sections(standard)],
        "orders": _choices(ORDERS, lambda one: texts.say(f"gaps.sort_{one}")),
        "items": [_row(view, one) for one in rows],
        "works": _choices(tuple(Work), lambda one: texts.say(f"score.work.{one}")),
        "export_href": view.link("/api/v1/gaps/export"),
        "places": [{"value": one.path, "label": view.where(one.path)} for one in places],
        "steps": _steps(standard),
        "own": _sections(standard),
    }


_STATES = {"": "gaps.any", GOING: "gaps.going"}


def _head(found: list[forms.Gap]) -> Data:
    going = [one for one in found if one.state not in _ENDED]
    late = sum(one.overdue for one in going)
    if not found:
        return {"sentence": texts.say("gaps.none"), "detail": texts.say("gaps.none_why")}
    if late:
        which = "gaps.sentence_late.one" if late == 1 else "gaps.sentence_late.many"
        return {"sentence": texts.say(which, n=str(late), open=str(len(going))), "detail": texts.say("gaps.detail")}
    sentence = texts.count("gaps.sentence", len(going)) if going else texts.say("gaps.sentence_done")
    return {"sentence": sentence, "detail": texts.say("gaps.detail")}


def _wanted(one: forms.Gap, asked: Mapping[str, str]) -> bool:
    text = lines.folded(asked["text"].strip())
    if asked["section"] and one.section != asked["section"]:
        return False
    if asked["state"] == GOING and one.state in _ENDED:
        return False
    if asked["state"] not in ("", GOING) and one.state != asked["state"]:
        return False
    return not text or any(text in lines.folded(each) for each in (one.text, one.owner, one.where, one.note))


def _rank(one: forms.Gap, order: str) -> tuple[object, ...]:
    due = one.due.isoformat() if one.due else "9999"
    if order == "due":
        return one.state in _ENDED, due, one.id
    return lines.folded(one.owner if order == "owner" else one.where), due, one.id


def _row(view: View, one: forms.Gap) -> Data:
    return {
        **score_view.gap(one),
        "id": one.id,
        "section": one.section,
        "step": one.step,
        "raw": {"owner": one.owner, "due": str(one.due or ""), "state": one.state, "note": one.note},
        "by": texts.say("gaps.by", name=plainly(view.person(one.changed_by)), at=one.changed_at[:10]),
        "enabled": view.may(Permission.SCORECARD_ANSWER, one.scope),
    }


def _choices(values: tuple[str, ...], label: object) -> list[Data]:
    return [{"value": str(one), "label": label(one)} for one in values]  # type: ignore[operator]


def _sections(standard: Standard) -> list[Data]:
    return [{"value": one.id, "label": one.title} for one in standard.sections]


def _steps(standard: Standard) -> list[Data]:
    sections = standard.guide.sections.values()
    return [{"value": step.id, "label": f"{step.id}: {step.text}"} for each in sections for step in each.steps]


async def _show(request: Asked, call: Call, retry: Retry | None = None, tried: str = "") -> Answer:
    return await frame.show(request, call, PAGE, look, retry=retry, tried=tried)


def _at(request: Asked, path: str) -> str:
    return render.link(path, scope=request.query_params.get("scope", ""))


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidError("gap.due", texts.say("gaps.wrong_date"), texts.say("gaps.wrong_date_why")) from None


handlers = [listed, add, change]
