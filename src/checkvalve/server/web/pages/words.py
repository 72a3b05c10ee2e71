# SPDX-License-Identifier: Apache-2.0
"""How do entries and approvals read? In words of the domain, with the shape that belongs to their state."""

from collections.abc import Mapping
from typing import assert_never

from checkvalve.canonical import Json
from checkvalve.server.approvals import count
from checkvalve.server.approvals.model import (
    Approval,
    Approved,
    Expired,
    Rejected,
    Standing,
    Used,
    Waiting,
    Withdrawn,
)
from checkvalve.server.audit.model import Entry, Kind
from checkvalve.server.rollouts.model import State
from checkvalve.server.web import texts
from checkvalve.server.web.pages import times
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

_APPROVED = {"rollout": "standing.approved_next", "document": "standing.approved_document"}
SHAPES: Mapping[Kind, str] = {Kind.INTENT: "info", Kind.OUTCOME: "done", Kind.REFUSED: "refused"}


def told(view: View, entry: Entry) -> Data:
    """Return one line of the record: who did what to what."""
    refused = entry.kind is Kind.REFUSED
    did, wanted = texts.TOLD.get(entry.action, (entry.action, entry.action))
    choice = _part(entry.facts, "after").get("choice")
    if entry.action == "approval.vote" and choice in {"approve", "reject"}:
        did = texts.say(f"vote.{choice}")
    return {
        "id": entry.id,
        "at": when(entry.at),
        "kind": entry.kind.value,
        "state": SHAPES[entry.kind],
        "actor": _actor(view, entry),
        "verb": f"{texts.COULD_NOT} {wanted}" if refused else did,
        "object": "" if refused else _object(view, entry),
        "refused": str(entry.facts.get("sentence", "")) if refused else "",
        "action": entry.action,
        "where": view.where(entry.scope),
        "href": view.link(f"/audit/{entry.id}"),
    }


def standing(view: View, approval: Approval, stands: Standing) -> Data:
    """Return where an approval stands: shape, word, sentence, and what that means."""
    due = times.relative(approval.expires_at, view.now)
    match stands:
        case Waiting(have, needed):
            following = texts.count("standing.waiting_next", needed - have, due=due)
            return _stands("warn", "waiting", following, have=have, needed=needed)
        case Approved(by):
            people = ", ".join(view.person(one) for one in by)
            return _stands(
                "ok", "approved", texts.say(_APPROVED.get(_noun(approval), _APPROVED["rollout"]), due=due), who=people
            )
        case Rejected(by, note):
            said = f"{texts.say('standing.rejected_note', note=note)} " if note else ""
            return _stands("refused", "rejected", said + _after(view, approval, "rejected"), who=view.person(by))
        case Expired(at):
            return _stands("refused", "expired", _after(view, approval, "expired"), when=times.relative(at, view.now))
        case Used(at):
            return _stands("done", "used", texts.say("standing.used_next"), when=times.relative(at, view.now))
        case Withdrawn(at):
            return _stands("done", "withdrawn", texts.say("standing.withdrawn_next"), when=times.relative(at, view.now))
        case _:
            assert_never(stands)


def request(view: View, approval: Approval, stands: Standing) -> Data:
    """Return one row of a list of approvals."""
    rollout = view.rollout(approval.subject)
    return {
        "id": approval.id,
        "title": rollout.name if rollout else approval.sentence,
        "what": approval.sentence,
        "where": view.where(approval.scope),
        "asked_by": view.person(approval.requester),
        "since": when(approval.made_at),
        "due": when(approval.expires_at),
        "open": count.is_open(stands),
        "href": view.link(f"/approvals/{approval.id}"),
        **standing(view, approval, stands),
    }


def _noun(approval: Approval) -> str:
    return approval.subject.partition(":")[0]


def _of_device(facts: Mapping[str, Json]) -> str:
    """Return what an entry on a change or a small order of one device is about."""
    if "kind" in facts:
        return small_order(str(facts["kind"]), str(facts.get("service", "")))
    outcome = str(facts.get("outcome", ""))
    return texts.EN.get(f"attempt.{outcome}", outcome)


def small_order(kind: str, service: str) -> str:
    """Return what a small order is: `Logs of historian`; of a kind that is not known, its name."""
    name = "errand.title_logs_all" if kind == "logs" and not service else f"errand.title_{kind}"
    return texts.EN.get(name, kind).format(service=plainly(service))


def _after(view: View, approval: Approval, name: str) -> str:
    """Return what is left to do about an approval that will never be given: nothing, once its rollout is over."""
    rollout = view.rollout(approval.subject)
    waits = rollout is not None and rollout.state is State.PROPOSED
    return texts.say(f"standing.{name}_next" if waits else "standing.over")


def _stands(state: str, name: str, following: str, **values: object) -> Data:
    return {
        "state": state,
        "standing_name": name,
        "word": texts.say(f"standing.{name}", **values),
        "standing": texts.say(f"standing.{name}_is", **values),
        "next": following,
    }


def _actor(view: View, entry: Entry) -> str:
    actor = entry.actor
    if actor.kind in {"plane", "device"} or not actor.id:
        return actor.name or actor.id
    name = view.person(actor.id)
    return f"{name} ({texts.say('actor.token')})" if actor.kind == "token" else name


def _object(view: View, entry: Entry) -> str:
    facts = entry.facts
    after, before = _part(facts, "after"), _part(facts, "before")
    match entry.action:
        case "binding.create" | "binding.revoke":
            said = after or before
            person, where = view.person(str(said.get("person", ""))), view.where(str(said.get("scope", "/")))
            return texts.say(f"told.{entry.action}", role=said.get("role", ""), person=person, where=where)
        case "approval.vote":
            rollout = view.rollout(str(facts.get("subject", "")))
            return rollout.name if rollout else str(facts.get("sentence", ""))
        case "session.sign_in":
            return str(facts.get("address", ""))
        case "rollout.wave" | "rollout.pause" | "rollout.resume" | "rollout.undo" if facts.get("reason"):
            return f"{facts.get('name', '')} ({plainly(str(facts['reason']))})"
        case "device.invite" | "device.revoke_invite":
            return view.where(entry.scope)
        case "session.sign_out" | "device.join" | "device.renew" | "device.observe" | "device.journal":
            return ""
        case "hold.hang" | "hold.lift":
            return plainly(str((after or before).get("reason", "")))
        case "device.receipt" | "errand.order" | "errand.cancel" | "errand.end" | "errand.lose":
            return _of_device(facts)
        case "scope.rename" | "person.rename":
            return f"{before.get('name', '')} -> {after.get('name', '')}"
        case _:
            said_name = facts.get("name") or after.get("name") or after.get("label") or before.get("label")
            return str(said_name or facts.get("login") or "")


def _part(facts: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    part = facts.get(name)
    return part if isinstance(part, Mapping) else {}
