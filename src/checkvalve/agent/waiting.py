# SPDX-License-Identifier: Apache-2.0
"""May what is staged be switched to now, as far as people and plant have a say (walk attempt, 8)?

Rules: 1. a lock-out tag stops it, the plane's as well as one hung at the device; 2. then the window: if the policy
wants one, it must stay open for as long as the switch and the gate may take; 3. then the permit to change, and anything
but a clear yes is no, whoever is in a hurry; 4. a yes is good for two seconds from the moment it was *asked* for, and
for the permit that the policy names now. It is used up by the record of SWITCHING, before any step is taken; after that
it is not asked again, for half a switch is worse than a whole one; 5. what cannot be read is a no, with a code of its
own; 6. while it waits, the permit is asked again every 10 s, after ten minutes every 60 s. Tags and windows count at
once when they change; 7. who says yes is asked once more a second later, for a contact that bounces is no clear yes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from checkvalve.agent.findings import own_grace
from checkvalve.agent.policy import Permit, Policy
from checkvalve.agent.steps import Failure, Slot
from checkvalve.protocol.exchange import State, Tag

GOOD = 2.0  # seconds for which a yes is good
AGAIN = 1.0  # seconds from a yes to the asking that has to confirm it
OFTEN, SELDOM = 10.0, 60.0  # seconds between two askings
AT_FIRST = 600.0  # seconds of waiting, after which it is asked less often

WAITS = frozenset({State.WAITING_WINDOW, State.WAITING_PERMIT, State.WAITING_APPROVAL, State.HELD})
"""Everything is here, and somebody has to say yes. Nothing is done meanwhile, so nothing of it can do harm."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a permit says. Code and sentence say why it is no; they hold nothing of what it wrote."""

    yes: bool
    code: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Permitted:
    """An answer: of which permit, and when it was asked for, in seconds of the clock that never jumps.

    `twice` says that it is a yes, and that the answer before it was one too (rule 7).
    """

    permit: Permit
    said: Said
    asked: float
    twice: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """What people have laid down at this device, as it is now. A `Failure` stands for what cannot be read.

    `ends` is when the window closes, in seconds of the clock that never jumps; None if it is closed.
    """

    policy: Policy | Failure = field(default_factory=Policy)
    tags: tuple[Tag, ...] | Failure = ()
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing is in the way."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It has to wait in this state, and why; look again after so many seconds."""

    state: State
    why: Failure
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Look again after so many seconds: nobody has said no."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Due:
    """The permit has to be asked now."""

    permit: Permit


Verdict = Go | Wait | Pause | Due


def judge(local: Local, answer: Permitted | None, slot: Slot, state: State, since: float, now: float) -> Verdict:
    """Return whether the switch to `slot` may begin. `since` is when `state` was written, in seconds as `now`."""
    return asked(local, answer, longest(slot), state, since, now, "This release")


def asked(
    local: Local, answer: Permitted | None, needed: float, state: State, since: float, now: float, what: str
) -> Verdict:
    """Return whether something that takes `needed` seconds may begin; `what` is it, for people."""
    pace = OFTEN if now - since < AT_FIRST else SELDOM
    if isinstance(local.tags, Failure):  # rule 5
        return Wait(State.HELD, local.tags, pace)
    if local.tags:  # rule 1
        return Wait(State.HELD, Failure("hold.hung", sentence(local.tags)), pace)
    if isinstance(local.policy, Failure):
        return Wait(State.WAITING_PERMIT, local.policy, pace)
    if local.policy.window == "opened" and (why := _closed(local.ends, needed, now, what)) is not None:  # rule 2
        return Wait(State.WAITING_WINDOW, why, pace)
    permit = local.policy.permit
    return Go() if permit is None else _permitted(permit, answer, state, pace, now)


def heard(permit: Permit, said: Said, asked: float, now: float, before: Permitted | None) -> Permitted:
    """Return an answer that came now; one that took too long to be good for anything is a no (rule 4).

    `before` is the answer before this one.
    """
    if said.yes and not 0 <= now - asked <= GOOD:
        words = f"The permit to change took {now - asked:.0f} s to answer, and an answer is good for {GOOD:.0f} s."
        said = Said(yes=False, code="permit.late", sentence=words)
    again = before is not None and before.permit == permit and before.said.yes and 0 <= asked - before.asked <= OFTEN
    return Permitted(permit, said, asked, twice=said.yes and again)


def confirming(answer: Permitted | None, now: float) -> bool:
    """Tell whether a yes was said just now, and is about to be confirmed (rule 7): nothing else comes in between."""
    return answer is not None and answer.said.yes and 0 <= now - answer.asked <= GOOD


def longest(slot: Slot) -> float:
    """Return how many seconds switch and gate may take: each service in its turn, and the gate's grace and soak."""
    gate = slot.manifest.gate
    own = sum(own_grace(slot, each) for each in slot.manifest.services.values())
    return own + (gate.start_grace_ms + gate.soak_ms) / 1000


def sentence(tags: Sequence[Tag]) -> str:
    """Return what people read: `Held by Anna: pump seal (number 4711).` At most 900 characters; others are counted."""
    said = ""
    for index, tag in enumerate(tags):
        number = f" (number {tag.number})" if tag.number else ""
        where = f" at {tag.where}" if tag.where else ""
        one = f"{' ' if said else ''}Held by {tag.name}{where}: {tag.reason[:300]}{number}."
        if len(said) + len(one) > 900:
            return f"{said} And {len(tags) - index} more."
        said += one
    return said


def _closed(ends: float | None, needed: float, now: float, what: str) -> Failure | None:
    minutes = f"{ceil(needed / 60)} min"
    if ends is None or ends <= now:
        return Failure("window.closed", f"No window is open on this device. {what} needs one of {minutes}.")
    if now + needed > ends:
        return Failure("window.short", f"The window closes too soon. {what} needs {minutes} until it has ended.")
    return None


def _permitted(permit: Permit, answer: Permitted | None, state: State, pace: float, now: float) -> Verdict:
    """Return what the permit comes to (rules 3, 4 and 6)."""
    if answer is None or answer.permit != permit or now < answer.asked:
        return Due(permit)
    fresh = now - answer.asked <= GOOD
    if answer.said.yes and fresh and answer.twice:
        return Go()
    if answer.said.yes:
        left = answer.asked + AGAIN - now
        return Pause(left) if left > 0 and fresh else Due(permit)
    left = answer.asked + pace - now
    if fresh or (state is State.WAITING_PERMIT and left > 0):
        return Wait(State.WAITING_PERMIT, Failure(answer.said.code, answer.said.sentence), max(left, GOOD))
    return Due(permit)
