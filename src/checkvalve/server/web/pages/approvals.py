# SPDX-License-Identifier: Apache-2.0
"""Requests for approval: what waits for the caller, and one of them on a page that shows exactly what would be decided.

Opening a page votes for nobody; a vote is a form of its own and names the digest of what was shown.
"""

from collections.abc import Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import ApprovalId
from checkvalve.protocol import rollout as protocol
from checkvalve.server.access.model import Permission
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import count
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval, Choice, Standing
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts.model import Rollout
from checkvalve.server.suppliers.model import Document
from checkvalve.server.web import texts
from checkvalve.server.web.calls import Call, Called, Place
from checkvalve.server.web.pages import fleet_view, frame, words
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known, when

LIST = Page("approvals.html", "", "approvals.title")
ONE = Page("approval.html", "", "approvals.title")
MOST = 100
ALL = "all"


@get(["/approvals", "/approvals.json"], opt={"permission": Permission.APPROVAL_READ})
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with what waits for the caller, or with `?show=all` they can see."""
    return await frame.show(request, call, LIST, look)


@get("/approvals/{approval_id:str}", opt={"permission": Permission.APPROVAL_READ})
async def one(request: Asked, call: Called, approval_id: FromPath[str]) -> Answer:
    """Answer with one request."""
    return await _one(request, call, approval_id)


@post("/approvals/{approval_id:str}/vote", opt={"permission": Permission.APPROVAL_VOTE})
async def vote(request: Asked, call: Called, approval_id: FromPath[str]) -> Answer | Redirect:
    """Cast the vote that the pressed button names."""

    async def cast(form: Mapping[str, str]) -> None:
        wanted, voter = ApprovalId(approval_id), call.caller.person.id
        choice = Choice.APPROVE if form.get("choice") == Choice.APPROVE else Choice.REJECT
        digest, note = form.get("digest", ""), " ".join(form.get("note", "").split())
        await call.act(
            "approval.vote",
            f"approval:{known(approval_id)}",
            Place(_scope, approval_id),
            lambda tx, act: approval_actions.vote(tx, act, wanted, voter, choice, digest, note),
        )

    return await frame.change(
        request, cast, lambda retry: _one(request, call, approval_id, retry), f"/approvals/{known(approval_id)}"
    )


async def _one(request: Asked, call: Call, approval_id: str, retry: Retry | None = None) -> Answer:
    note = retry.form.get("note", "") if retry else ""
    return await frame.show(request, call, ONE, lambda view: look_at(view, approval_id), retry=retry, note=note)


def look(view: View) -> Data:
    """Return the list's data."""
    everything = view.query.get("show") == ALL
    waiting = view.waiting()
    seen = view.seen(Permission.APPROVAL_READ)
    found = approval_queries.listed(view.tx, seen, limit=MOST) if everything else waiting
    if everything:
        sentence = texts.count("approvals.all", len(found)) if found else texts.say("approvals.all_none")
    else:
        sentence = texts.count("approvals.waiting", len(found)) if found else texts.say("approvals.waiting_none")
    return {
        "sentence": sentence,
        "detail": texts.say("approvals.detail"),
        "empty": texts.say("approvals.all_none" if everything else "today.needs_none"),
        "show": [
            {
                "label": texts.say("approvals.show_waiting"),
                "href": view.link("/approvals"),
                "current": not everything,
            },
            {
                "label": texts.say("approvals.show_all"),
                "href": view.link("/approvals", show=ALL),
                "current": everything,
            },
        ],
        "items": [words.request(view, one, approval_queries.standing(view.tx, one, view.now)) for one in found],
    }


def look_at(view: View, approval_id: str) -> Data:
    """Return one request's data."""
    approval = approval_queries.approval(view.tx, ApprovalId(known(approval_id)), view.seen(Permission.APPROVAL_READ))
    stands = approval_queries.standing(view.tx, approval, view.now)
    votes = approval_queries.votes(view.tx, approval.id)
    rollout, document = view.rollout(approval.subject), view.document(approval.subject)
    who, where = view.person(approval.requester), view.where(approval.scope)
    why_not = _why_not(view, approval, stands, rollout or document)
    mine = [one for one in votes if one.person == view.me]
    stated = words.standing(view, approval, stands)
    if mine and not why_not:
        stated["next"] = f"{texts.say('approval.voted')} {stated['next']}"
    return {
        "id": approval.id,
        "title": texts.say("approval.asks", who=who, name=rollout.name) if rollout else approval.sentence,
        "what": approval.sentence,
        "where": where,
        "scope": approval.scope,
        "requester": who,
        "made_at": when(approval.made_at),
        "expires_at": when(approval.expires_at),
        "open": count.is_open(stands),
        "needed": approval.needed,
        "needed_words": texts.count("approval.people", approval.needed),
        "digest": approval.digest,
        "subject": approval.subject,
        "subject_name": rollout.name if rollout else document.title if document else approval.subject,
        "subject_href": _href(view, rollout, document),
        "intent": intent(view, rollout) if rollout else [],
        "bytes": rollout.intent.decode() if rollout else document.text if document else "",
        "votes": [
            {
                "person": view.person(vote.person),
                "own": vote.person == view.me,
                "choice": vote.choice.value,
                "state": "done" if vote.choice is Choice.APPROVE else "refused",
                "word": texts.say(f"vote.{vote.choice}"),
                "note": vote.note,
                "at": when(vote.at),
            }
            for vote in votes
        ],
        "may_vote": not why_not,
        "why_not": why_not,
        **stated,
    }


def intent(view: View, rollout: Rollout) -> list[Data]:
    """Return what a rollout is to do, as lines of label and value; what was left empty is left out."""
    wanted = rollout.wanted
    ref = wanted.release.partition("@")[2]
    title = fleet_view.titles(view, (ref,)).get(ref)
    hrefs = {"release": view.link(f"/releases/{title.id}")} if title else {}
    lines = (
        ("name", rollout.name, False),
        ("scope", view.where(rollout.scope), False),
        ("release", wanted.release, True),
        ("selector", wanted.selector, True),
        ("plan", protocol.said(wanted.plan.canary, wanted.plan.step), False),
        ("approvals", str(wanted.approvals), False),
        ("change", wanted.change, False),
        ("note", wanted.note, False),
    )
    return [
        {"name": name, "label": texts.say(f"intent.{name}"), "value": value, "mono": mono, "href": hrefs.get(name, "")}
        for name, value, mono in lines
        if value
    ]


def _href(view: View, rollout: Rollout | None, document: Document | None) -> str:
    if rollout is not None:
        return view.link(f"/rollouts/{rollout.id}")
    return view.link(f"/documents/{document.id}") if document is not None else ""


def _why_not(view: View, approval: Approval, stands: Standing, thing: Rollout | Document | None) -> str:
    where = view.where(approval.scope)
    if not count.is_open(stands):
        return texts.say("approval.closed")
    if approval.requester == view.me:
        return texts.say("approval.own", where=where)
    if not view.may(Permission.APPROVAL_VOTE, approval.scope):
        return texts.say("approval.no_right", where=where)
    if thing is None:
        return texts.say("approval.unreadable")
    if (thing.contents if isinstance(thing, Document) else thing.digest) != approval.digest:
        return texts.say("approval.changed")
    return ""


def _scope(tx: Tx, approval_id: str) -> Sequence[str]:
    return (approval_queries.scope_of(tx, ApprovalId(approval_id)),)


handlers = [listed, one, vote]
