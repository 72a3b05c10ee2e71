# SPDX-License-Identifier: Apache-2.0
"""Rollouts: the list, one of them, followed while it goes on, what can be done with it, and the form for a new draft.

After each change devices that wait here are told at once, and the rollouts are looked after at once.
"""

from collections.abc import Callable, Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Stream
from litestar.status_codes import HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.ids import ApprovalId, RolloutId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import LIVE, Intent, Plan, Rollout, State
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place, in_scope
from checkvalve.server.web.pages import following, frame, plans, progress
from checkvalve.server.web.pages.following import Followed
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("rollouts.html", "rollouts", "rollouts.title")
ONE = Page("rollout.html", "rollouts", "rollouts.title")
UNDO = Page("rollout_undo.html", "rollouts", "undo.title")
NEW = Page("rollout_new.html", "rollouts", "rollouts.title")
MOST = 100
_READ = {"permission": Permission.ROLLOUT_READ}
_DRAFT = {"permission": Permission.ROLLOUT_DRAFT}
_START = {"permission": Permission.ROLLOUT_START}

Work = Callable[[Tx, Act, RolloutId], Rollout]


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
    intent, scope, name = _intent(form), form.get("scope", ""), form.get("name", "")
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
    """Answer with one rollout. `?outcome=` narrows its devices, `?after=` pages them."""
    return await _one(request, call, rollout_id)


@get("/rollouts/{rollout_id:str}/events", opt={**_READ, "watches": True})
async def events(request: Asked, call: Called, rollout_id: FromPath[str]) -> Stream:
    """Answer with what changes of the page, as it changes; `?known=` says which parts the page has."""
    return await following.stream(request, call, FOLLOWED, rollout_id)


