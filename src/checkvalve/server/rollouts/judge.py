# SPDX-License-Identifier: Apache-2.0
"""May a rollout go on to its next wave, must it wait, or must a person look at it (walk rollout, 10 to 14)?

Rules: 1. one failure in the canary wave pauses it; 2. so do `CAP` failures in any other wave, and more than `PERCENT`
of all devices that finished, once `SAMPLE` of them have, and at the end of a wave however few they are; 3. a wave is
over when `ENOUGH` percent of the devices that can be heard have ended, of the canary wave all; 4. a wave of which
nobody was heard is not over, and neither is a canary wave that was retired whole while others wait for its word;
5. devices that are silent hold up nobody else: they take it on their return, and count then; 6. devices that a person
went on without, or retired, count no more; 7. it is done when every device has ended.
A failure is what a receipt says, or the device itself: refused, rolled back, degraded. Success is a receipt only.
"""

from collections.abc import Sequence

from checkvalve.server.rollouts import waves as waves_of
from checkvalve.server.rollouts.model import Done, GoOn, Halt, Hold, Lane, Ruling

CAP = 3
PERCENT = 5
SAMPLE = 5
ENOUGH = 95


def judge(lanes: Sequence[Lane], waves: int, *, canary: bool) -> Ruling:
    """Judge the waves that are open, in their order; `waves` is how many there are, the first the canary's or not."""
    if not lanes:
        return GoOn(0, "It has begun.") if waves else Done("It has no device.")
    for lane in lanes:
        halt = _failed(lane, canary=canary and lane.wave == 0)
        if halt is not None:
            return halt
    last = lanes[-1]
    over = _over(last, canary=canary, alone=waves == 1)
    rate = _rate(lanes, over=over is None)
    if rate is not None:
        return rate
    if over is not None:
        return over
    if last.wave + 1 < waves:
        return GoOn(last.wave + 1, f"{waves_of.named(last.wave, canary=canary)} is over: {_told(last)}.")
    return _end(lanes)


def _failed(lane: Lane, *, canary: bool) -> Halt | None:
    if canary and lane.failed:
        return Halt("rollout.canary_failed", f"{lane.failed} of {_devices(lane.total)} of the canary wave failed.")
    if lane.failed >= CAP:
        sentence = f"{lane.failed} of {_devices(lane.total)} of a wave failed; it pauses at {CAP}."
        return Halt("rollout.many_failed", sentence)
    return None


def _rate(lanes: Sequence[Lane], *, over: bool) -> Halt | None:
    failed = sum(lane.failed for lane in lanes)
    finished = failed + sum(lane.committed for lane in lanes)
    if failed * 100 <= PERCENT * finished or not (over or finished >= SAMPLE):
        return None
    share = f"{failed} of {_devices(finished)} that finished failed, {failed * 100 / finished:.1f} %"
    return Halt("rollout.rate", f"{share}; it goes on up to {PERCENT} %.")


def _over(lane: Lane, *, canary: bool, alone: bool) -> Hold | None:
    """Return what the newest wave waits for, None if it is over (rules 3, 4); `alone`: there is no other."""
    heard = lane.total - lane.silent - lane.left
    needed = 100 if canary and lane.wave == 0 else ENOUGH
    ended = heard - lane.going
    name = waves_of.named(lane.wave, canary=canary)
    if ended * 100 < needed * heard:
        return Hold("rollout.going", f"{name} waits for {_devices(lane.going)} of {lane.total}.")
    if ended or lane.left > lane.gone:
        return None
    if lane.silent:
        return Hold("rollout.silent", f"{name} waits: none of its {_devices(lane.total)} can be heard.")
    if canary and lane.wave == 0 and not alone:
        return Hold("rollout.gone", f"{name} was retired, and nothing was tried: undo the rollout, or cancel it.")
    return None


def _end(lanes: Sequence[Lane]) -> Ruling:
    going, silent = sum(lane.going for lane in lanes), sum(lane.silent for lane in lanes)
    if going:
        return Hold("rollout.going", f"It waits for the last {_devices(going)}.")
    if silent:
        sentence = f"All others are done; {_devices(silent)} cannot be heard and will take it on their return."
        return Hold("rollout.stragglers", sentence)
    committed, left = sum(lane.committed for lane in lanes), sum(lane.left + lane.failed for lane in lanes)
    besides = f", {_devices(left)} stayed at what they ran" if left else ""
    return Done(f"{_devices(committed)} took it{besides}.")


def _told(lane: Lane) -> str:
    parts = [f"{lane.committed} of {lane.total} took it"]
    parts += [f"{count} {word}" for count, word in _besides(lane) if count]
    return ", ".join(parts)


def _besides(lane: Lane) -> tuple[tuple[int, str], ...]:
    return (lane.failed, "failed"), (lane.left, "left behind"), (lane.going, "under way"), (lane.silent, "silent")


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
