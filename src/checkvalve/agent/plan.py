# SPDX-License-Identifier: Apache-2.0
"""What does this device do next? The only place that decides it (walk attempt, 18).

One move at a time, each decided anew from all that is known: nothing is remembered but what the journal, the disk and
the engine show, and a watch that may be lost. So it does not matter where the last move was cut short, or by what. The
states in groups: before the switch (`fetching`), from the first change to the commit (`switching`), back to last known
good (`returning`), and while no attempt is open (`upkeep`).
"""

from typing import assert_never

from checkvalve.agent import fetching, returning, switching, upkeep
from checkvalve.agent.situation import Situation, watched
from checkvalve.agent.steps import Move, Note
from checkvalve.protocol.exchange import State

__all__ = ["Situation", "move", "watched"]


def move(situation: Situation) -> Move:
    """Return the one thing to do now."""
    position = situation.position
    match position.state:
        case State.IDLE | State.COMMITTED | State.REFUSED | State.ROLLED_BACK:
            if position.next_attempt:
                return Note(
                    State.OFFERED,
                    attempt=position.next_attempt,
                    target=position.next_target,
                    values=position.next_values,
                )
            if position.owed:  # a cure was refused
                return Note(State.DEGRADED, position.code, position.reason)
            return upkeep.move(situation)
        case State.OFFERED | State.FETCHING | State.STAGED:
            return fetching.move(situation)
        case State.WAITING_WINDOW | State.WAITING_PERMIT | State.WAITING_APPROVAL | State.HELD:
            return fetching.move(situation)
        case State.SWITCHING | State.VERIFYING:
            return switching.move(situation)
        case State.ROLLING_BACK | State.DEGRADED:
            return returning.move(situation)
        case _:
            assert_never(position.state)
