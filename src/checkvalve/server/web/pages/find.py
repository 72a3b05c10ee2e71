# SPDX-License-Identifier: Apache-2.0
"""Search: a name of a device, rollout, release, person or place, a tag, or an id or its last characters.

It finds what one may see.
"""

from litestar import get

from checkvalve.errors import NotFoundError
from checkvalve.ids import ApprovalId, EntryId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.web import auth, texts
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame, release_view, render, words
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View, known

PAGE = Page("find.html", "", "find.title")
MOST = 20
LOOKED_AT = 500
LOOKED_AT_RELEASES = 100  # each with all its bytes
DIGITS = 8  # of a digest
TAIL = 4  # characters of an id that tell it apart well enough to search by


@get(["/find", "/find.json"], opt={"permission": auth.SIGNED_IN})
async def find(request: Asked, call: Called) -> Answer:
    """Answer with what the words name."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    asked = view.query.get("q", "").strip()[:200]
    found = [
        *_devices(view, asked),
        *_rollouts(view, asked),
        *_releases(view, asked),
        *_approvals(view, asked),
        *_people(view, asked),
        *_places(view, asked),
    ]
    found = [*found, *_entries(view, asked)][:MOST] if asked else []
    if not asked:
        sentence = texts.say("find.empty")
    else:
        sentence = (
            texts.count("find.sentence_some", len(found), q=asked) if found else texts.say("find.sentence", q=asked)
        )
    return {"sentence": sentence, "detail": texts.say("find.detail"), "q": asked, "items": found}


def _matches(asked: str, name: str, ident: str) -> bool:
    return asked.casefold() in name.casefold() or (len(asked) >= TAIL and ident.endswith(asked.lower()))


def _row(kind: str, name: str, where: str, href: str) -> Data:
    return {"kind": kind, "word": texts.say(f"find.kind.{kind}"), "name": name, "where": where, "href": href}


def _devices(view: View, asked: str) -> list[Data]:
    if not asked or not view.holds(Permission.DEVICE_READ):
        return []
    found = fleet_queries.devices(view.tx, view.seen(Permission.DEVICE_READ), text=asked, limit=MOST)
    return [
        _row("device", release_view.plainly(one.name), view.where(one.scope), view.link(f"/devices/{one.id}"))
        for one in found
    ]


def _rollouts(view: View, asked: str) -> list[Data]:
    if not view.holds(Permission.ROLLOUT_READ):
        return []
    found = rollout_queries.listed(view.tx, view.seen(Permission.ROLLOUT_READ), limit=LOOKED_AT)
    return [
        _row("rollout", one.name, view.where(one.scope), view.link(f"/rollouts/{one.id}"))
        for one in found
        if _matches(asked, one.name, one.id)
    ]


def _releases(view: View, asked: str) -> list[Data]:
    """Look through the newest, and through all of exactly this name; by a digest too."""
    if not view.holds(Permission.RELEASE_READ):
        return []
    seen, digest = view.seen(Permission.RELEASE_READ), asked.lower().rpartition("@")[2].removeprefix("sha256:")
    newest = supply_queries.releases(view.tx, seen, limit=LOOKED_AT_RELEASES)
    named = supply_queries.releases(view.tx, seen, limit=MOST, name=asked)
    return [
        _row("release", release_view.named(one), view.where(one.scope), view.link(f"/releases/{one.id}"))
        for one in {one.id: one for one in [*newest, *named]}.values()
        if _matches(asked, release_view.named(one), one.id)
        or (len(digest) >= DIGITS and release_view.digits(one.digest).startswith(digest))
    ]


def _approvals(view: View, asked: str) -> list[Data]:
    if not view.holds(Permission.APPROVAL_READ):
        return []
    try:
        one = approval_queries.approval(view.tx, ApprovalId(known(asked)), view.seen(Permission.APPROVAL_READ))
    except NotFoundError:
        return []
    return [_row("approval", one.sentence, view.where(one.scope), view.link(f"/approvals/{one.id}"))]


def _people(view: View, asked: str) -> list[Data]:
    if not view.holds(Permission.PERSON_READ):
        return []
    seen = access_queries.people_within(view.seen(Permission.PERSON_READ))
    found = identity_queries.people(view.tx, seen, limit=LOOKED_AT)
    return [
        _row("person", one.name, view.where(one.home), view.link(f"/people/{one.id}"))
        for one in found
        if _matches(asked, f"{one.name} {one.login}", one.id)
    ]


def _places(view: View, asked: str) -> list[Data]:
    return [
        _row("place", one.name, view.where(one.path), render.link("/fleet", scope=one.path))
        for one in view.places(Permission.SCOPE_READ)
        if _matches(asked, one.name, one.id)
    ]


def _entries(view: View, asked: str) -> list[Data]:
    if not view.holds(Permission.AUDIT_READ):
        return []
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    try:
        entry = audit_queries.entry(view.tx, seen, EntryId(known(asked)))
    except NotFoundError:
        return []
    told = words.told(view, entry)
    return [_row("entry", f"{told['actor']} {told['verb']} {told['object']}", str(told["where"]), str(told["href"]))]


handlers = [find]
