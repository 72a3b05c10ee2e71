# SPDX-License-Identifier: Apache-2.0
"""Releases: what may run and what waits for signatures; and one of them, what is in it and what differs.

Nothing here signs: keys are where people keep them. A withdrawal and a floor become changes of the open draft.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.ids import DraftId, ReleaseId
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Draft, Release, State
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place
from checkvalve.server.web.pages import frame, release_view, release_whole
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("releases.html", "releases", "releases.title")
ONE = Page("release.html", "releases", "releases.title")
MOST = 100
KEPT = (State.DRAFTED, State.PUBLISHED, State.WITHDRAWN)  # what was discarded is shown when it is asked for
_READ = {"permission": Permission.RELEASE_READ}
_CREATE = {"permission": Permission.RELEASE_CREATE}
_BEGIN = ("plane_key", "keys", "install")
LONGEST = 100  # characters of a name that is looked for


@dataclass(frozen=True, slots=True)
class Shown:
    """The releases of one page, newest first, and what was asked for; `more` is whether there are older ones."""

    found: tuple[Release, ...]
    more: bool
    state: State | None
    name: str
    before: str


@get(["/releases", "/releases.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with releases and images, the newest first; `?state=` and `?name=` narrow the releases."""
    return await frame.show(request, call, LIST, look)


@get("/releases/{release_id:str}", opt=_READ)
async def one(request: Asked, call: Called, release_id: FromPath[str]) -> Answer:
    """Answer with one release."""
    return await _one(request, call, release_id)


@post("/releases/{release_id:str}/withdraw", opt=_CREATE)
async def withdraw(request: Asked, call: Called, release_id: FromPath[str]) -> Answer | Redirect:
    """Draft that it may not be taken any more."""
    return await _change(request, call, release_id, "withdraw", supply_actions.withdraw)


@post("/releases/{release_id:str}/floor", opt=_CREATE)
async def floor(request: Asked, call: Called, release_id: FromPath[str]) -> Answer | Redirect:
    """Draft that nothing older may be taken any more."""
    return await _change(request, call, release_id, "floor", supply_actions.floor)


def look(view: View) -> Data:
    """Return the list's data."""
    shown, rooted = _shown(view), release_view.root(view) is not None
    draft = release_view.visible_draft(view) if rooted else None
    images = supply_queries.images(view.tx, view.seen(Permission.RELEASE_READ), limit=MOST + 1)
    state, last = shown.state.value if shown.state else "", shown.found[-1].id if shown.more else ""
    return {
        "sentence": _sentence(view, shown, draft) if rooted else texts.say("trust.none"),
        "detail": texts.say("releases.detail" if rooted else "trust.none_why"),
        "begin": None if rooted else [_begin(step) for step in _BEGIN],
        "trust": release_view.trust(view) if rooted else None,
        "draft": release_view.waits(view, draft) if draft else None,
        "show": _chips(view, shown),
        "state": state,
        "name": shown.name,
        "narrowed": bool(state or shown.name or shown.before),
        "older_href": view.link("/releases", state=state, name=shown.name, before=last) if last else "",
        "may_create": view.holds(Permission.RELEASE_CREATE),
        "items": [release_view.row(view, each) for each in shown.found],
        "images_sentence": _images_sentence(len(images)),
        "images": [release_view.image(view, each) for each in images[:MOST]],
    }


def _shown(view: View) -> Shown:
    """Return the releases that the address asks for."""
    asked, name = view.query.get("state", ""), view.query.get("name", "").strip()[:LONGEST]
    state = State(asked) if asked in set(State) else None
    before = known(view.query["before"]) if view.query.get("before") else ""
    seen, found = view.seen(Permission.RELEASE_READ), []
    for each in (state,) if state else KEPT:
        found += supply_queries.releases(view.tx, seen, limit=MOST + 1, before=before, name=name, state=each)
    found.sort(key=lambda one: one.id, reverse=True)
    return Shown(tuple(found[:MOST]), len(found) > MOST, state, name, before)


