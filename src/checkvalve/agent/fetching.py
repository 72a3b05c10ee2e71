# SPDX-License-Identifier: Apache-2.0
"""What brings an attempt to the point where the switch may begin (walk attempt, 4 to 7)?

Rules: 1. a failure refuses the attempt, and nothing has changed; 2. a newer order takes its place; 3. what runs goes
on being kept up meanwhile, for a fetch may take days: that this fails is no reason to refuse what may be the cure;
4. what runs already, with values of the same meaning, and runs well, is not touched; 5. all blobs are fetched, those of
images the engine has too, so that the release can be rebuilt when the engine's own store is damaged; 6. images are
loaded before anything that runs is stopped; 7. tags, window and permit are asked last, in that order (`waiting`), and
while it waits for them all that was staged is kept whole; 8. that it waits is written when it begins, and again when it
is for something else: not each time that somebody says no again; 9. what
the policy allows of line and disk (`budget`) is asked before each part of a fetch, and of the disk once more before the
switch, which copies volumes. What mends what runs is not asked.
"""

from collections.abc import Mapping

from checkvalve.agent import budget, given, space, upkeep, waiting
from checkvalve.agent.budget import Means, Needed
from checkvalve.agent.situation import Situation, all_blobs, note
from checkvalve.agent.steps import Ask, Do, Failure, Fetch, Load, Look, Move, Note, Obtain, Position, Rest, Slot
from checkvalve.protocol.exchange import State


def move(situation: Situation) -> Move:
    """Return the next move before the switch."""
    if situation.position.next_attempt:  # rule 2
        return Note(State.REFUSED, "deploy.superseded", "A newer order took its place. Nothing was changed.")
    if situation.failure is not None and _own(situation.failed, situation.staged):  # rule 1
        return note(State.REFUSED, situation.failure)
    mends = situation.failure is None and not waiting.confirming(situation.permit, situation.now)
    if mends and (mend := upkeep.repair(situation)) is not None:  # rule 3
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
    same = active is not None and (active.release, active.values) == (position.release, position.values)
    if same and upkeep.right(situation):  # rule 4
        return _unchanged()
    return Note(State.FETCHING)


def _fetched(situation: Situation) -> Move:
    slot = situation.staged
    if slot is None:
        return Obtain()
    active = situation.active
    if active is not None and active.values != slot.values and given.same(active, slot) and upkeep.right(situation):
        return _unchanged()  # rule 4: another document, which says the same
    return _lacking(slot, situation) or _cramped(slot, situation) or Note(State.STAGED)


def _lacking(slot: Slot, situation: Situation) -> Move | None:
    """Return what brings the next part of what the slot needs here, None when it is whole."""
    missing = {digest: size for digest, size in all_blobs(slot.manifest).items() if digest not in situation.held}
    if missing:  # rule 5
        return _fetch(slot, missing, situation)
    return _loaded(slot, situation)


def _fetch(slot: Slot, missing: Mapping[str, int], situation: Situation) -> Move:
    """Return the fetch of what is missing, as far as the policy and the disk allow it (rule 9)."""
    policy, means = situation.local.policy, situation.means
    if isinstance(policy, Failure):
        return Rest(budget.AGAIN, policy)
    if means is None:
        return Fetch(missing, limited=True)
    match budget.judge(policy.budget, means, _needed(slot, situation, means)):
        case budget.Refuse(code, sentence):
            return Note(State.REFUSED, code, sentence)
        case budget.Wait(code, sentence, seconds):
            return Rest(seconds, Failure(code, sentence))
        case _:
            return Fetch(missing, limited=True)


def _needed(slot: Slot, situation: Situation, means: Means) -> Needed:
    return space.needed(slot, situation.held, means, situation.observed, (situation.active, situation.previous))


def _cramped(slot: Slot, situation: Situation) -> Note | None:
    """Return the refusal of what is here whole, and whose copies of volumes have no room (rule 9)."""
    policy, means = situation.local.policy, situation.means
    if isinstance(policy, Failure) or means is None:
        return None  # with such a policy nothing is switched anyway
    refused = budget.room(policy.budget, means, _needed(slot, situation, means))
    return None if refused is None else Note(State.REFUSED, refused.code, refused.sentence)


def _unchanged() -> Note:
    return Note(State.COMMITTED, "deploy.unchanged", "This release runs already. Nothing was changed.")


def _loaded(slot: Slot, situation: Situation) -> Move | None:
    """Return a load of one image that the engine lacks: one by one, for each may take all a small device has."""
    for config, image in sorted(slot.manifest.images.items()):
        if config not in situation.observed.images:
            return Do((Load(image),))
    return None


def _staged(situation: Situation) -> Move:
    """Return whether the switch may begin now (rules 7 and 8)."""
    slot, position = situation.staged, situation.position
    if slot is None:
        return Note(State.FETCHING)
    if (lacking := _lacking(slot, situation)) is not None:
        return lacking
    since = situation.watching.since
    match waiting.judge(situation.local, situation.permit, slot, position.state, since, situation.now):
        case waiting.Go():
            return _cramped(slot, situation) or Note(State.SWITCHING)
        case waiting.Due(permit):
            return Ask(permit)
        case waiting.Pause(seconds):
            return Rest(seconds)
        case waiting.Wait() as wait:
            return _waiting(situation, wait) if _written(position, wait) else note(wait.state, wait.why)


def _waiting(situation: Situation, wait: waiting.Wait) -> Look | Rest:
    """Return when to look again: what runs may want it sooner (rule 3)."""
    kept = upkeep.rest(situation)
    return kept if isinstance(kept, Look) else Rest(min(wait.seconds, kept.seconds), wait.why)


def _written(position: Position, wait: waiting.Wait) -> bool:
    """Tell whether the journal says already what it waits for: by state, kind of reason, and the tags that hang."""
    kinds = [code.partition(".")[0] for code in (position.code, wait.why.code)]
    same = position.state is wait.state and kinds[0] == kinds[1]
    return same and (wait.state is not State.HELD or position.reason == wait.why.sentence)
