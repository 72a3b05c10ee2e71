# SPDX-License-Identifier: Apache-2.0
"""Fleet: what have I got, and how is it? Places with the devices below them, and the devices, narrowed by the address.

A form here adds a place, another one makes an invite; its token is in the answer to that form and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from litestar import get, post
from litestar.response import Redirect

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.ids import ScopeId
from checkvalve.protocol.exchange import State
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import CHILDREN, ROOT, Permission, Scope, ScopeKind
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Condition, Device, Liveness, Order, Trust, Wanted
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, in_scope
from checkvalve.server.web.pages import crash_view, fleet_view, frame, hold_view, invites, render
from checkvalve.server.web.pages.fleet_view import Counts
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("fleet.html", "fleet", "fleet.title")
SHOWN = 50
LONGEST = 100  # characters of what is looked for
OPEN = 12  # places that are shown without being asked for
E = TypeVar("E", Trust, Liveness, Condition, Order, State)


@dataclass(frozen=True, slots=True)
class Filter:
    """What the address asks for."""

    text: str
    tags: tuple[str, ...]
    trust: Trust | None
    heard: Liveness | None
    condition: Condition | None
    held: bool
    step: State | None
    order: Order
    after: str

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return bool(self.text or self.tags or self.trust or self.heard or self.condition or self.held or self.step)

    @property
    def query(self) -> dict[str, str]:
        """The address again, without how far one has paged."""
        said = {"text": self.text, "tag": " ".join(self.tags), "trust": self.trust, "heard": self.heard}
        sort, held = "" if self.order is Order.NAME else self.order.value, "yes" if self.held else ""
        return {
            name: str(value or "")
            for name, value in {**said, "is": self.condition, "held": held, "step": self.step, "sort": sort}.items()
        }


@get(["/fleet", "/fleet.json"], opt={"permission": Permission.SCOPE_READ})
async def fleet(request: Asked, call: Called) -> Answer:
    """Answer with the places and devices one may see.

    `?text=`, `?tag=` (several with blanks between), `?trust=`, `?heard=`, `?is=`, `?held=` and `?step=` narrow the
    devices; `?sort=silent` has those first that are silent longest, `?after=` goes on.
    """
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


@post("/fleet/invite", opt={"permission": Permission.DEVICE_INVITE})
async def invite(request: Asked, call: Called) -> Answer:
    """Make an invite and show the line to type on a device, this once."""
    form = await frame.fields(request)
    try:
        made = await invites.make(call, form)
    except UnavailableError:
        raise
    except CheckvalveError as error:
        return await _show(request, call, Retry(error, form))
    return await _show(request, call, made=made)


def look(view: View, made: invites.Made | None = None) -> Data:
    """Return the page's data."""
    found = access_queries.listed(view.tx, view.seen(Permission.SCOPE_READ))
    tallies = fleet_view.tallies(view)
    counts, below = fleet_view.counted(tallies or ()), fleet_view.by_place(tallies or ())
    sites = sum(place.kind is ScopeKind.SITE for place in found)
    return {
        "sentence": _sentence(counts, sites, seen=tallies is not None),
        "detail": texts.say("fleet.detail" if counts.all else "fleet.detail_none"),
        "items": _tree(found, below),
        "few": len(found) <= OPEN,
        "tree": texts.say("fleet.tree_many", n=f"{len(found):,}"),
        **(_devices(view, counts) if tallies is not None else _unseen()),
        "tags": _tags(view) if tallies is not None else None,
        "adds": _adds(view),
        "invites": invites.places(view),
        "hours": invites.hours(),
        "links": invites.links(),
        "invited": invites.shown(view, made) if made else None,
    }


def _tags(view: View) -> Data | None:
    """Return how many tags of the plane's hang for what is shown; None if none does."""
    number = len(fleet_queries.holds(view.tx, view.seen(Permission.DEVICE_READ), limit=OPEN * 100))
    return {"n": number, "words": texts.count("fleet.tags", number), "href": view.link("/holds")} if number else None


async def _show(request: Asked, call: Call, retry: Retry | None = None, *, made: invites.Made | None = None) -> Answer:
    return await frame.show(request, call, PAGE, lambda view: look(view, made), retry=retry)


def _sentence(counts: Counts, sites: int, *, seen: bool) -> str:
    if not seen:
        return texts.count("fleet.sentence_unseen", sites)
    if counts.all:
        return fleet_view.sentence(counts)
    return texts.say("fleet.sentence_none" if sites else "fleet.sentence_no_place")


def _tree(found: list[Scope], below: Mapping[str, Counts]) -> list[Data]:
    highest = min((place.path.count("/") for place in found), default=0)
    return [
        fleet_view.place(place, min(place.path.count("/") - highest + 1, 4), below.get(place.path)) for place in found
    ]


