# SPDX-License-Identifier: Apache-2.0
"""What is known about a requirement, by the checks that answer it. Never a percentage alone: counts of states."""

from collections.abc import Mapping

from checkvalve.server.checks import judge
from checkvalve.server.checks.model import State, Verdict
from checkvalve.server.frameworks.model import Answer, Coverage, Framework, Requirement

_SENTENCES = {
    State.FAIL: "At least one of its checks fails: {ids}.",
    State.ERROR: "At least one of its checks could not run: {ids}.",
    State.STALE: "At least one of its checks has not run for too long: {ids}.",
    State.NOT_ENOUGH_DATA: "Some of its checks have no data yet: {ids}.",
    State.PASS: "All of its checks pass: {ids}.",
    State.NOT_APPLICABLE: "None of its checks applies here: {ids}.",
}


def answer(requirement: Requirement, verdicts: Mapping[str, Verdict]) -> Answer:
    """Return what is known about a requirement; the worst of its checks counts.

    One that only people can attest is never shown as passed by data alone: then it has no state.
    """
    states = [verdicts[check].state for check in requirement.checks]
    state = judge.together(states)
    if state is None:
        return Answer(None, "No check answers this: it counts as far as people declare it.")
    if state is State.PASS and requirement.coverage is Coverage.ATTESTED:
        return Answer(None, "Its checks pass, and yet only people can say this: it counts as far as they declare it.")
    ids = [check for check, each in zip(requirement.checks, states, strict=True) if each is state]
    return Answer(state, _SENTENCES[state].format(ids=", ".join(ids)))


def counts(framework: Framework, verdicts: Mapping[str, Verdict]) -> Mapping[State | None, int]:
    """Return how many requirements of a framework are in each state, the worst first; None: only declared."""
    found = [answer(each, verdicts).state for each in framework.requirements]
    order: list[State | None] = [*judge.WORST, None]
    return {state: found.count(state) for state in order if state in found}
