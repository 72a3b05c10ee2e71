# SPDX-License-Identifier: Apache-2.0
"""How far has a rollout come, is it safe, what happens next, and what can this caller do about it?

Rules: 1. a sentence first, the reason of the judge or of a person beside it, then what follows; 2. what changes while
it is looked at are parts (`PARTS`), each with the names of its data: a part is the same as long as these are; so
nothing in them says how long ago something was; 3. a rollout that is paused needs a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from checkvalve.protocol import rollout as protocol
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.approvals.model import Standing, Waiting
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.model import LIVE, Go, Hold, Lane, No, Rollout, Ruling, State, Verdict
from checkvalve.server.web import texts
from checkvalve.server.web.pages import approvals, fleet_view, lanes, members, plans, rollout_verbs, times, words
from checkvalve.server.web.pages.lanes import Sum
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

STORY = 20
PARTS: Mapping[str, tuple[str, ...]] = {
    "head": ("name", "sentence", "detail", "shape", "next", "next_why", "next_verb", "undoes", "undone_by", "approval"),
    "waves": ("lanes", "failed", "failed_more"),
    "devices": ("members", "members_said", "members_chips", "members_next", "members_first"),
    "side": ("id", "verbs", "shape", "word", "where", "made_by", "made_at", "started_at", "ended_at"),
    "story": ("story",),
}


@dataclass(frozen=True, slots=True)
class Far:
    """How far it has come: `name` is the ending of the texts that say so."""

    name: str
    shape: str
    word: str


def row(view: View, rollout: Rollout) -> Data:
    """Return one row of the list."""
    standing, verdict = _judged(view, rollout)
    far = _far(rollout, verdict, standing)
    return {**_row(view, rollout, far), "progress": progress(view, rollout)}


def progress(view: View, rollout: Rollout) -> str:
    """Return how far it is in a few words, nothing where there is nothing to count."""
    if rollout.state in LIVE:
        found = rollout_queries.lanes(view.tx, rollout, view.now, view.call.plane.rolling.since)
        return lanes.far(rollout, found)
    return plainly(rollout.reason) if rollout.state is State.DONE else ""


def whole(view: View, rollout: Rollout) -> Data:
    """Return the data of one rollout's page."""
    begun = rollout.started_at is not None
    return _begun(view, rollout) if begun else _to_begin(view, rollout)


def live(rollout: Rollout) -> bool:
    """Tell whether its page follows it."""
    return rollout.state in LIVE


def _to_begin(view: View, rollout: Rollout) -> Data:
    standing, verdict = _judged(view, rollout)
    far = _far(rollout, verdict, standing)
    following, why = _next(view, rollout, far, verdict)
    planned, obstacle = plans.looked(view, rollout) if rollout.state is not State.CANCELLED else (None, None)
    return {
        **_common(view, rollout, far),
        "sentence": texts.say(f"rollout.is_{far.name}", name=rollout.name),
        "detail": texts.say("rollout.detail", who=view.person(rollout.made_by), where=view.where(rollout.scope)),
        "next": following,
        "next_why": why,
        "next_verb": None,
        "verbs": rollout_verbs.before(view, rollout, verdict, planned, obstacle),
        "plan": None if rollout.state is State.CANCELLED else plans.shown(view, rollout, planned, obstacle),
        "lanes": [],
    }


def _begun(view: View, rollout: Rollout) -> Data:
    found, ruling = rollout_queries.progress(view.tx, rollout, view.now, view.call.plane.rolling.since)
    sums = lanes.total(found)
    far = _far(rollout, None, None, ruling)
    following, why = _then(rollout, found, sums, ruling)
    if rollout.state is State.DONE and sums.committed == sums.total:
        far = replace(far, shape="ok")  # nobody stayed behind: each has a receipt that says so
    failing = bool(sums.failed or sums.left)
    nobody: Data = {"failed": [], "failed_more": ""}
    return {
        **_common(view, rollout, far),
        "sentence": texts.say(f"rollout.is_{far.name}", name=rollout.name, far=_counted(view, rollout, sums)),
        "detail": _detail(view, rollout),
        "next": following,
        "next_why": why,
        "next_verb": _next_verb(rollout, sums),
        "lanes": lanes.shown(rollout, found),
        **(members.failures(view, rollout) if failing else nobody),
        **members.listed(view, rollout, sums),
        "verbs": rollout_verbs.after(view, rollout, sums),
        "plan": None,
    }


def _row(view: View, rollout: Rollout, far: Far) -> Data:
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


def _common(view: View, rollout: Rollout, far: Far) -> Data:
    return {
        **_row(view, rollout, far),
        "live": live(rollout),
        "scope": rollout.scope,
        "made_at": when(rollout.made_at),
        "started_at": when(rollout.started_at),
        "ended_at": when(rollout.ended_at),
        "digest": rollout.digest,
        "intent": approvals.intent(view, rollout),
        "approval": {"id": rollout.approval, "href": view.link(f"/approvals/{rollout.approval}")}
        if rollout.approval and rollout.state is State.PROPOSED
        else None,
        "undoes": _other(view, rollout.undoes),
        "undone_by": _other(view, rollout.undone_by),
        "story": _story(view, rollout),
    }


def _judged(view: View, rollout: Rollout) -> tuple[Standing | None, Verdict]:
    standing = rollout_queries.standing(view.tx, rollout, view.now)
    return standing, starts.judge(rollout, standing, rollout_queries.obstacle(view.tx, rollout))


