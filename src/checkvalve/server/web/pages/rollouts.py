# SPDX-License-Identifier: Apache-2.0
"""Rollouts: the list, one of them with what the caller can do next and why not, and the form for a new draft.

A rollout here is drafted, proposed, started or cancelled; it has no waves and no devices, and the pages say so.
"""

from collections.abc import Callable, Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.ids import ApprovalId, RolloutId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import Intent, Rollout, State
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place, in_scope
from checkvalve.server.web.pages import frame, progress
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("rollouts.html", "rollouts", "rollouts.title")
ONE = Page("rollout.html", "rollouts", "rollouts.title")
NEW = Page("rollout_new.html", "rollouts", "rollouts.title")
MOST = 100
_READ = {"permission": Permission.ROLLOUT_READ}
_DRAFT = {"permission": Permission.ROLLOUT_DRAFT}


@get(["/rollouts", "/rollouts.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with rollouts, the newest first; `?state=` names one state."""
    return await frame.show(request, call, LIST, look)


@get("/rollouts/new", opt=_DRAFT)
async def new(request: Asked, call: Called) -> Answer:
    """Answer with the form for a draft."""
    return await frame.show(request, call, NEW, _form)


@post("/rollouts", opt=_DRAFT)
async def draft(request: Asked, call: Called) -> Answer | Redirect:
    """Write down what is to happen."""
    form, made_id = await frame.fields(request), RolloutId(call.plane.new_id())
    approvals = int(form.get("approvals", "")) if form.get("approvals", "") in {"0", "1", "2"} else -1
    note = " ".join(form.get("note", "").split())
    intent = Intent(form.get("release", ""), form.get("selector", ""), approvals, form.get("change", ""), note)
    scope, name = form.get("scope", ""), form.get("name", "")
    try:
        await call.act(
            "rollout.draft",
            f"rollout:{made_id}",
            in_scope(scope),
            lambda tx, act: rollout_actions.draft(tx, act, made_id, scope, name, intent),
        )
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return await frame.show(request, call, NEW, _form, retry=Retry(error, form))
    return Redirect(f"/rollouts/{made_id}", status_code=HTTP_303_SEE_OTHER)


@get("/rollouts/{rollout_id:str}", opt=_READ)
async def one(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer:
    """Answer with one rollout."""
    return await _one(request, call, rollout_id)


@post("/rollouts/{rollout_id:str}/propose", opt=_DRAFT)
async def propose(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Close the draft and ask for approval."""
    asked = ApprovalId(call.plane.new_id())
    work: Callable[[Tx, Act, RolloutId], Rollout] = lambda tx, act, it: rollout_actions.propose(tx, act, it, asked)  # noqa: E731
    return await _move(request, call, rollout_id, "rollout.propose", work)


@post("/rollouts/{rollout_id:str}/start", opt={"permission": Permission.ROLLOUT_START})
async def start(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Start what was approved."""
    return await _move(request, call, rollout_id, "rollout.start", rollout_actions.start)


@post("/rollouts/{rollout_id:str}/cancel", opt=_DRAFT)
async def cancel(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """End what has not started."""
    return await _move(request, call, rollout_id, "rollout.cancel", rollout_actions.cancel)


def look(view: View) -> Data:
    """Return the list's data."""
    asked = view.query.get("state", "")
    state = State(asked) if asked in set(State) else None
    found = rollout_queries.listed(view.tx, view.seen(Permission.ROLLOUT_READ), state=state, limit=MOST)
    named = texts.say(f"state.{state}") if state else ""
    empty = texts.say("rollouts.none_state", state=named) if state else texts.say("rollouts.none")
    items = [progress.row(view, one) for one in found]
    if not found:
        sentence = empty
    elif len(found) == MOST:
        sentence = texts.say("rollouts.newest", n=MOST)
    elif state:
        sentence = texts.count("rollouts.some", len(found), state=named)
    else:
        sentence = _told(items)
    chips: list[Data] = [
        {"label": texts.say("rollouts.show_all"), "href": view.link("/rollouts"), "current": state is None}
    ]
    chips += [
        {"label": texts.say(f"state.{each}"), "href": view.link("/rollouts", state=each), "current": state is each}
        for each in State
    ]
    return {
        "sentence": sentence,
        "detail": texts.say("rollouts.detail"),
        "empty": empty,
        "show": chips,
        "may_draft": view.holds(Permission.ROLLOUT_DRAFT),
        "items": items,
    }


def _told(items: list[Data]) -> str:
    """Return how many there are, and how many of them wait for somebody."""
    far = [item["far"] for item in items]
    waits = [
        texts.count(f"card.change_{name}", far.count(name)) for name in ("stuck", "waiting", "ready") if name in far
    ]
    first = texts.count("rollouts.all", len(items))
    return texts.say("rollouts.with", first=first, rest=", ".join(waits)) if waits else f"{first}."


def _form(view: View) -> Data:
    places = view.places(Permission.ROLLOUT_DRAFT)
    return {
        "scopes": [{"value": place.path, "label": view.where(place.path)} for place in places],
        "approvals": [{"value": str(n), "label": str(n)} for n in (1, 2, 0)],
        "release": view.query.get("release", ""),
    }


async def _one(request: Asked, call: Call, rollout_id: str, retry: Retry | None = None) -> Answer:
    def look_at(view: View) -> Data:
        wanted = RolloutId(known(rollout_id))
        rollout = rollout_queries.rollout(view.tx, wanted, view.seen(Permission.ROLLOUT_READ))
        return progress.whole(view, rollout)

    return await frame.show(request, call, ONE, look_at, retry=retry)


async def _move(
    request: Asked, call: Call, rollout_id: str, action: str, work: Callable[[Tx, Act, RolloutId], Rollout]
) -> Answer | Redirect:
    async def do(_: Mapping[str, str]) -> None:
        place, subject = Place(_scope, rollout_id), f"rollout:{known(rollout_id)}"
        await call.act(action, subject, place, lambda tx, act: work(tx, act, RolloutId(rollout_id)))

    then = f"/rollouts/{known(rollout_id)}"
    return await frame.change(request, do, lambda retry: _one(request, call, rollout_id, retry), then)


def _scope(tx: Tx, rollout_id: str) -> Sequence[str]:
    return (rollout_queries.scope_of(tx, RolloutId(rollout_id)),)


handlers = [listed, new, draft, one, propose, start, cancel]
