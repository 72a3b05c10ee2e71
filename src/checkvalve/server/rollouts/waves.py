# SPDX-License-Identifier: Apache-2.0
"""Who goes when (walk rollout, 4)?

Rules: 1. every device goes in exactly one wave; 2. the canary wave, where one is asked for, has at most that many
devices, those heard of lately first, so that it has something to say soon; 3. the rest goes place by place, then by
name, in waves of at most `step`, or all at once; 4. no wave is empty.
"""

from collections.abc import Sequence
from datetime import datetime

from checkvalve.server.fleet import liveness
from checkvalve.server.fleet.model import Device, Liveness
from checkvalve.server.rollouts.model import Plan

_SOONEST = {Liveness.ONLINE: 0, Liveness.LATE: 1, Liveness.OFFLINE: 2, Liveness.NEVER_SEEN: 3}


def split(devices: Sequence[Device], plan: Plan, now: datetime) -> tuple[tuple[Device, ...], ...]:
    """Return the waves, the first first."""
    ordered = sorted(devices, key=lambda one: (_SOONEST[liveness.judge(one.seen_at, one.interval, now)], *_place(one)))
    canary, rest = tuple(ordered[: plan.canary]), sorted(ordered[plan.canary :], key=_place)
    step = plan.step or len(rest) or 1
    parts = [tuple(rest[start : start + step]) for start in range(0, len(rest), step)]
    return tuple(wave for wave in (canary, *parts) if wave)


def named(wave: int, *, canary: bool) -> str:
    """Return what people call a wave, at the beginning of a sentence; those after the canary's count from 1."""
    return "The canary wave" if canary and wave == 0 else f"Wave {wave + (not canary)}"


def _place(device: Device) -> tuple[str, str, str]:
    return device.scope, device.name, device.id
