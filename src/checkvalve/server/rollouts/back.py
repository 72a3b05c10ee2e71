# SPDX-License-Identifier: Apache-2.0
"""To what does each device go back when a rollout is undone (walk rollout, 17)?

Rules: 1. one that took the release, or was ordered to, or hangs in between, goes back to what it ran at the start;
2. one that stayed at that, went back to it by itself, or took something else since, is left alone; 3. where nothing
ran before, or what ran was the same, or may not be taken any more, the device stays as it is, and that is said; so does
one that takes no orders any more: retired, or observing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checkvalve.ids import ReleaseId
from checkvalve.server.fleet.model import Trust
from checkvalve.server.rollouts.model import No, Outcome, Passed, Rollout, Seat
from checkvalve.server.supply.model import Release

_DEAF = {Trust.RETIRED: "it is retired.", Trust.OBSERVE: "it observes only."}


@dataclass(frozen=True, slots=True)
class Back:
    """Devices that go back, each with the release it goes to; those that ought to and cannot; and the rest."""

    going: tuple[tuple[Seat, Release], ...]
    staying: tuple[Passed, ...]
    untouched: tuple[Seat, ...]


def plan(
    seats: Sequence[Seat], releases: Mapping[str, Release | str], since: Mapping[str, tuple[ReleaseId, str]]
) -> Back:
    """Return who goes where.

    `releases` has, by digest, what may be taken, or the sentence that says why not; `since` has, by device, what later
    rollouts brought it last: a release, and what filled it.
    """
    goes = [_touched(seat) and _there(seat, since) for seat in seats]
    untouched = [seat for seat, touched in zip(seats, goes, strict=True) if not touched]
    going: list[tuple[Seat, Release]] = []
    staying: list[Passed] = []
    for seat in (seat for seat, touched in zip(seats, goes, strict=True) if touched):
        before = releases.get(seat.member.before, "")
        if isinstance(before, str) or _same(seat, before) or seat.device.trust in _DEAF:
            staying.append(Passed(seat.device, "rollout.no_way_back", _why(seat, before)))
        else:
            going.append((seat, before))
    return Back(tuple(going), tuple(staying), tuple(untouched))


def obstacle(plan: Back, busy: Mapping[str, Rollout]) -> No | None:
    """Return why it cannot be undone, None if it can; `busy` has, by device, the other rollout that is at work on it.

    Where no device has anything to go back from, undoing is ending it, and nothing is in the way.
    """
    held = sorted({repr(busy[seat.device.id].name) for seat, _ in plan.going if seat.device.id in busy})
    if held:
        sentence = f"Its devices are in rollout {', '.join(held[:3])} by now."
        return No("rollout.devices_busy", sentence, "Wait for the end of that, cancel it, or undo it first.")
    if plan.staying and not plan.going:
        one = plan.staying[0]
        sentence = f"None of its devices can go back: {one.device.name} {one.reason}"
        return No("rollout.nothing_back", sentence, "Roll out a release that they can take.")
    return None


def begun(seat: Seat) -> bool:
    """Tell whether the device said that it has taken the order up."""
    return seat.device.attempt == seat.member.attempt


def _same(seat: Seat, before: Release) -> bool:
    """Tell whether it got what it ran: the same release, with nothing to fill it then or now."""
    return before.id == seat.member.release and not seat.member.binding and not seat.member.given_before


def _there(seat: Seat, since: Mapping[str, tuple[ReleaseId, str]]) -> bool:
    got = (seat.member.release, seat.member.binding)
    return since.get(seat.device.id, got) == got


def _touched(seat: Seat) -> bool:
    match seat.member.outcome:
        case Outcome.COMMITTED | Outcome.DEGRADED:
            return True
        case Outcome.OPEN:
            return begun(seat) or seat.ordered  # which it may have taken up, and not yet said so
        case Outcome.REFUSED | Outcome.ROLLED_BACK:
            return False


def _why(seat: Seat, before: Release | str) -> str:
    if seat.device.trust in _DEAF:
        return f"stays: {_DEAF[seat.device.trust]}"
    if not seat.member.before:
        return "stays: nothing ran on it before."
    if isinstance(before, str):
        return f"stays: {before or 'what it ran is no release of this plane.'}"
    return "stays: it ran the same before."
