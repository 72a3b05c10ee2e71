# SPDX-License-Identifier: Apache-2.0
"""A page as it changes: its parts, each with a mark of its data, as `web/live` sends them.

Rules: 1. who looks is found anew at each look, by what the stream began with: a session that has ended and a right that
is gone end the stream; 2. a part is made from its own data alone, by the template that the whole page has.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import msgspec
from litestar.response import Stream

from checkvalve.crypto import digests
from checkvalve.errors import UnauthenticatedError
from checkvalve.server.access.model import ROOT
from checkvalve.server.db.database import Tx
from checkvalve.server.web import auth, live
from checkvalve.server.web.calls import Call
from checkvalve.server.web.live import Look, Part
from checkvalve.server.web.pages import frame, render, times
from checkvalve.server.web.pages.frame import Asked
from checkvalve.server.web.pages.view import Data, View

DIGITS = 10  # of a mark


async def nothing(_call: Call, _data: Data) -> Data:
    """Return what most pages show beside their data."""
    return {}


@dataclass(frozen=True, slots=True)
class Followed:
    """A kind of page: `rollout` is at `/rollouts/<id>`, its parts are made by `rollout_<part>.html`.

    `look` returns the data of one and whether it goes on; it raises what the page raises. `parts` are the names of the
    data that each part is made of, `query` what of the address says what is shown, and `beside` what is shown beside
    data: it follows from them, and is not read in their transaction.
    """

    noun: str
    parts: Mapping[str, Sequence[str]]
    look: Callable[[View, str], tuple[Data, bool]]
    query: Sequence[str] = ()
    beside: Callable[[Call, Data], Awaitable[Data]] = nothing


async def stream(request: Asked, call: Call, page: Followed, ident: str) -> Stream:
    """Answer with what changes of a page, as it changes; `?known=` says which parts the page has."""
    query = frame.plain(dict(request.query_params))
    look = _looks(request, call, page, ident, query)
    known = request.headers.get("last-event-id") or query.get("known", "")
    first = await look()
    slot = call.plane.live.enter()
    return Stream(live.events(slot, look, first, known), media_type=live.MEDIA_TYPE)


def address(view: View, page: Followed, data: Data) -> str:
    """Return where the page finds what changes of it; nothing where nothing will."""
    if not data["live"]:
        return ""
    query = {name: view.query.get(name, "") for name in page.query}
    return view.link(f"/{page.noun}s/{data['id']}/events", known=live.marked(_marks(page, data)), **query)


def _looks(
    request: Asked, call: Call, page: Followed, ident: str, query: Mapping[str, str]
) -> Callable[[], Awaitable[Look]]:
    def work(judged: Call, tx: Tx) -> tuple[Data, bool, str]:
        view = View.open(tx, judged, query)
        data, goes_on = page.look(view, ident)
        return data, goes_on, view.scope

    async def look() -> Look:
        caller = await auth.identify(request, watches=True)  # rule 1
        if caller is None:
            raise UnauthenticatedError("session.none", "Nobody is signed in.", "Sign in.")
        judged = replace(call, caller=caller)
        data, goes_on, scope = await call.read(f"{page.noun}.events", partial(work, judged))
        now, beside = call.plane.now(), await page.beside(judged, data)
        make = partial(_html, page, data, beside, caller.csrf, now, "" if scope == ROOT else scope)
        parts = [Part(name, mark, partial(make, name)) for name, mark in _marks(page, data).items()]
        return Look(parts, times.clock(now, now), over=not goes_on)

    return look


def _marks(page: Followed, data: Data) -> dict[str, str]:
    """Return of each part what says that it is the same."""
    return {name: _mark(_of(page, data, name)) for name in page.parts}


def _of(page: Followed, data: Data, name: str) -> Data:
    return {key: data[key] for key in page.parts[name]}


def _mark(part: Data) -> str:
    return digests.sha256_hex(msgspec.json.encode(part))[:DIGITS]


def _html(page: Followed, data: Data, beside: Data, csrf: str, now: datetime, scope: str, name: str) -> str:
    values = {"data": _of(page, data, name), "frame": {"csrf": csrf}, "form": frame.Form(), "tried": ""}
    return render.part(f"{page.noun}_{name}.html", values | beside, now, scope=scope)
