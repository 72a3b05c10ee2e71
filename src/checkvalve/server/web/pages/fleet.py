# SPDX-License-Identifier: Apache-2.0
"""Fleet: the tree of organisations, sites and areas. No device enrols with this version, and the page says so."""

from collections.abc import Mapping

from litestar import get, post
from litestar.response import Redirect

from checkvalve.ids import ScopeId
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import CHILDREN, ROOT, Permission, Scope, ScopeKind
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, in_scope
from checkvalve.server.web.pages import frame, render
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, when

PAGE = Page("fleet.html", "fleet", "fleet.title")


@get(["/fleet", "/fleet.json"], opt={"permission": Permission.SCOPE_READ})
async def fleet(request: Asked, call: Called) -> Answer:
    """Answer with the places one may see."""
    return await _show(request, call)


@post("/fleet", opt={"permission": Permission.SCOPE_MANAGE})
async def add(request: Asked, call: Called) -> Answer | Redirect:
    """Add a place; its kind follows from what it is added to."""

    async def make(form: Mapping[str, str]) -> None:
        made, parent, name = ScopeId(call.plane.new_id()), form.get("place", ""), form.get("name", "")

        def work(tx: Tx, act: Act) -> Scope:
            above = access_queries.at(tx, parent)
            (kind,) = CHILDREN[above.kind if above else None]
            return access_actions.create_scope(tx, act, made, parent, kind, name)

        await call.act("scope.create", f"scope:{made}", in_scope(parent), work)

    scope = request.query_params.get("scope", "")
    return await frame.change(
        request, make, lambda retry: _show(request, call, retry), render.link("/fleet", scope=scope)
    )


def look(view: View) -> Data:
    """Return the page's data."""
    found = access_queries.listed(view.tx, view.seen(Permission.SCOPE_READ))
    sites = sum(place.kind is ScopeKind.SITE for place in found)
    return {
        "sentence": texts.count("fleet.sentence", sites) if sites else texts.say("fleet.sentence_none"),
        "detail": texts.say("fleet.detail"),
        "items": [_place(place, found) for place in found],
        "adds": _adds(view),
    }


async def _show(request: Asked, call: Call, retry: Retry | None = None) -> Answer:
    return await frame.show(request, call, PAGE, look, retry=retry)


def _place(place: Scope, found: list[Scope]) -> Data:
    above = sum(place.path.startswith(other.path) for other in found)
    return {
        "id": place.id,
        "path": place.path,
        "name": place.name,
        "kind": place.kind.value,
        "word": texts.say(f"place.{place.kind}"),
        "depth": min(above, 4),
        "devices": 0,
        "made_at": when(place.made_at),
        "href": render.link("/fleet", scope=place.path),
    }


def _adds(view: View) -> list[Data]:
    if not view.holds(Permission.SCOPE_MANAGE):
        return []
    options: list[Data] = []
    if view.may(Permission.SCOPE_MANAGE, ROOT):
        options.append({"value": ROOT, "label": texts.say("fleet.add_option.organisation")})
    for place in view.places(Permission.SCOPE_MANAGE):
        (kind,) = CHILDREN[place.kind]
        label = texts.say(f"fleet.add_option.{kind}", where=view.where(place.path))
        options.append({"value": place.path, "label": label})
    return options


handlers = [fleet, add]
