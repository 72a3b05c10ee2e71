# SPDX-License-Identifier: Apache-2.0
"""What can the caller do with a rollout, and why not the rest?

Rules: 1. what is shown is what belongs to its part of the life: before the start, after it, after its end; 2. what
cannot be done says why; 3. the one that leads on is marked, where it can be done; 4. what ends or stops something asks
once more.
"""

from typing import assert_never

from checkvalve.server.access.model import Permission
from checkvalve.server.rollouts import moves
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import LIVE, Go, No, Outcome, Planned, Rollout, State, Verdict
from checkvalve.server.rollouts.moves import Move
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, lanes
from checkvalve.server.web.pages.lanes import Sum
from checkvalve.server.web.pages.view import Data, View

_ASK = 8  # of those that failed are asked what they run


def before(view: View, rollout: Rollout, verdict: Verdict, planned: Planned | None, obstacle: No | None) -> list[Data]:
    """Return the verbs until the start (rule 1)."""
    return [_propose(view, rollout), _start(view, rollout, verdict, planned, obstacle), _cancel(view, rollout)]


def after(view: View, rollout: Rollout, found: Sum) -> list[Data]:
    """Return the verbs from the start on; of one that has ended, its undoing (rule 1)."""
    if rollout.state not in LIVE:
        return [_undo(view, rollout)]
    verbs = [_resume(view, rollout, found), _undo(view, rollout), _pause(view, rollout), _cancel(view, rollout)]
    if rollout.state is not State.PAUSED:
        verbs.sort(key=lambda verb: verb["name"] != "pause")
    return verbs


def names(view: View, verdict: Go) -> str:
    """Return who approved."""
    return ", ".join(view.person(one) for one in verdict.by)


def _propose(view: View, rollout: Rollout) -> Data:
    asked = rollout.wanted.approvals
    if rollout.state is not State.DRAFT:
        return _no("propose", texts.say("rollout.propose_not_draft", state=texts.say(f"state.{rollout.state}")))
    if rollout.made_by != view.me:
        return _no("propose", texts.say("rollout.propose_not_own", who=view.person(rollout.made_by)))
    if missing := _missing(view, Permission.ROLLOUT_DRAFT, rollout):
        return _no("propose", missing)
    why = texts.count("rollout.propose_why", asked) if asked else texts.say("rollout.propose_free")
    return _verb("propose", "primary", why)


def _start(view: View, rollout: Rollout, verdict: Verdict, planned: Planned | None, obstacle: No | None) -> Data:
    match verdict:
        case No(sentence=sentence, remedy=remedy):
            return _no("start", f"{sentence} {remedy}".strip())
        case Go() if obstacle is not None or planned is None:
            return _no("start", f"{obstacle.sentence} {obstacle.remedy}".strip() if obstacle else "")
        case Go() if missing := _missing(view, Permission.ROLLOUT_START, rollout):
            return _no("start", missing)
        case Go(by):
            first, everybody = len(planned.waves[0]), lanes.devices(planned.count)
            if len(planned.waves) == 1:
                said = texts.say("rollout.start_all", all=everybody)
            else:
                name = lanes.named(rollout, 0, low=True)
                said = texts.say("rollout.start_first", name=name, n=f"{first:,}", all=everybody)
            why = "rollout.start_why" if by else "rollout.start_free"
            return _verb("start", "primary", texts.say(why, first=said, who=names(view, verdict)))
        case _:
            assert_never(verdict)


def _pause(view: View, rollout: Rollout) -> Data:
    why = _why_not(view, rollout, Move.PAUSE)
    return _no("pause", why) if why else _verb("pause", "", texts.say("rollout.pause_why"), asks=True)


def _resume(view: View, rollout: Rollout, found: Sum) -> Data:
    why = _why_not(view, rollout, Move.RESUME)
    if why:
        return _no("resume", why)
    if not found.failed:
        return _verb("resume", "primary", texts.say("rollout.resume_why"), asks=True)
    label = texts.count("rollout.resume_left", found.failed, runs=_runs(view, rollout))
    return _verb("resume", "", texts.say("rollout.resume_why_left"), asks=True, label=label)


def _undo(view: View, rollout: Rollout) -> Data:
    why = _why_not(view, rollout, Move.UNDO)
    if why:
        return _no("undo", why)
    href = view.link(f"/rollouts/{rollout.id}/undo")
    return {**_verb("undo", "danger", texts.say("rollout.undo_why")), "href": href}


def _cancel(view: View, rollout: Rollout) -> Data:
    if refused := moves.judge(rollout, Move.CANCEL):
        return _no("cancel", f"{refused.sentence} {refused.remedy}".strip())
    if missing := _missing(view, Permission.ROLLOUT_DRAFT, rollout):
        return _no("cancel", missing)
    if rollout.state in LIVE:
        missing = _missing(view, Permission.ROLLOUT_START, rollout)
        why = texts.say("rollout.cancel_started")
        return _no("cancel", missing) if missing else _verb("cancel", "danger", why, asks=True)
    return _verb("cancel", "danger", texts.say("rollout.cancel_why"), asks=True)


def _why_not(view: View, rollout: Rollout, move: Move) -> str:
    refused = moves.judge(rollout, move)
    if refused is not None:
        return f"{refused.sentence} {refused.remedy}".strip()
    return _missing(view, Permission.ROLLOUT_START, rollout)


def _runs(view: View, rollout: Rollout) -> str:
    """Return what those run that failed, if it is one thing that has a name."""
    outcomes = (Outcome.REFUSED, Outcome.ROLLED_BACK)
    seats = rollout_queries.seats(view.tx, rollout.id, outcomes=outcomes, limit=_ASK)
    refs = {seat.device.active for seat in seats if not seat.member.left}
    named = fleet_view.titles(view, refs)
    return fleet_view.runs(refs.pop(), named) if len(refs) == 1 and "" not in refs else texts.say("rollout.resume_runs")


def _verb(name: str, style: str, why: str, *, asks: bool = False, label: str = "") -> Data:
    said = label or texts.say(f"rollout.{name}")
    return {"name": name, "label": said, "style": style, "why": why, "enabled": True, "asks": asks, "href": ""}


def _no(name: str, why: str) -> Data:
    return {**_verb(name, "", why), "enabled": False}


def _missing(view: View, permission: Permission, rollout: Rollout) -> str:
    if view.may(permission, rollout.scope):
        return ""
    return texts.say("rollout.no_right", permission=permission, where=view.where(rollout.scope))
