# SPDX-License-Identifier: Apache-2.0
"""How many devices of each wave are how far (walk rollout, 10)?

Rules: 1. every device counts once: as committed, failed, left behind, silent or going; 2. what has ended is never
silent; 3. a device that hangs in between (degraded) has failed, also while it goes on trying; 4. left behind are those
that failed and that a person went on without, and those that were retired before they ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from checkvalve.server.rollouts.model import FAILED, Lane, Outcome


@dataclass(frozen=True, slots=True)
class Tally:
    """So many devices of a wave that are alike; `step` is the device's own word of this attempt, or empty."""

    wave: int
    outcome: Outcome
    left: bool
    silent: bool
    step: str
    number: int


def lanes(tallies: Iterable[Tally]) -> list[Lane]:
    """Return one lane for each wave, in their order."""
    by_wave: dict[int, list[Tally]] = {}
    for tally in tallies:
        by_wave.setdefault(tally.wave, []).append(tally)
    return [_lane(wave, by_wave[wave]) for wave in sorted(by_wave)]


def did(outcome: Outcome) -> str:
    """Return an outcome as what the device did."""
    match outcome:
        case Outcome.OPEN:
            return "is under way"
        case Outcome.COMMITTED:
            return "took it"
        case Outcome.REFUSED:
            return "refused it"
        case Outcome.ROLLED_BACK:
            return "rolled back"
        case Outcome.DEGRADED:
            return "is degraded"
        case _:
            assert_never(outcome)


def _lane(wave: int, tallies: list[Tally]) -> Lane:
    failed = [each for each in tallies if each.outcome in FAILED]
    not_ended = [each for each in tallies if each.outcome is Outcome.OPEN]
    open_ = [each for each in not_ended if not each.left]
    steps: dict[str, int] = {}
    for each in open_:
        if each.step and not each.silent:
            steps[each.step] = steps.get(each.step, 0) + each.number
    return Lane(
        wave=wave,
        total=_sum(tallies),
        committed=_sum(each for each in tallies if each.outcome is Outcome.COMMITTED),
        failed=_sum(each for each in failed if not each.left),
        left=_sum(each for each in tallies if each.left),
        going=_sum(each for each in open_ if not each.silent),
        silent=_sum(each for each in open_ if each.silent),
        steps=tuple(sorted(steps.items())),
        gone=_sum(each for each in not_ended if each.left),
    )


def _sum(tallies: Iterable[Tally]) -> int:
    return sum(each.number for each in tallies)
