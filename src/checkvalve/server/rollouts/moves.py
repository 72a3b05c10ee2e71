# SPDX-License-Identifier: Apache-2.0
"""May a person pause, resume, cancel or undo this rollout now (walk rollout, 15 to 18)?

Rules: 1. what goes on may be paused, what is paused may go on; 2. whatever has not ended may be cancelled: its devices
stay as they are; 3. what was started may be undone, once, also long after; 4. an undo is no rollout to be undone: the
release that it took back may be rolled out again; 5. whoever pauses, resumes or undoes may say why, on one line.
"""

from enum import StrEnum

from checkvalve import lines
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.server.audit.model import Actor
from checkvalve.server.rollouts.model import LIVE, Rollout, State

LONGEST_REASON = 500
BY_PERSON = "rollout.by_person"  # the code of a pause


class Move(StrEnum):
    """What a person may do with a rollout that was proposed."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    UNDO = "undo"


_FROM: dict[Move, frozenset[State]] = {
    Move.PAUSE: frozenset({State.STARTED}),
    Move.RESUME: frozenset({State.PAUSED}),
    Move.CANCEL: frozenset({State.DRAFT, State.PROPOSED}) | LIVE,
    Move.UNDO: frozenset({State.DONE, State.CANCELLED}) | LIVE,
}
_IS: dict[State, tuple[str, str]] = {
    State.DRAFT: ("has not started", "Propose it, then start it."),
    State.PROPOSED: ("has not started", "Start it, or cancel it."),
    State.STARTED: ("goes on already", "Watch it, or pause it."),
    State.PAUSED: ("is paused already", "Resume it, undo it, or cancel it."),
    State.DONE: ("is done", "Undo it, if the devices are to go back."),
    State.UNDONE: ("was undone", "Draft it anew, if the release is to come after all."),
    State.CANCELLED: ("was cancelled", "Draft it anew."),
}


def judge(rollout: Rollout, move: Move) -> ConflictError | None:
    """Return why the move may not be made, with the code `rollout.is_<state>` or `rollout.is_undo`; None if it may."""
    said, remedy = _IS[rollout.state]
    never_began = move is Move.UNDO and rollout.started_at is None
    if rollout.state not in _FROM[move] or never_began:
        return ConflictError(f"rollout.is_{rollout.state.value}", f"The rollout {said}.", remedy)
    if move is Move.UNDO and rollout.undoes is not None:  # rule 4
        return ConflictError(
            "rollout.is_undo", "This rollout is an undo itself.", "Roll the release out again that it took back."
        )
    return None


def reason(text: str) -> str:
    """Return a reason as it is kept, empty if none is given; `InvalidError` (`rollout.reason`)."""
    tidy = lines.tidy(text, LONGEST_REASON)
    if len(tidy) > LONGEST_REASON or not lines.plain(tidy):
        raise InvalidError(
            "rollout.reason", f"A reason is one line of at most {LONGEST_REASON} characters.", "Shorten it."
        )
    return tidy


def by_person(actor: Actor, text: str) -> str:
    """Return who did it and why, as a rollout shows it; the record has the token too. Raises as `reason` does."""
    who = actor.name.partition(" ")[0] if actor.kind == "token" else actor.name  # a login holds no blanks
    why = reason(text)
    return f"{who}: {why}" if why else f"{who} gave no reason."
