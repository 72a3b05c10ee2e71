# SPDX-License-Identifier: Apache-2.0
"""Rollouts, their waves and their devices, as the plane answers with them."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import assert_never

import msgspec

from checkvalve.errors import ConflictError
from checkvalve.protocol import rollout as forms
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.fleet.model import Device
from checkvalve.server.rollouts import back
from checkvalve.server.rollouts import waves as waves_of
from checkvalve.server.rollouts.back import Back
from checkvalve.server.rollouts.model import (
    FAILED,
    Done,
    Filling,
    GoOn,
    Halt,
    Hold,
    Lane,
    No,
    Outcome,
    Passed,
    Planned,
    Rollout,
    Ruling,
    Seat,
    State,
)
from checkvalve.server.supply.model import Release
from checkvalve.server.web.api.answers import time

WAITING, ORDERED = "waiting", "ordered"

Names = Mapping[str, str]
"""What people are called, by id: of those who drafted what is answered with."""


class Ended(StrEnum):
    """How it ended on devices, as lists are asked for it."""

    OPEN = "open"
    COMMITTED = "committed"
    FAILED = "failed"  # any of the three below
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    DEGRADED = "degraded"


def outcomes(asked: Ended | None) -> Collection[Outcome]:
    """Return what is to be listed; nothing if all is."""
    match asked:
        case None:
            return ()
        case Ended.FAILED:
            return FAILED
        case Ended.OPEN:
            return (Outcome.OPEN,)
        case _:
            return (Outcome(asked.value),)


def rollout(value: Rollout, names: Names) -> forms.Rollout:
    """Answer with a rollout."""
    return forms.Rollout(
        id=value.id,
        scope=value.scope,
        name=value.name,
        state=value.state.value,
        intent=msgspec.json.decode(value.intent),
        digest=value.digest,
        approval=value.approval,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
        changed_at=rfc3339(value.changed_at),
        started_at=time(value.started_at),
        ended_at=time(value.ended_at),
        wave=value.wave,
        waves=value.waves,
        code=value.code,
        reason=value.reason,
        undoes=value.undoes,
        undone_by=value.undone_by,
        made_by_name=names.get(value.made_by, ""),
    )


def progress(value: Rollout, names: Names, lanes: list[Lane], ruling: Ruling | None) -> forms.RolloutProgress:
    """Answer with how far a rollout is; `ruling` is what the judge says of it while it goes on."""
    following, reason = said(ruling) if ruling is not None else ("", value.reason)
    return forms.RolloutProgress(
        rollout=rollout(value, names),
        next=following,
        reason=reason,
        devices=sum(lane.total for lane in lanes),
        waves=[_wave(value, lane) for lane in lanes],
    )


def said(ruling: Ruling) -> tuple[str, str]:
    """Return a ruling as a word and a sentence."""
    match ruling:
        case Hold(_, reason):
            return "hold", reason
        case GoOn(_, reason):
            return "go_on", reason
        case Halt(_, reason):
            return "halt", reason
        case Done(reason):
            return "done", reason
        case _:
            assert_never(ruling)


def state(value: Rollout, seat: Seat) -> str:
    """Return how far one device is: its outcome, the state of its attempt, or that it waits for its order."""
    member = seat.member
    if member.outcome is not Outcome.OPEN:
        return member.outcome.value
    if back.begun(seat):
        return seat.device.state.value
    return ORDERED if value.state is State.STARTED and member.wave <= value.wave else WAITING


def device(value: Rollout, seat: Seat) -> forms.RolloutDevice:
    """Answer with one device of a rollout."""
    member = seat.member
    return forms.RolloutDevice(
        device=seat.device.id,
        name=seat.device.name,
        scope=seat.device.scope,
        wave=member.wave,
        attempt=member.attempt,
        release=member.release,
        before=member.before,
        state=state(value, seat),
        outcome=member.outcome.value,
        code=member.code,
        reason=member.reason,
        left=member.left,
        ended_at=time(member.ended_at),
        seen_at=time(seat.device.seen_at),
    )


def plan(
    value: Rollout,
    names: Names,
    planned: Planned,
    obstacle: No | None,
    *,
    exclusive: Sequence[str] = (),
    copies: Sequence[str] = (),
) -> forms.RolloutPlan:
    """Answer with who would go when.

    `exclusive` says what of its release cannot be on a device twice, `copies` what is copied at the switch.
    """
    return forms.RolloutPlan(
        rollout=rollout(value, names),
        waves=[[_planned(each) for each in wave] for wave in planned.waves],
        passed=[_passed(each) for each in planned.passed],
        obstacle=_obstacle(obstacle),
        lacking=[_lacking(device, filling) for device, filling in planned.short],
        exclusive=list(exclusive),
        copies=list(copies),
    )


def way_back(value: Rollout, names: Names, found: Back, obstacle: No | ConflictError | None) -> forms.RolloutWayBack:
    """Answer with what undoing would do."""
    return forms.RolloutWayBack(
        rollout=rollout(value, names),
        going=[_returning(seat.device, release) for seat, release in found.going],
        staying=[_passed(each) for each in found.staying],
        untouched=[_planned(seat.device) for seat in found.untouched],
        obstacle=_obstacle(obstacle),
    )


def _obstacle(value: No | ConflictError | None) -> forms.Obstacle | None:
    if value is None:
        return None
    return forms.Obstacle(code=value.code, sentence=value.sentence, remedy=value.remedy)


def _passed(value: Passed) -> forms.PassedDevice:
    return forms.PassedDevice(
        device=value.device.id, name=value.device.name, scope=value.device.scope, code=value.code, reason=value.reason
    )


def _lacking(value: Device, filling: Filling) -> forms.LackingDevice:
    old = ["Its agent is too old to read this release."] if filling.old else []
    lacks = [*old, *(lack.sentence for lack in filling.lacks)]
    return forms.LackingDevice(device=value.id, name=value.name, scope=value.scope, lacks=lacks)


def _returning(value: Device, release: Release) -> forms.ReturningDevice:
    to = f"{release.name}@{release.version}"
    return forms.ReturningDevice(device=value.id, name=value.name, scope=value.scope, release=release.id, to=to)


def _planned(value: Device) -> forms.PlannedDevice:
    return forms.PlannedDevice(device=value.id, name=value.name, scope=value.scope)


def _wave(value: Rollout, lane: Lane) -> forms.RolloutWave:
    return forms.RolloutWave(
        wave=lane.wave,
        name=waves_of.named(lane.wave, canary=value.wanted.plan.canary > 0),
        open=lane.wave <= value.wave,
        total=lane.total,
        committed=lane.committed,
        failed=lane.failed,
        left=lane.left,
        going=lane.going,
        silent=lane.silent,
        steps=dict(lane.steps),
    )
