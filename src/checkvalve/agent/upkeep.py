# SPDX-License-Identifier: Apache-2.0
"""What keeps the active slot as its manifest says, and this device free of everything else of ours?

Rules: 1. what belongs to no slot that runs comes to rest before the active slot is touched, so that never two of them
would run after a restart of the engine; 2. then the active slot is mended, and the strangers are removed, side by
side; 3. old networks, images and blobs go last, each asked for once: what something else uses stays; so do the
previous slot's images and blobs, and volumes as `asides` says; 4. a failure is told and tried again, later and later,
and for ever, but what does not depend on it goes on at once; 5. with nothing active, nothing runs; 6. but if something
was committed of which no slot can be read any more, what runs is left as it is, for nobody chose that it ends, and so
is what it was made of. That is told, until the next release is ordered.
"""

from checkvalve.agent import asides, findings, health
from checkvalve.agent.budget import Budget
from checkvalve.agent.lift import Lift, lift
from checkvalve.agent.situation import Situation, all_blobs, calm, pause, strangers
from checkvalve.agent.steps import (
    Do,
    DropImage,
    DropNetwork,
    Failure,
    Fetch,
    Forget,
    Look,
    Move,
    Remove,
    Rest,
    Step,
    Unlay,
)
from checkvalve.protocol.exchange import State

SOME = 4  # failures in a row after which what does not start is made anew
LOST = Failure(
    "slots.lost",
    "What is installed here cannot be read any more. What runs goes on as it is, and is not looked after, until a "
    "release is ordered.",
)
RESTED = 60.0  # seconds after which to look again although nothing has happened


def move(situation: Situation) -> Move:
    """Return the next move while no attempt is open."""
    if _lost(situation):
        return Rest(RESTED, LOST)
    found = _lift(situation)
    then = repair(situation) or _tidied(situation)
    failure = situation.failure
    if failure is not None and (then is None or situation.failed is None or situation.failed == then):
        return Rest(pause(situation.tries - 1), failure)  # rule 4
    return _rest(found) if then is None else then


def rest(situation: Situation) -> Look | Rest:
    """Return when to look again at what runs, if nothing has to be done for it now."""
    return _rest(_lift(situation))


def repair(situation: Situation) -> Move | None:
    """Return what the active slot needs next (rules 1, 2 and 5), None if it is right or cannot be helped now."""
    if _lost(situation):
        return None
    others = strangers(situation.active, situation.observed)
    if steps := calm(others, situation):
        return Do(steps)
    found = _lift(situation)
    together = (*(Remove(each.name) for each in others), *found.steps)
    if together:
        return Do(together)
    return Fetch(found.fetch) if found.fetch else None


def right(situation: Situation) -> bool:
    """Tell whether the active slot runs now, as far as one look can tell."""
    slot = situation.active
    if slot is None:
        return False
    here = findings.own(slot, situation.observed)
    services = [name for name, each in slot.manifest.services.items() if each.kind == "service"]
    return all(
        (each := here.get(name)) is not None
        and each.state == "running"
        and each.health != "unhealthy"
        and each.image == slot.manifest.services[name].image
        for name in services
    )


def trouble(found: Lift) -> Failure | None:
    """Return what is not as it must be as a failure, None if nothing is."""
    named = [findings.Finding(each.service, each.code, each.sentence) for each in found.wrong]
    return health.failure(named) if named else None


def _lost(situation: Situation) -> bool:
    """Tell whether something was committed here of which there is no slot (rule 6)."""
    return situation.active is None and State.COMMITTED in situation.position.ended.values()


def _rest(found: Lift) -> Look | Rest:
    if found.probing:
        return Look(health.POLL if found.wait is None else min(found.wait, health.POLL))
    return Rest(RESTED if found.wait is None else min(found.wait, RESTED), trouble(found))


def _lift(situation: Situation) -> Lift:
    if situation.active is None:
        return Lift()
    return lift(situation, situation.active, rebuild=situation.watch is not None and situation.tries > SOME)


def _tidied(situation: Situation) -> Move | None:
    """Return what lets go of things that nothing needs any more (rule 3)."""
    if steps := (*_networks(situation), *_images(situation), *_laid(situation), *_volumes(situation)):
        return Do(steps)
    slots = [slot for slot in (situation.active, situation.previous) if slot is not None]
    needed = {digest for slot in slots for digest in all_blobs(slot.manifest)}
    staged = situation.staged
    left = staged is not None and staged.attempt not in {slot.attempt for slot in slots}
    return Forget() if left or situation.held - needed else None


def _networks(situation: Situation) -> list[Step]:
    slot = situation.active
    used = set() if slot is None else {slot.network(name) for name in slot.manifest.networks}
    unused = situation.observed.networks - used - situation.watching.dropped
    return [DropNetwork(name) for name in sorted(unused)]


def _laid(situation: Situation) -> list[Step]:
    """Return a step for each attempt whose files and secrets nothing needs: only what runs has them."""
    slot = situation.active
    return [Unlay(each) for each in sorted(situation.observed.laid) if slot is None or each != slot.attempt]


def _images(situation: Situation) -> list[Step]:
    """Return a step for each image that came from this device's own blobs and that no slot names now.

    One whose load was cut short goes by a name of its own, which nothing else would ever let go of.
    """
    slots = [slot for slot in (situation.active, situation.previous) if slot is not None]
    named = {config for slot in slots for config in slot.manifest.images}
    unused = (situation.observed.images & situation.held) - named
    steps = [
        *(DropImage(image) for image in sorted(unused)),
        *(DropImage(image, begun=True) for image in sorted(situation.observed.begun)),
    ]
    return [each for each in steps if each.key not in situation.watching.dropped]


def _volumes(situation: Situation) -> list[Step]:
    """Return a step for each volume that was left behind and goes now (`asides`)."""
    slots = (situation.active, situation.previous, situation.staged)
    policy, means = situation.local.policy, situation.means
    budget = Budget() if isinstance(policy, Failure) else policy.budget
    room = None if means is None else means.engine
    steps = asides.surplus(situation.left, situation.observed, slots, budget, room)
    return [each for each in steps if each.name not in situation.watching.dropped]
