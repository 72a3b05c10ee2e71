# SPDX-License-Identifier: Apache-2.0
"""A draft of the list of what may run: what will signing it allow, who signed, who is missing?

Nothing here signs: the command on this page does, where the key is, and shows what it signs out of the bytes.
"""

from collections.abc import Mapping

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import DraftId
from checkvalve.server.access.model import Permission
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Change, ChangeKind, Draft, DraftState
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place
from checkvalve.server.web.pages import frame, release_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.release_view import Signing
from checkvalve.server.web.pages.view import Data, View, known, when

ONE = Page("draft.html", "releases", "draft.title")


@get("/drafts/{draft_id:str}", opt={"permission": Permission.RELEASE_READ})
async def one(request: Asked, call: Called, draft_id: FromPath[str]) -> Answer:
    """Answer with one draft."""
    return await _one(request, call, draft_id)


@post("/drafts/{draft_id:str}/discard", opt={"permission": Permission.RELEASE_CREATE})
async def discard(request: Asked, call: Called, draft_id: FromPath[str]) -> Answer | Redirect:
    """Give it up, and what it would have added."""

    async def do(_: Mapping[str, str]) -> None:
        place = Place(lambda tx, ident: supply_queries.draft_scopes(tx, DraftId(ident)), draft_id)
        await call.act(
            "draft.discard",
            f"draft:{known(draft_id)}",
            place,
            lambda tx, act: supply_actions.discard(tx, act, DraftId(draft_id)),
        )

    then = f"/drafts/{known(draft_id)}"
    return await frame.change(request, do, lambda retry: _one(request, call, draft_id, retry), then)


async def _one(request: Asked, call: Call, draft_id: str, retry: Retry | None = None) -> Answer:
    def look_at(view: View) -> Data:
        wanted = DraftId(known(draft_id))
        return look(view, supply_queries.draft(view.tx, wanted, release_view.readable(view)))

    return await frame.show(request, call, ONE, look_at, retry=retry)


def look(view: View, draft: Draft) -> Data:
    """Return the page's data."""
    how, stale = release_view.signing(view, draft), release_view.stale(view, draft)
    who, where = view.person(draft.made_by), view.where(draft.scope)
    following, why = _next(view, draft, how, stale=stale)
    return {
        "id": draft.id,
        "state": draft.state.value,
        "shape": "bad" if stale else release_view.DRAFT_SHAPES[draft.state],
        "word": texts.say(f"draft.word_{draft.state}"),
        "version": draft.version,
        "sentence": _sentence(draft, how),
        "detail": texts.say("draft.detail", version=draft.version, who=who, where=where),
        "next": following,
        "next_why": why,
        "changes": [_change(view, each) for each in draft.changes],
        "changes_none": texts.say("draft.change_none"),
        "digest": drafts.digest(draft),
        "payload_href": f"/api/v1/drafts/{draft.id}/payload",
        "payload_size": f"{len(draft.payload):,}",
        "have": len(how.counting),
        "needed": how.needed,
        "have_words": texts.say("draft.have", have=len(how.counting), needed=how.needed)
        if draft.state is DraftState.OPEN
        else str(len(draft.signatures)),
        "signers": _signers(view, draft, how),
        "sign_command": texts.say("release.command_sign") if draft.state is DraftState.OPEN and not stale else "",
        "expires_at": when(draft.expires_at),
        "where": where,
        "scope": draft.scope,
        "made_by": who,
        "made_at": when(draft.made_at),
        "changed_at": when(draft.changed_at),
        "discard": _discard(view, draft),
    }


def _sentence(draft: Draft, how: Signing) -> str:
    if draft.state is not DraftState.OPEN:
        return texts.say(f"draft.is_{draft.state}")
    if len(draft.changes) > 1:
        return texts.count("draft.once_many", how.missing, changes=len(draft.changes))
    (said,) = release_view.changes(draft)
    return texts.count("draft.once", how.missing, change=said.removesuffix("."))


def _next(view: View, draft: Draft, how: Signing, *, stale: bool) -> tuple[str, str]:
    if stale:
        return texts.say("draft.stale"), texts.say("draft.stale_why")
    who = release_view.signers(view, draft)
    if draft.state is not DraftState.OPEN:
        return texts.say(f"draft.next_{draft.state}"), texts.say(f"draft.next_{draft.state}_why", who=who)
    said = texts.say("draft.next_open", have=len(how.counting), needed=how.needed)
    if not draft.signatures:
        return said, texts.say("draft.next_unsigned")
    own = any(one.person == view.me for one in draft.signatures)
    why = texts.say("draft.next_signed", who=who)
    return said, f"{why} {texts.say('draft.next_yours')}" if own else why


def _change(view: View, change: Change) -> Data:
    release = change.release
    return {
        "kind": change.kind.value,
        "sentence": release_view.sentence(change),
        "reason": release_view.plainly(change.reason),
        "digest": release_view.digits(release.digest),
        "href": view.link(f"/releases/{release.id}") if view.may(Permission.RELEASE_READ, release.scope) else "",
    }


def _signers(view: View, draft: Draft, how: Signing) -> list[Data]:
    """Return those who signed in the order in which they did, then the keys that did not."""
    signed: list[Data] = [
        {
            "keyid": one.keyid,
            "person": view.person(one.person),
            "own": one.person == view.me,
            "at": when(one.at),
            **_counts(draft, how, one.keyid),
        }
        for one in draft.signatures
    ]
    if draft.state is not DraftState.OPEN:
        return signed
    given = {one.keyid for one in draft.signatures}
    return signed + [
        {"keyid": keyid, "person": "", "own": False, "at": None, "shape": "unknown", "word": texts.say("draft.may")}
        for keyid in how.keyids
        if keyid not in given
    ]


def _counts(draft: Draft, how: Signing, keyid: str) -> Data:
    if draft.state is DraftState.OPEN and keyid not in how.counting:
        return {"shape": "refused", "word": texts.say("draft.gone")}
    return {"shape": "ok", "word": texts.say("draft.signed")}


def _discard(view: View, draft: Draft) -> Data:
    adds = sum(change.kind is ChangeKind.ADD for change in draft.changes)
    reason = ""
    if draft.state is not DraftState.OPEN:
        reason = texts.say(f"draft.discard_{draft.state}")
    reason = reason or release_view.no_right(view, Permission.RELEASE_CREATE, draft.scope)
    lost = texts.count("draft.discard_adds", adds) if adds else texts.say("draft.discard_adds_none")
    said = release_view.deed("discard", "draft", reason, texts.say("draft.discard_why"), style="danger")
    return {**said, "lost": lost}


handlers = [one, discard]