def _far(rollout: Rollout, verdict: Verdict | None, standing: Standing | None, ruling: Ruling | None = None) -> Far:
    match rollout.state:
        case State.DRAFT:
            return Far("draft", "unknown", texts.say("state.draft"))
        case State.PROPOSED:
            if isinstance(verdict, Go):
                return Far("ready", "info", texts.say("rollout.word_ready"))
            if isinstance(standing, Waiting):
                missing = standing.needed - standing.have
                return Far("waiting", "warn", texts.say("rollout.word_waiting", n=missing))
            return Far("stuck", "warn", texts.say("rollout.word_stuck"))
        case State.STARTED:
            silent = isinstance(ruling, Hold) and ruling.code in {"rollout.stragglers", "rollout.silent"}
            return Far("stragglers" if silent else "started", "waits" if silent else "info", texts.say("state.started"))
        case State.PAUSED:
            return Far("paused", "warn", texts.say("rollout.word_paused"))  # rule 3
        case State.DONE:
            return Far("done", "done", texts.say("state.done"))
        case State.UNDONE:
            return Far("undone", "refused", texts.say("state.undone"))
        case State.CANCELLED:
            name = "stopped" if rollout.started_at is not None else "cancelled"
            return Far(name, "refused", texts.say("state.cancelled"))
        case _:
            assert_never(rollout.state)


def _next(view: View, rollout: Rollout, far: Far, verdict: Verdict) -> tuple[str, str]:
    """Return what happens next to one that has not started."""
    said = texts.say(f"rollout.next_{far.name}", who=view.person(rollout.made_by))
    asked = rollout.wanted.approvals
    match far.name:
        case "draft" if asked:
            return said, texts.count("rollout.next_draft_why", asked)
        case "draft":
            return said, texts.say("rollout.next_draft_free")
        case "ready" if isinstance(verdict, Go) and verdict.by:
            return said, texts.say("rollout.next_ready_why", who=rollout_verbs.names(view, verdict))
        case "ready":
            return said, texts.say("rollout.next_ready_free")
        case "cancelled":
            return said, texts.say("rollout.next_cancelled_why")
        case _:
            return said, f"{verdict.sentence} {verdict.remedy}" if isinstance(verdict, No) else ""


def _then(rollout: Rollout, found: Sequence[Lane], sums: Sum, ruling: Ruling | None) -> tuple[str, str]:
    """Return what one that has started waits for, or why it stands; and what comes then (rule 1)."""
    match rollout.state:
        case State.STARTED:
            return plainly(ruling.reason) if ruling is not None else "", _following(rollout, found)
        case State.PAUSED:
            judged = rollout.code != "rollout.by_person"
            return plainly(rollout.reason), texts.say(f"rollout.next_paused_{'judged' if judged else 'person'}")
        case State.DONE:
            stayed = sums.committed < sums.total
            return plainly(rollout.reason), texts.say("rollout.next_done_left" if stayed else "rollout.next_done")
        case State.UNDONE:
            return plainly(rollout.reason), texts.say("rollout.next_undone")
        case _:
            return texts.say("rollout.next_stopped"), texts.say("rollout.next_stopped_why")


def _following(rollout: Rollout, found: Sequence[Lane]) -> str:
    following = rollout.wave + 1
    if following >= rollout.waves:
        return texts.say("rollout.next_end")
    count = lanes.devices(lanes.size(following, found))
    return texts.say("rollout.next_wave", wave=lanes.named(rollout, following, low=True), devices=count)


def _next_verb(rollout: Rollout, sums: Sum) -> Data | None:
    if rollout.state is not State.PAUSED:
        return None
    if sums.failed:
        return {"href": "#failed", "label": texts.say("rollout.see_failed")}
    return {"href": "#verbs", "label": texts.say("rollout.decide")}


def _counted(view: View, rollout: Rollout, sums: Sum) -> str:
    release = release_of(view, rollout)
    far = texts.count("rollout.far", sums.total, committed=f"{sums.committed:,}", release=release)
    return texts.say("rollout.far_failed", far=far, n=f"{sums.failed:,}") if sums.failed else far


def release_of(view: View, rollout: Rollout) -> str:
    """Return what its release is called; of an undo, that its devices had."""
    if rollout.undoes is not None:
        return texts.say("rollout.before")
    ref = rollout.wanted.release.partition("@")[2]
    named = fleet_view.titles(view, (ref,))
    return fleet_view.runs(ref, named) if named else _short(rollout.wanted.release)


def _detail(view: View, rollout: Rollout) -> str:
    moment = times.exact(rollout.started_at) if rollout.started_at else ""
    if rollout.undoes is not None:
        name = str((_other(view, rollout.undoes) or {"name": ""})["name"])
        return texts.say("rollout.detail_undo", who=view.person(rollout.made_by), name=name, when=moment)
    wanted = rollout.wanted
    return texts.say(
        "rollout.detail_started",
        release=release_of(view, rollout),
        selector=wanted.selector,
        where=view.where(rollout.scope),
        plan=protocol.said(wanted.plan.canary, wanted.plan.step),
        when=moment,
    )


def _other(view: View, other: str | None) -> Data | None:
    found = view.rollout(f"rollout:{other}") if other else None
    return {"name": found.name, "href": view.link(f"/rollouts/{found.id}")} if found else None


def _story(view: View, rollout: Rollout) -> list[Data] | None:
    if not view.may(Permission.AUDIT_READ, rollout.scope):
        return None
    seen = access_queries.entries_within(view.reach[Permission.AUDIT_READ])
    found = audit_queries.latest(view.tx, seen, limit=STORY, subject=f"rollout:{rollout.id}")
    return [words.told(view, entry) for entry in found]


def _short(release: str) -> str:
    name, at, digest = release.partition("@sha256:")
    return f"{name} {digest[:12]}" if at else release
