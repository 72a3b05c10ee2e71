# SPDX-License-Identifier: Apache-2.0
"""What brings an attempt to the point where the switch may begin (walk attempt, 4 to 7)?

Rules: 1. a failure refuses the attempt, and nothing has changed; 2. a newer order takes its place; 3. what runs goes
on being kept up meanwhile, for a fetch may take days: that this fails is no reason to refuse what may be the cure;
4. what runs already, and runs well, is not touched; 5. all blobs are fetched, those of images the engine has too, so
that the release can be rebuilt when the engine's own store is damaged; 6. images are loaded before anything that runs
is stopped.
"""

from checkvalve.agent import upkeep
from checkvalve.agent.situation import Situation, all_blobs, note
from checkvalve.agent.steps import Do, Fetch, Load, Move, Note, Obtain, Slot
from checkvalve.protocol.exchange import State


def move(situation: Situation) -> Move:
    """Return the next move before the switch."""
    if situation.position.next_attempt:  # rule 2
        return Note(State.REFUSED, "deploy.superseded", "A newer order took its place. Nothing was changed.")
    if situation.failure is not None and _own(situation.failed, situation.staged):  # rule 1
        return note(State.REFUSED, situation.failure)
    if situation.failure is None and (mend := upkeep.repair(situation)) is not None:  # rule 3
        return mend
    match situation.position.state:
        case State.OFFERED:
            return _offered(situation)
        case State.FETCHING:
            return _fetched(situation)
        case _:
            return _staged(situation)


def _own(failed: Move | None, staged: Slot | None) -> bool:
    """Tell whether what failed was for the attempt, and not for what runs."""
    match failed:
        case Fetch(wanted) if staged is not None:
            return wanted.keys() <= all_blobs(staged.manifest).keys()
        case Do(steps) if staged is not None:
            return all(isinstance(each, Load) and each.image.config in staged.manifest.images for each in steps)
        case Fetch() | Do():
            return False
        case _:
            return True


def _offered(situation: Situation) -> Note:
    active, position = situation.active, situation.position
    if active is not None and active.release == position.release and upkeep.right(situation):  # rule 4
        return Note(State.COMMITTED, "deploy.unchanged", "This release runs already. Nothing was changed.")
    return Note(State.FETCHING)


def _fetched(situation: Situation) -> Move:
    slot = situation.staged
    if slot is None:
        return Obtain()
    missing = {digest: size for digest, size in all_blobs(slot.manifest).items() if digest not in situation.held}
    if missing:  # rule 5
        return Fetch(missing)
    return _loaded(slot, situation) or Note(State.STAGED)


def _loaded(slot: Slot, situation: Situation) -> Move | None:
    """Return a load of one image that the engine lacks: one by one, for each may take all a small device has."""
    for config, image in sorted(slot.manifest.images.items()):
        if config not in situation.observed.images:
            return Do((Load(image),))
    return None


def _staged(situation: Situation) -> Note:
    """Return whether the switch may begin now. Holds, windows, permits, approvals: here is where they are asked for."""
    return Note(State.FETCHING if situation.staged is None else State.SWITCHING)
