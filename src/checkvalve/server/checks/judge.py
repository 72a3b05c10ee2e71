# SPDX-License-Identifier: Apache-2.0
"""What a check says at a moment, and what several say together. Unknown never counts as well."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from checkvalve.server.checks.model import Check, Run, State, Verdict

FRESH = timedelta(days=7)  # a measurement that is older says nothing about now
WORST = tuple(State)  # the first is the worst; what does not apply comes last


def verdict(check: Check, run: Run | None, now: datetime) -> Verdict:
    """Return what is known about a check at `now`, by its newest run; None is no run."""
    if run is None:
        return Verdict(State.NOT_ENOUGH_DATA, check.waits)
    if run.at > now:
        return Verdict(State.ERROR, "It ran at a time that is still to come: look at the plane's clock.")
    if run.outcome in (State.PASS, State.FAIL) and now - run.at > FRESH:
        return Verdict(State.STALE, f"It last ran on {run.at.date()}, and said then: {run.reason}")
    return Verdict(run.outcome, run.reason)


def all_of(checks: Iterable[Check], runs: Mapping[str, Run], now: datetime) -> Mapping[str, Verdict]:
    """Return what is known about each check, by id; `runs` holds the newest of each that ever ran."""
    return {check.id: verdict(check, runs.get(check.id), now) for check in checks}


def together(states: Sequence[State]) -> State | None:
    """Return what several checks say as one: the worst of those that apply; None of no checks."""
    if not states:
        return None
    return min(states, key=WORST.index)


def counts(states: Iterable[State]) -> Mapping[State, int]:
    """Return how many are in each state, those with none left out, the worst first."""
    found = list(states)
    return {state: found.count(state) for state in WORST if state in found}
