# SPDX-License-Identifier: Apache-2.0
"""How is this device, in one word?

Rules: 1. one that is shut out is that and nothing else: what it says is not taken; 2. one that is degraded stays so
while it is silent: somebody must look at it either way; 3. of one that is silent nothing else is known; 4. a refused,
a rolled back and a returning attempt have failed, and so it is until the next one; 5. being late is less than having
failed, and more than being busy: what is in the middle of a change and late is late.
"""

from typing import assert_never

from checkvalve.protocol.exchange import State
from checkvalve.server.fleet.model import Condition, Liveness, Trust

FAILED = frozenset({State.REFUSED, State.ROLLING_BACK, State.ROLLED_BACK})
SETTLED = frozenset({State.IDLE, State.COMMITTED})


def judge(trust: Trust, liveness: Liveness, state: State) -> Condition:
    """Return the condition of a device; lists ask the database by the same rules."""
    match trust:
        case Trust.RETIRED:
            return Condition.RETIRED
        case Trust.QUARANTINED:
            return Condition.QUARANTINED
        case Trust.ACCEPTED | Trust.OBSERVE:
            return _let_in(liveness, state)
        case _:
            assert_never(trust)


def _let_in(liveness: Liveness, state: State) -> Condition:
    if state is State.DEGRADED:
        return Condition.DEGRADED
    match liveness:
        case Liveness.NEVER_SEEN:
            return Condition.NEVER_SEEN
        case Liveness.OFFLINE:
            return Condition.SILENT
        case Liveness.ONLINE | Liveness.LATE:
            return _heard(liveness, state)
        case _:
            assert_never(liveness)


def _heard(liveness: Liveness, state: State) -> Condition:
    if state in FAILED:
        return Condition.FAILED
    if liveness is Liveness.LATE:
        return Condition.LATE
    return Condition.WELL if state in SETTLED else Condition.CHANGING