def _sentence(view: View, shown: Shown, draft: Draft | None) -> str:
    found, more, state, name = shown.found, shown.more, shown.state, shown.name
    called = texts.say("releases.called", name=name) if name else ""
    if shown.before and more:
        return texts.say("releases.older_newest", n=MOST, called=called)
    if shown.before:
        return texts.count("releases.older", len(found), called=called)
    if not (state or name):
        return _told(view, shown, draft)
    if not found:
        return texts.say("releases.none_filter")
    if more:
        return texts.say("releases.shown_newest", n=MOST, called=called)
    return texts.count(f"releases.shown_{state or 'any'}", len(found), called=called)


def _told(view: View, shown: Shown, draft: Draft | None) -> str:
    """Return how many may run, and what waits for how many signatures."""
    found = shown.found
    may = sum(map(release_view.may_run, found))
    first = texts.count("releases.may", may) if may else texts.say("releases.may_none")
    if shown.more:
        none = texts.say("releases.may_newest_none", most=MOST)
        first = texts.count("releases.may_newest", may, most=MOST) if may else none
    waiting = sum(one.state is State.DRAFTED for one in found)
    if draft is not None:
        how = release_view.signing(view, draft)
        more = texts.count("releases.more_signatures", how.missing)
        said = more if waiting > 1 else release_view.signatures_missing(how)
        rest = (
            texts.count("releases.wait_one", waiting, signatures=said)
            if waiting
            else texts.say("releases.wait_draft", signatures=said)
        )
    else:
        rest = texts.count("releases.wait_unseen", waiting) if waiting else ""
    return texts.say("releases.with", first=first, rest=rest) if rest else f"{first}."


def _chips(view: View, shown: Shown) -> list[Data]:
    everything: Data = {
        "label": texts.say("releases.show_all"),
        "href": view.link("/releases", name=shown.name),
        "current": shown.state is None,
    }
    return [everything] + [
        {
            "label": texts.say(f"releases.show_{each}"),
            "href": view.link("/releases", state=each, name=shown.name),
            "current": shown.state is each,
        }
        for each in (State.PUBLISHED, State.DRAFTED, State.WITHDRAWN, State.DISCARDED)
    ]


def _begin(step: str) -> Data:
    return {"what": texts.say(f"trust.begin_{step}"), "command": texts.say(f"trust.command_{step}")}


def _images_sentence(count: int) -> str:
    if count > MOST:
        return texts.say("images.newest", n=MOST)
    return texts.count("images.some", count) if count else texts.say("images.none")


async def _one(request: Asked, call: Call, release_id: str, retry: Retry | None = None, tried: str = "") -> Answer:
    def look_at(view: View) -> Data:
        wanted = ReleaseId(known(release_id))
        release = supply_queries.release(view.tx, wanted, release_view.readable(view))
        return release_whole.whole(view, release)

    return await frame.show(request, call, ONE, look_at, retry=retry, tried=tried)


async def _change(
    request: Asked,
    call: Call,
    release_id: str,
    name: str,
    change: Callable[[Tx, Act, DraftId, ReleaseId, str], Draft],
) -> Answer | Redirect:
    form, draft_id, wanted = await frame.fields(request), DraftId(call.plane.new_id()), known(release_id)
    try:
        draft = await call.act(
            f"release.{name}",
            f"release:{wanted}",
            Place(_scope, release_id),
            lambda tx, act: change(tx, act, draft_id, ReleaseId(release_id), " ".join(form.get("reason", "").split())),
        )
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return await _one(request, call, release_id, Retry(error, form), name)
    return Redirect(f"/drafts/{draft.id}", status_code=HTTP_303_SEE_OTHER)


def _scope(tx: Tx, release_id: str) -> Sequence[str]:
    return (supply_queries.release(tx, ReleaseId(release_id)).scope,)


handlers = [listed, one, withdraw, floor]
