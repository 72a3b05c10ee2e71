# SPDX-License-Identifier: Apache-2.0
"""How is this device, in one word?

Rules: 1. one that is shut out is that and nothing else: what it says is not taken; 2. one that is degraded stays so
while it is silent: somebody must look at it either way; 3. of one that is silent nothing else is known; 4. a refused,
a rolled back and a returning attempt have failed, and so it is until the next one; 5. being late is less than having
failed, and more than being busy: what is in the middle of a change and late is late; 6. a service that dies again and
again is worse than an attempt that failed: what ran before goes on after the one and not with the other, and a failure
may be weeks old. It counts until the device says that a day was quiet; while it switches it says that none dies.
"""

from typing import assert_never

from checkvalve.protocol.exchange import State
from checkvalve.server.fleet.model import Condition, Liveness, Trust

FAILED = frozenset({State.REFUSED, State.ROLLING_BACK, State.ROLLED_BACK})
SETTLED = frozenset({State.IDLE, State.COMMITTED})


def judge(trust: Trust, liveness: Liveness, state: State, crashing: int) -> Condition:
    """Return the condition of a device; lists ask the database by the same rules.

    `crashing` is how many of its services crash, by its own last word.
    """
    match trust:
        case Trust.RETIRED:
            return Condition.RETIRED
        case Trust.QUARANTINED:
            return Condition.QUARANTINED
        case Trust.ACCEPTED | Trust.OBSERVE:
            return _let_in(liveness, state, crashing)
        case _:
            assert_never(trust)


def _let_in(liveness: Liveness, state: State, crashing: int) -> Condition:
    if state is State.DEGRADED:
        return Condition.DEGRADED
    match liveness:
        case Liveness.NEVER_SEEN:
            return Condition.NEVER_SEEN
        case Liveness.OFFLINE:
            return Condition.SILENT
        case Liveness.ONLINE | Liveness.LATE:
            return Condition.CRASHING if crashing else _heard(liveness, state)
        case _:
            assert_never(liveness)


def _heard(liveness: Liveness, state: State) -> Condition:
    if state in FAILED:
        return Condition.FAILED
    if liveness is Liveness.LATE:
        return Condition.LATE
    return Condition.WELL if state in SETTLED else Condition.CHANGING
