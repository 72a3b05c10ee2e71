# SPDX-License-Identifier: Apache-2.0
"""The page of a rollout as it changes: its parts, each with a mark of its data, as `web/live` sends them.

Rules: 1. who looks is found anew at each look, by what the stream began with: a session that has ended and a right that
is gone end the stream; 2. a part is made from its own data alone, by the template that the whole page has.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

import msgspec

from checkvalve.crypto import digests
from checkvalve.errors import UnauthenticatedError
from checkvalve.ids import RolloutId
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.web import auth, live
from checkvalve.server.web.calls import Call
from checkvalve.server.web.live import Look, Part
from checkvalve.server.web.pages import frame, progress, render, times
from checkvalve.server.web.pages.frame import Asked
from checkvalve.server.web.pages.view import Data, View, known

DIGITS = 10  # of a mark


def looks(request: Asked, call: Call, rollout_id: str, query: Mapping[str, str]) -> Callable[[], Awaitable[Look]]:
    """Return how one looks at this rollout as this caller; raises what the page raises."""

    def work(judged: Call, tx: Tx) -> tuple[Data, bool, str]:
        view = View.open(tx, judged, query)
        rollout = rollout_queries.rollout(tx, RolloutId(known(rollout_id)), view.seen(Permission.ROLLOUT_READ))
        return progress.whole(view, rollout), progress.live(rollout), view.scope

    async def look() -> Look:
        caller = await auth.identify(request, watches=True)  # rule 1
        if caller is None:
            raise UnauthenticatedError("session.none", "Nobody is signed in.", "Sign in.")
        data, goes_on, scope = await call.read("rollout.events", partial(work, replace(call, caller=caller)))
        now = call.plane.now()
        make = partial(_html, data, caller.csrf, now, "" if scope == ROOT else scope)
        parts = [Part(name, mark, partial(make, name)) for name, mark in marks(data).items()]
        return Look(parts, times.clock(now, now), over=not goes_on)

    return look


def marks(data: Data) -> dict[str, str]:
    """Return of each part what says that it is the same."""
    return {name: _mark(_of(data, name)) for name in progress.PARTS}


def address(view: View, data: Data) -> str:
    """Return where the page finds what changes of it; nothing where nothing will."""
    if not data["live"]:
        return ""
    query = {name: view.query.get(name, "") for name in ("outcome", "after")}
    return view.link(f"/rollouts/{data['id']}/events", known=live.marked(marks(data)), **query)


def _of(data: Data, name: str) -> Data:
    return {key: data[key] for key in progress.PARTS[name]}


def _mark(part: Data) -> str:
    return digests.sha256_hex(msgspec.json.encode(part))[:DIGITS]


def _html(data: Data, csrf: str, now: datetime, scope: str, name: str) -> str:
    values = {"data": _of(data, name), "frame": {"csrf": csrf}, "form": frame.Form(), "tried": ""}
    return render.part(f"rollout_{name}.html", values, now, scope=scope)
