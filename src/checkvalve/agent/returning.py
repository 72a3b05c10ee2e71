# SPDX-License-Identifier: Apache-2.0
"""What brings last known good back, whatever is left of it (walk attempt, 15 and 16)?

Rules: 1. if the pointer names the attempt, there is nothing to go back from; 2. everything that is not last known good
comes to rest first: the new containers never had a policy that would start them again; 3. then last known good is
rebuilt whole, from the device's own blobs if it must be, started, and judged (`health`, rule 7); 4. only when it is
right are the new containers removed, and ROLLED_BACK is written with the reason the attempt was turned back for;
5. where nothing ran before, nothing runs after; 6. what cannot be mended is DEGRADED: the tries go on for ever, with a
pause of 5 s at first and 10 min at last, each from the beginning with whatever does not run made anew; 7. while
DEGRADED a newer order is taken up at once: it may be the cure. If it is refused, this goes on (`Position.owed`).
"""

from checkvalve.agent import health, recover, upkeep
from checkvalve.agent.lift import lift
from checkvalve.agent.situation import Situation, calm, note, pause, strangers
from checkvalve.agent.steps import Do, Failure, Fetch, Look, Move, Note, Remove, Rest, Slot
from checkvalve.protocol.exchange import State


def move(situation: Situation) -> Move:
    """Return the next move in ROLLING_BACK or DEGRADED."""
    position = situation.position
    if recover.committed(position, situation.active):  # rule 1
        return Note(State.COMMITTED)
    if position.state is State.DEGRADED:
        if position.next_attempt:  # rule 7
            return Note(
                State.OFFERED, attempt=position.next_attempt, target=position.next_target, values=position.next_values
            )
        left = situation.watching.since + pause(position.tries) - situation.now
        if left > 0:  # rule 6
            return Rest(left, Failure(position.code, position.reason))
    then = _next(situation)
    failure = situation.failure
    if failure is None or situation.failed not in (None, then):
        return then
    if situation.failed == then == _removal(situation):  # last known good is right: `upkeep` goes on with the rest
        return _rolled_back(situation)
    return note(State.DEGRADED, failure)


def _next(situation: Situation) -> Move:
    others = strangers(situation.active, situation.observed)
    if steps := calm(others, situation):  # rule 2
        return Do(steps)
    lifted = None if situation.active is None else _lifted(situation, situation.active)
    return lifted or _removal(situation) or _rolled_back(situation)


def _removal(situation: Situation) -> Do | None:
    others = strangers(situation.active, situation.observed)
    return Do(tuple(Remove(each.name) for each in others)) if others else None


def _lifted(situation: Situation, slot: Slot) -> Move | None:
    """Return what last known good needs next, None when it is right (rule 3)."""
    position = situation.position
    degraded = position.state is State.DEGRADED
    # An engine that was killed in a start never starts that container again: nothing is gained by asking it twice.
    rebuild = degraded and (position.tries > 0 or position.code == "engine.refused")
    found = lift(situation, slot, returning=True, rebuild=rebuild)
    if found.steps:
        return Do(found.steps)
    if degraded and found.fetch and situation.failure is None:
        return Fetch(found.fetch)
    if (failure := upkeep.trouble(found)) is not None:
        return note(State.DEGRADED, failure)
    if found.wait is not None:
        return Look(found.wait)
    match health.judge(situation.watching, slot, situation.now, returning=True):
        case health.Healthy():
            return None
        case health.Failed(failure):
            return note(State.DEGRADED, failure)
        case health.Waiting(seconds):
            return Look(seconds)


def _rolled_back(situation: Situation) -> Note:
    """Return the end of it, with the reason that the attempt was turned back for (rules 4 and 5)."""
    position = situation.position
    why = position.cause or position.reason
    besides = " Nothing ran here before." if situation.active is None else ""
    return Note(State.ROLLED_BACK, position.cause_code or position.code, why + besides)