@post("/rollouts/{rollout_id:str}/propose", opt=_DRAFT)
async def propose(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Close the draft and ask for approval."""
    asked = ApprovalId(call.plane.new_id())
    return await _move(request, call, rollout_id, "propose", lambda _: _with(rollout_actions.propose, asked))


@post("/rollouts/{rollout_id:str}/start", opt=_START)
async def start(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Start what was approved."""
    return await _move(request, call, rollout_id, "start", lambda _: _with(rollout_actions.start, call.plane.new_id))


@post("/rollouts/{rollout_id:str}/pause", opt=_START)
async def pause(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Let no device begin any more."""
    return await _move(request, call, rollout_id, "pause", lambda reason: _with(rollout_actions.pause, "", reason))


@post("/rollouts/{rollout_id:str}/resume", opt=_START)
async def resume(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Go on without those that failed."""
    return await _move(request, call, rollout_id, "resume", lambda reason: _with(rollout_actions.resume, reason))


@post("/rollouts/{rollout_id:str}/cancel", opt=_DRAFT)
async def cancel(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """End it where it stands; what was started asks for the right to start."""

    def work(tx: Tx, act: Act, wanted: RolloutId) -> Rollout:
        found = rollout_queries.rollout(tx, wanted)
        if found.state in LIVE:
            call.also(tx, Permission.ROLLOUT_START, found.scope)
        return rollout_actions.cancel(tx, act, wanted)

    return await _move(request, call, rollout_id, "cancel", lambda _: work)


@get(["/rollouts/{rollout_id:str}/undo", "/rollouts/{rollout_id:str}/undo.json"], opt=_READ)
async def ask_undo(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer:
    """Answer with who would go back to what, and the button that does it."""
    return await _undo(request, call, rollout_id)


@post("/rollouts/{rollout_id:str}/undo", opt=_START)
async def undo(request: Asked, call: Called, rollout_id: FromPath[str]) -> Answer | Redirect:
    """Send the devices back, and go on to the rollout that does."""
    new_id = call.plane.new_id
    made = RolloutId(new_id())

    async def do(form: Mapping[str, str]) -> None:
        reason = form.get("reason", "")
        await _act(call, rollout_id, "undo", _with(rollout_actions.undo, made, new_id, reason), reason)

    return await frame.change(request, do, lambda retry: _undo(request, call, rollout_id, retry), f"/rollouts/{made}")


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
    """Return how many there are, and how many of them wait for somebody or go on."""
    far, state = [item["far"] for item in items], [item["state"] for item in items]
    said = [texts.count(f"rollouts.{name}", state.count(name)) for name in ("paused",) if name in state]
    said += [
        texts.count(f"card.change_{name}", far.count(name)) for name in ("stuck", "waiting", "ready") if name in far
    ]
    said += [texts.count(f"rollouts.{name}", state.count(name)) for name in ("started",) if name in state]
    first = texts.count("rollouts.all", len(items))
    return texts.say("rollouts.with", first=first, rest=", ".join(said)) if said else f"{first}."


def _form(view: View) -> Data:
    places = view.places(Permission.ROLLOUT_DRAFT)
    return {
        "scopes": [{"value": place.path, "label": view.where(place.path)} for place in places],
        "approvals": [{"value": str(n), "label": str(n)} for n in (1, 2, 0)],
        "canaries": [{"value": str(n), "label": str(n)} for n in (1, 2, 3, 4, 5, 0)],
        "release": view.query.get("release", ""),
    }


def _intent(form: Mapping[str, str]) -> Intent:
    approvals = int(form.get("approvals", "")) if form.get("approvals", "") in {"0", "1", "2"} else -1
    plan = Plan(_number(form, "canary", Plan().canary), _number(form, "step", Plan().step))
    note = " ".join(form.get("note", "").split())
    return Intent(form.get("release", ""), form.get("selector", ""), approvals, form.get("change", ""), note, plan)


def _number(form: Mapping[str, str], name: str, usual: int) -> int:
    """Return a number of the form, `usual` where nothing was typed, -1 for what is no number."""
    typed = form.get(name, "").strip()
    if not typed:
        return usual
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 9 else -1


def _one_of(view: View, rollout_id: str) -> Rollout:
    return rollout_queries.rollout(view.tx, RolloutId(known(rollout_id)), view.seen(Permission.ROLLOUT_READ))


def _followed(view: View, rollout_id: str) -> tuple[Data, bool]:
    rollout = _one_of(view, rollout_id)
    return progress.whole(view, rollout), progress.live(rollout)


FOLLOWED = Followed("rollout", progress.PARTS, _followed, ("outcome", "after"))


async def _one(request: Asked, call: Call, rollout_id: str, retry: Retry | None = None, tried: str = "") -> Answer:
    def look_at(view: View) -> Data:
        data, _ = _followed(view, rollout_id)
        return {**data, "events": following.address(view, FOLLOWED, data)}

    return await frame.show(request, call, ONE, look_at, retry=retry, tried=tried)


async def _undo(request: Asked, call: Call, rollout_id: str, retry: Retry | None = None) -> Answer:
    return await frame.show(
        request, call, UNDO, lambda view: plans.undoing(view, _one_of(view, rollout_id)), retry=retry
    )


def _with(action: Callable[..., Rollout], *more: object) -> Work:
    return lambda tx, act, wanted: action(tx, act, wanted, *more)


async def _move(
    request: Asked, call: Call, rollout_id: str, name: str, work: Callable[[str], Work]
) -> Answer | Redirect:
    async def do(form: Mapping[str, str]) -> None:
        reason = form.get("reason", "")
        await _act(call, rollout_id, name, work(reason), reason)

    then = f"/rollouts/{known(rollout_id)}"
    return await frame.change(request, do, lambda retry: _one(request, call, rollout_id, retry, name), then)


async def _act(call: Call, rollout_id: str, name: str, work: Work, reason: str) -> None:
    place, subject = Place(_scope, rollout_id), f"rollout:{known(rollout_id)}"
    await call.act(
        f"rollout.{name}", subject, place, lambda tx, act: work(tx, act, RolloutId(rollout_id)), reason=reason
    )
    await call.plane.presence.stir()
    call.plane.rolling.poke()


def _scope(tx: Tx, rollout_id: str) -> Sequence[str]:
    return (rollout_queries.scope_of(tx, RolloutId(rollout_id)),)


handlers = [listed, new, draft, one, events, propose, start, pause, resume, cancel, ask_undo, undo]
