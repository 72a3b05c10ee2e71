# SPDX-License-Identifier: Apache-2.0
"""Which devices does a rollout have, how far is each, and why did some fail?

Rules: 1. those that failed are grouped by what they said of why, with the last lines of one of each, from its receipt,
whose signature is checked anew; 2. what a device told is shown to whoever may see devices; 3. of one that is not heard
any more, what it said is said to be old.
"""

from collections.abc import Sequence

from checkvalve.server.access.model import Permission
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.rollouts import back
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import FAILED, Outcome, Rollout, Seat, State
from checkvalve.server.web import texts
from checkvalve.server.web.pages import device_told, fleet_view, lanes, render
from checkvalve.server.web.pages.lanes import Sum
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, when

MOST = 200
GROUPED = 200  # of those that failed
GROUPS = 6
SHAPES = {Outcome.COMMITTED: "ok", Outcome.REFUSED: "warn", Outcome.ROLLED_BACK: "bad", Outcome.DEGRADED: "bad"}
CHOICES: dict[str, tuple[Outcome, ...]] = {
    "": (),
    "open": (Outcome.OPEN,),
    "committed": (Outcome.COMMITTED,),
    "failed": tuple(sorted(FAILED)),
}


def listed(view: View, rollout: Rollout, found: Sum) -> Data:
    """Return the devices wave by wave, those of `?outcome=`, from `?after=` on."""
    chosen = view.query.get("outcome", "") if view.query.get("outcome") in CHOICES else ""
    after = view.query.get("after", "")
    seats = rollout_queries.seats(
        view.tx,
        rollout.id,
        outcomes=CHOICES[chosen],
        limit=MOST + 1,
        after=after,
        seen=view.reach[Permission.ROLLOUT_READ],
    )
    page, more = seats[:MOST], len(seats) > MOST
    named = fleet_view.titles(view, (seat.member.before for seat in page))
    here = f"/rollouts/{rollout.id}"
    numbers = {"": found.total, "open": found.open, "committed": found.committed, "failed": found.failed + found.left}
    number = numbers[chosen]
    partly = more or bool(after)
    return {
        "members": [row(view, rollout, seat, fleet_view.runs(seat.member.before, named)) for seat in page],
        "members_said": texts.say("members.shown", n=len(page), all=f"{number:,}")
        if partly
        else texts.count("members.shown_all", len(page)),
        "members_chips": [
            {
                "label": _chip(name, count),
                "href": view.link(here, outcome=name) + "#devices",
                "current": name == chosen,
            }
            for name, count in numbers.items()
        ],
        "members_next": view.link(here, outcome=chosen, after=page[-1].device.id) + "#devices" if more else "",
        "members_first": view.link(here, outcome=chosen) + "#devices" if after else "",
    }


def row(view: View, rollout: Rollout, seat: Seat, before: str = "") -> Data:
    """Return one device of it."""
    shape, word = how(view, rollout, seat)
    sees = view.may(Permission.DEVICE_READ, seat.device.scope)
    return {
        "id": seat.device.id,
        "name": plainly(seat.device.name),
        "where": view.where(seat.device.scope),
        "wave": seat.member.wave,
        "wave_name": lanes.named(rollout, seat.member.wave),
        "outcome": seat.member.outcome.value,
        "left": seat.member.left,
        "shape": shape,
        "word": texts.say("members.left", word=word) if seat.member.left else word,
        "reason": plainly(seat.member.reason)[: fleet_view.REASON],
        "before": texts.say("members.before", runs=before) if before else "",
        "ended_at": when(seat.member.ended_at),
        "href": view.link(f"/devices/{seat.device.id}") if sees else "",
    }


def how(view: View, rollout: Rollout, seat: Seat) -> tuple[str, str]:
    """Return the shape and the word of how far a device is with this rollout (rule 3)."""
    member = seat.member
    if member.outcome is not Outcome.OPEN:
        return SHAPES[member.outcome], texts.say(f"attempt.{member.outcome}")
    if back.begun(seat):
        said = fleet_view.attempt(view, seat.device)
        shape = str(said["state_shape"])
        return ("info" if shape == "ok" else shape), str(said["state_word"])
    if rollout.state not in {State.STARTED, State.PAUSED}:
        return "done", texts.say("members.never")
    if member.wave > rollout.wave:
        return "waits", texts.say("members.waiting")
    if rollout.state is State.PAUSED:
        return "waits", texts.say("members.held")
    heard = fleet_view.is_heard(view, seat.device)
    return ("info" if heard else "unknown"), texts.say("members.ordered" if heard else "wave.silent")


def failures(view: View, rollout: Rollout) -> Data:
    """Return those that failed by what they said of why, the most common first (rule 1)."""
    sees = view.reach[Permission.ROLLOUT_READ]
    seats = rollout_queries.seats(view.tx, rollout.id, outcomes=CHOICES["failed"], limit=GROUPED + 1, seen=sees)
    groups: dict[tuple[str, str, str, bool], list[Seat]] = {}
    for seat in seats[:GROUPED]:
        member = seat.member
        groups.setdefault((member.outcome.value, member.code, member.reason, member.left), []).append(seat)
    ordered = sorted(groups.values(), key=lambda group: (group[0].member.left, -len(group)))
    return {
        "failed": [_group(view, group) for group in ordered[:GROUPS]],
        "failed_more": texts.say("failed.more", n=GROUPED) if len(seats) > GROUPED or len(ordered) > GROUPS else "",
    }


def _group(view: View, group: Sequence[Seat]) -> Data:
    one = group[0]
    member, device = one.member, one.device
    name, reason = plainly(device.name), plainly(member.reason) or texts.say("device.no_reason")
    sees = view.may(Permission.DEVICE_READ, device.scope)
    kept = fleet_queries.receipts(view.tx, device.id, attempt=member.attempt, limit=1) if sees else []
    href = view.link(f"/devices/{device.id}") if sees else ""
    return {
        "number": len(group),
        "code": plainly(member.code),
        "reason": reason,
        "sentence": texts.count("failed.sentence", len(group), device=name, reason=reason),
        "shape": SHAPES[member.outcome],
        "word": texts.say(f"attempt.{member.outcome}"),
        "left": member.left,
        "device": name,
        "href": href,
        "receipt_href": render.link(f"/devices/{device.id}", receipt=kept[0].digest) + "#receipt" if kept else "",
        "logs": device_told.last_lines(device, kept[0]) if kept else [],
        "nothing": "" if kept else texts.say("failed.no_receipt" if sees else "failed.unseen"),
    }


def _chip(name: str, number: int) -> str:
    if not name:
        return texts.say("members.all", n=f"{number:,}")
    return texts.say("members.chip", n=f"{number:,}", word=texts.say(f"members.{name}"))
