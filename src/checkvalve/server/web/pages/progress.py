# SPDX-License-Identifier: Apache-2.0
"""How far has a rollout come, what happens next, and what can this caller do about it?"""

from dataclasses import dataclass
from typing import assert_never

from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.approvals.model import Standing, Waiting
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.model import Go, No, Rollout, State, Verdict
from checkvalve.server.web import texts
from checkvalve.server.web.pages import approvals, words
from checkvalve.server.web.pages.view import Data, View, when

STORY = 20


@dataclass(frozen=True, slots=True)
class Far:
    """How far it has come: `name` is the ending of the texts that say so."""

    name: str
    shape: str
    word: str


def row(view: View, rollout: Rollout) -> Data:
    """Return one row of the list."""
    standing = rollout_queries.standing(view.tx, rollout, view.now)
    far = _far(rollout, starts.judge(rollout, standing, rollout_queries.obstacle(view.tx, rollout)), standing)
    return {
        "id": rollout.id,
        "name": rollout.name,
        "state": rollout.state.value,
        "far": far.name,
        "shape": far.shape,
        "word": far.word,
        "release": _short(rollout.wanted.release),
        "where": view.where(rollout.scope),
        "made_by": view.person(rollout.made_by),
        "changed_at": when(rollout.changed_at),
        "href": view.link(f"/rollouts/{rollout.id}"),
    }


def whole(view: View, rollout: Rollout) -> Data:
    """Return the data of one rollout's page."""
    standing = rollout_queries.standing(view.tx, rollout, view.now)
    verdict = starts.judge(rollout, standing, rollout_queries.obstacle(view.tx, rollout))
    far = _far(rollout, verdict, standing)
    following, why = _next(view, rollout, far, verdict)
    return {
        **row(view, rollout),
        "sentence": texts.say(f"rollout.is_{far.name}", name=rollout.name),
        "detail": texts.say("rollout.detail", who=view.person(rollout.made_by), where=view.where(rollout.scope)),
        "scope": rollout.scope,
        "made_at": when(rollout.made_at),
        "digest": rollout.digest,
        "intent": approvals.intent(view, rollout),
        "next": following,
        "next_why": why,
        "approval": {"id": rollout.approval, "href": view.link(f"/approvals/{rollout.approval}")}
        if rollout.approval
        else None,
        "verbs": [_propose(view, rollout), _start(view, rollout, verdict), _cancel(view, rollout)],
        "story": _story(view, rollout),
    }


def _far(rollout: Rollout, verdict: Verdict, standing: Standing | None) -> Far:
    match rollout.state:
        case State.DRAFT:
            return Far("draft", "unknown", texts.say("state.draft"))
        case State.STARTED:
            return Far("started", "info", texts.say("state.started"))
        case State.CANCELLED:
            return Far("cancelled", "done", texts.say("state.cancelled"))
        case State.PROPOSED:
            if isinstance(verdict, Go):
                return Far("ready", "info", texts.say("rollout.word_ready"))
            if isinstance(standing, Waiting):
                missing = standing.needed - standing.have
                return Far("waiting", "warn", texts.say("rollout.word_waiting", n=missing))
            return Far("stuck", "warn", texts.say("rollout.word_stuck"))
        case _:
            assert_never(rollout.state)


def _next(view: View, rollout: Rollout, far: Far, verdict: Verdict) -> tuple[str, str]:
    said = texts.say(f"rollout.next_{far.name}", who=view.person(rollout.made_by))
    asked = rollout.wanted.approvals
    match far.name:
        case "draft" if asked:
            return said, texts.count("rollout.next_draft_why", asked)
        case "draft":
            return said, texts.say("rollout.next_draft_free")
        case "ready" if isinstance(verdict, Go) and verdict.by:
            return said, texts.say("rollout.next_ready_why", who=_names(view, verdict))
        case "ready":
            return said, texts.say("rollout.next_ready_free")
        case "started" | "cancelled":
            return said, texts.say(f"rollout.next_{far.name}_why")
        case _:
            return said, f"{verdict.sentence} {verdict.remedy}" if isinstance(verdict, No) else ""


def _propose(view: View, rollout: Rollout) -> Data:
    asked = rollout.wanted.approvals
    enabled = False
    if rollout.state is not State.DRAFT:
        why = texts.say("rollout.propose_not_draft", state=texts.say(f"state.{rollout.state}"))
    elif rollout.made_by != view.me:
        why = texts.say("rollout.propose_not_own", who=view.person(rollout.made_by))
    elif missing := _missing(view, Permission.ROLLOUT_DRAFT, rollout):
        why = missing
    else:
        enabled = True
        why = texts.count("rollout.propose_why", asked) if asked else texts.say("rollout.propose_free")
    return _verb("propose", "primary" if enabled else "", why, enabled=enabled)


def _start(view: View, rollout: Rollout, verdict: Verdict) -> Data:
    missing = _missing(view, Permission.ROLLOUT_START, rollout)
    match verdict:
        case No(sentence=sentence, remedy=remedy):
            return _verb("start", "", f"{sentence} {remedy}".strip(), enabled=False)
        case Go() if missing:
            return _verb("start", "", missing, enabled=False)
        case Go(by):
            why = texts.say("rollout.start_why", who=_names(view, verdict)) if by else texts.say("rollout.start_free")
            return _verb("start", "primary", why, enabled=True)
        case _:
            assert_never(verdict)


def _cancel(view: View, rollout: Rollout) -> Data:
    if rollout.state is State.STARTED:
        return _verb("cancel", "", texts.say("rollout.cancel_started"), enabled=False)
    if rollout.state is State.CANCELLED:
        return _verb("cancel", "", texts.say("rollout.cancel_done"), enabled=False)
    if missing := _missing(view, Permission.ROLLOUT_DRAFT, rollout):
        return _verb("cancel", "", missing, enabled=False)
    return _verb("cancel", "danger", texts.say("rollout.cancel_why"), enabled=True)


def _verb(name: str, style: str, why: str, *, enabled: bool) -> Data:
    return {"name": name, "label": texts.say(f"rollout.{name}"), "style": style, "why": why, "enabled": enabled}


def _missing(view: View, permission: Permission, rollout: Rollout) -> str:
    if view.may(permission, rollout.scope):
        return ""
    return texts.say("rollout.no_right", permission=permission, where=view.where(rollout.scope))


def _story(view: View, rollout: Rollout) -> list[Data] | None:
    if not view.may(Permission.AUDIT_READ, rollout.scope):
        return None
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    found = audit_queries.latest(view.tx, seen, limit=STORY, subject=f"rollout:{rollout.id}")
    return [words.told(view, entry) for entry in found]


def _names(view: View, verdict: Go) -> str:
    return ", ".join(view.person(one) for one in verdict.by)


def _short(release: str) -> str:
    name, at, digest = release.partition("@sha256:")
    return f"{name} {digest[:12]}" if at else release