def asked(query: Mapping[str, str]) -> Filter:
    """Return what the address asks for; what it asks for that there is not, is not asked for."""
    return Filter(
        text=query.get("text", "").strip()[:LONGEST],
        tags=tuple(query.get("tag", "").lower().replace(",", " ").split()[:8]),
        trust=_one_of(Trust, query.get("trust", "")),
        heard=_one_of(Liveness, query.get("heard", "")),
        condition=_one_of(Condition, query.get("is", "")),
        held=bool(query.get("held")),
        step=_one_of(State, query.get("step", "")),
        order=_one_of(Order, query.get("sort", "")) or Order.NAME,
        after=known(query["after"]) if query.get("after") else "",
    )


def _one_of(kind: type[E], text: str) -> E | None:
    return next((each for each in kind if each.value == text), None)


def _devices(view: View, counts: Counts) -> Data:
    filtered, seen = asked(view.query), view.seen(Permission.DEVICE_READ)
    wanted = _wanted(view, filtered)
    found = fleet_queries.devices(view.tx, seen, order=filtered.order, limit=SHOWN + 1, after=filtered.after, **wanted)
    page, more = found[:SHOWN], len(found) > SHOWN
    total = fleet_queries.count(view.tx, seen, **wanted) if filtered.narrowed else counts.all
    named, marks = fleet_view.titles(view, (one.active for one in page)), hold_view.marks(view, page)
    following = view.link("/fleet", **filtered.query, after=page[-1].id) + "#devices" if more else ""
    return {
        "devices": [fleet_view.row(view, one, named, marks[one.id], crash_view.said(view, one)) for one in page],
        "devices_n": total,
        "shown": _shown(page, total),
        "all": counts.all,
        "narrowed": filtered.narrowed,
        "query": filtered.query,
        "chips": _chips(view, filtered, counts) + _waiting(view, filtered),
        "trusts": _options("trust.word_", (Trust.ACCEPTED, Trust.OBSERVE, Trust.QUARANTINED, Trust.RETIRED)),
        "heards": _options("heard.", Liveness),
        "orders": [{"value": each.value, "label": texts.say(f"fleet.sort_{each}")} for each in Order],
        "next_href": following,
        "first_href": view.link("/fleet", **filtered.query) + "#devices" if filtered.after else "",
    }


def _wanted(view: View, filtered: Filter) -> Wanted:
    return {
        "text": filtered.text,
        "tags": filtered.tags,
        "trust": filtered.trust,
        "liveness": filtered.heard,
        "conditions": (filtered.condition,) if filtered.condition else (),
        "held": filtered.held,
        "states": (filtered.step,) if filtered.step else (),
        "retired": filtered.trust is Trust.RETIRED or filtered.condition is Condition.RETIRED,
        "now": view.now,
    }


def _shown(page: list[Device], total: int) -> str:
    if len(page) == total:
        return texts.count("fleet.shown_all", total)
    return texts.say("fleet.shown", shown=f"{len(page):,}", n=f"{total:,}")


def _chips(view: View, filtered: Filter, counts: Counts) -> list[Data]:
    """Return a way to the devices that are so, for each way there is; the other filters go."""
    chips: list[Data] = [
        {
            "label": texts.say("fleet.chip_all", n=f"{counts.all:,}"),
            "shape": "",
            "href": view.link("/fleet") + "#devices",
            "current": not filtered.narrowed,
        }
    ]
    chips += [
        {
            "label": texts.say("fleet.chip", word=texts.say(f"condition.{each}"), n=f"{counts.how[each]:,}"),
            "shape": fleet_view.SHAPES[each],
            "href": view.link("/fleet", **{"is": each.value}) + "#devices",
            "current": each is filtered.condition,
        }
        for each in Condition
        if counts.how[each] or each is filtered.condition
    ]
    return chips


def _waiting(view: View, filtered: Filter) -> list[Data]:
    """Return a way to the devices that are held, and to those that wait for a permit."""
    seen = view.seen(Permission.DEVICE_READ)
    held = fleet_queries.count(view.tx, seen, held=True, retired=False)
    permit = fleet_queries.count(view.tx, seen, states=(State.WAITING_PERMIT,), retired=False)
    found = (
        ("chip_held", held, {"held": "yes"}, filtered.held),
        ("chip_waiting_permit", permit, {"step": "waiting_permit"}, filtered.step is State.WAITING_PERMIT),
    )
    return [
        {
            "label": texts.say("fleet.chip", word=texts.say(f"fleet.{name}"), n=f"{number:,}"),
            "shape": "warn",
            "href": view.link("/fleet", **query) + "#devices",
            "current": current,
        }
        for name, number, query, current in found
        if number or current
    ]


def _options(prefix: str, values: type[Liveness] | tuple[Trust, ...]) -> list[Data]:
    some: list[Data] = [{"value": each.value, "label": texts.say(f"{prefix}{each}")} for each in values]
    return [{"value": "", "label": texts.say("fleet.any")}, *some]


def _unseen() -> Data:
    return {"devices": None, "devices_n": 0, "all": 0, "narrowed": False}


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


handlers = [fleet, add, invite]
