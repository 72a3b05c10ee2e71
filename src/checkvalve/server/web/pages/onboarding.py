# SPDX-License-Identifier: Apache-2.0
"""Onboarding: which devices are on their way in? The invites that are open, and who joined and was not heard yet."""

from collections.abc import Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import InviteId
from checkvalve.server.access.model import Permission
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import admit
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Condition, Invite
from checkvalve.server.web import auth, texts
from checkvalve.server.web.calls import Call, Called, Place
from checkvalve.server.web.pages import fleet_view, frame, invites
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("onboarding.html", "onboarding", "onboarding.title")
LOOKED_AT = 1_000  # the newest; one that is older is over
SHOWN = 50


@get(["/onboarding", "/onboarding.json"], opt={"permission": auth.SIGNED_IN})
async def onboarding(request: Asked, call: Called) -> Answer:
    """Answer with what is open."""
    return await _show(request, call)


@post("/onboarding/{invite_id:str}/revoke", opt={"permission": Permission.DEVICE_INVITE})
async def revoke(request: Asked, call: Called, invite_id: FromPath[str]) -> Answer | Redirect:
    """Take an invite back, at once. Devices that came by it stay."""
    wanted = InviteId(known(invite_id))

    async def do(_: Mapping[str, str]) -> None:
        await call.act(
            "device.revoke_invite",
            f"invite:{wanted}",
            Place(_scope, wanted),
            lambda tx, act: fleet_actions.revoke(tx, act, wanted),
        )

    return await frame.change(request, do, lambda retry: _show(request, call, retry), "/onboarding")


def look(view: View) -> Data:
    """Return the page's data."""
    tallies = fleet_view.tallies(view)
    unheard = fleet_view.counted(tallies or ()).how[Condition.NEVER_SEEN]
    return {
        **(_open(view) if view.holds(Permission.DEVICE_INVITE) else _unseen()),
        "unheard": unheard,
        "unheard_words": texts.count("onboarding.waiting_n", unheard) if unheard else "",
        "unheard_href": view.link("/fleet", **{"is": Condition.NEVER_SEEN.value}) + "#devices",
    }


async def _show(request: Asked, call: Call, retry: Retry | None = None) -> Answer:
    return await frame.show(request, call, PAGE, look, retry=retry)


def _open(view: View) -> Data:
    found = fleet_queries.invites(view.tx, view.seen(Permission.DEVICE_INVITE), limit=LOOKED_AT)
    still: list[Invite] = [one for one in found if admit.is_open(one, view.now)]
    left = sum(one.uses - one.used for one in still)
    none = {"sentence": texts.say("onboarding.sentence_none"), "detail": texts.say("onboarding.detail_none")}
    some = {
        "sentence": texts.count("onboarding.sentence", len(still)),
        "detail": texts.count("onboarding.detail", left),
    }
    return {**(some if still else none), "items": [invites.row(view, one) for one in still[:SHOWN]], "may": True}


def _unseen() -> Data:
    sentence, detail = texts.say("onboarding.sentence_unseen"), texts.say("onboarding.detail_unseen")
    return {"sentence": sentence, "detail": detail, "items": [], "may": False}


def _scope(tx: Tx, invite_id: str) -> Sequence[str]:
    return (fleet_queries.invite(tx, InviteId(invite_id)).scope,)


handlers = [onboarding, revoke]
