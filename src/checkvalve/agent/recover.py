# SPDX-License-Identifier: Apache-2.0
"""Where does the device stand, and what must be written first after a start of the agent (walk attempt, 17)?

The position is a fold over the journal's events, and over nothing else. Rules of `fold`: 1. only events of kind
`state` move an attempt; one that names another attempt begins that anew; 2. an accepted order for an attempt that is
neither the current one nor ended waits to be taken up; epoch and counter never fall; 3. why an attempt was turned back
stays, whatever happens on the way back, and that last known good is owed outlives the attempt; 4. a start of the agent
counts against an attempt that has not ended, and lets a degraded device try again soon: a power cycle may be what a
person tried. While it waits for people starts do not count: it does nothing, and may wait for a whole season.

Rules of `recover`: 5. the pointer is the only commit point: if it names the attempt, the attempt is committed, whatever
the journal says last; 6. a start within SWITCHING or VERIFYING turns back: what the gate had seen is lost, and a device
that restarts is no sign of health; 7. before SWITCHING nothing has changed, so it goes on, until the attempt has seen
10 starts: then it is refused, for it may be what brings the device down; 8. ROLLING_BACK is repeated; after 28 starts
it is DEGRADED, which says so and goes on trying with pauses.
"""

from dataclasses import replace

from checkvalve.agent.steps import Note, Position, Slot
from checkvalve.agent.waiting import WAITS
from checkvalve.protocol.exchange import ENDED, Event, State

MOST_BOOTS = 10  # before the switch
MOST_BOOTS_BACK = 28  # until last known good runs again
MOST_ENDED = 32  # attempts whose outcome is remembered

_TURNED_BACK = frozenset({State.ROLLING_BACK, State.ROLLED_BACK, State.DEGRADED})
_RESUMED = frozenset(State) - ENDED - _TURNED_BACK - {State.SWITCHING, State.VERIFYING}


def fold(position: Position, event: Event) -> Position:
    """Return the position after `event`. It raises for nothing that an `Event` can hold."""
    match event.kind:
        case "order":
            return _ordered(position, event)
        case "state":
            return _moved(position, event)
        case "boot" if position.state not in ENDED | WAITS:
            return replace(position, boots=position.boots + 1, tries=0)  # rule 4
        case "note" if isinstance(name := event.facts.get("ran"), str):
            return replace(position, ran=position.ran | {name})
        case _:
            return position


def recover(position: Position, active: Slot | None) -> Note | None:
    """Return what to write before anything else after a start of the agent, None if it may just go on."""
    if position.state in ENDED:
        return None
    if committed(position, active):  # rule 5
        return Note(State.COMMITTED)
    match position.state:
        case State.SWITCHING | State.VERIFYING:  # rule 6
            return Note(
                State.ROLLING_BACK,
                "device.restarted",
                "The device, or its agent, restarted before the new release had proved itself.",
            )
        case State.ROLLING_BACK if position.boots > MOST_BOOTS_BACK:  # rule 8
            return Note(State.DEGRADED, "device.restarts", _restarts(position))
        case state if state in _RESUMED - WAITS and position.boots > MOST_BOOTS:  # rule 7
            return Note(State.REFUSED, "device.restarts", _restarts(position) + " Nothing was changed.")
        case _:
            return None


def committed(position: Position, active: Slot | None) -> bool:
    """Tell whether the pointer names the position's attempt."""
    return active is not None and active.attempt == position.attempt


def _ordered(position: Position, event: Event) -> Position:
    counted = max((position.epoch, position.counter), (_number(event, "epoch"), _number(event, "counter")))
    position = replace(position, epoch=counted[0], counter=counted[1])
    if not event.attempt or event.attempt == position.attempt or event.attempt in position.ended:
        return position
    return replace(
        position, next_attempt=event.attempt, next_target=_text(event, "target"), next_values=_text(event, "values")
    )


def _moved(position: Position, event: Event) -> Position:
    attempt = event.attempt or position.attempt
    if attempt != position.attempt:
        position = _begun(position, event)
    again = position.state is event.state is State.DEGRADED
    position = replace(
        position,
        tries=position.tries + again,
        state=event.state,
        release=event.release or position.release,
        target=_text(event, "target") or position.target,
        values=_text(event, "values") or position.values,
        number=_number(event, "number") or position.number,
        code=event.code,
        reason=event.reason,
    )
    if event.state is State.ROLLING_BACK and event.code:  # rule 3
        position = replace(position, cause_code=event.code, cause=event.reason)
    if event.state in {State.DEGRADED, State.ROLLED_BACK, State.COMMITTED}:
        position = replace(position, owed=event.state is State.DEGRADED)
    if event.state in ENDED and event.state is not State.IDLE:
        ended = {**position.ended, attempt: event.state}
        position = replace(position, ended={key: ended[key] for key in sorted(ended)[-MOST_ENDED:]})
    return position


def _begun(position: Position, event: Event) -> Position:
    """Return the position at the beginning of another attempt: what outlives attempts, and nothing else."""
    waits = position.next_attempt != event.attempt
    return Position(
        attempt=event.attempt,
        release=listed(_text(event, "target")),
        epoch=position.epoch,
        counter=position.counter,
        ran=position.ran,
        ended=position.ended,
        owed=position.owed,
        next_attempt=position.next_attempt if waits else "",
        next_target=position.next_target if waits else "",
        next_values=position.next_values if waits else "",
    )


def listed(target: str) -> str:
    """Return the release (`sha256:…`) that a target `ORG/name/HEX.json` lists, "" if it has another form."""
    name, dot, ending = target.rpartition("/")[2].rpartition(".")
    return f"sha256:{name}" if dot and ending == "json" and len(name) == 64 else ""


def _restarts(position: Position) -> str:
    return f"The device, or its agent, restarted {position.boots} times during this attempt."


def _text(event: Event, name: str) -> str:
    value = event.facts.get(name)
    return value if isinstance(value, str) else ""


def _number(event: Event, name: str) -> int:
    value = event.facts.get(name)
    return value if isinstance(value, int) else 0
