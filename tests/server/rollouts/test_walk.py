# SPDX-License-Identifier: Apache-2.0
"""Random walks over everything that people can do to rollouts, beside a model that knows only the promises.

The model counts votes in its own way. After each step: what it allows was done and left one entry; what it forbids was
refused, left no entry and changed no row.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from checkvalve.errors import CheckvalveError
from checkvalve.ids import ApprovalId, PersonId, RolloutId
from checkvalve.server.approvals.model import Choice
from checkvalve.server.db.database import Database
from checkvalve.server.rollouts.model import State
from tests.server.rollouts.world import APPROVER, World

STEPS = 150


@dataclass
class Known:
    """What the model knows of one rollout."""

    by: PersonId
    needed: int
    state: State = State.DRAFT
    approval: ApprovalId | None = None
    ends: datetime | None = None
    yes: set[PersonId] = field(default_factory=set)
    rejected: bool = False


@dataclass
class Walk:
    """A world, the model, and chance."""

    world: World
    chance: random.Random
    people: list[PersonId] = field(default_factory=list)
    voters: set[PersonId] = field(default_factory=set)
    disabled: set[PersonId] = field(default_factory=set)
    known: dict[RolloutId, Known] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def may_vote(self, person: PersonId) -> bool:
        """Say whether the person's word counts."""
        return person in self.voters and person not in self.disabled

    def startable(self, known: Known) -> bool:
        """Say whether the promises allow a start now."""
        if known.state is not State.PROPOSED or known.rejected:
            return False
        in_time = known.ends is None or self.world.now < known.ends
        return in_time and sum(map(self.may_vote, known.yes - {known.by})) >= known.needed

    def step(self) -> None:
        """Do one thing at random."""
        kinds = [self.draft, self.propose, self.vote, self.start, self.cancel, self.rights]
        self.chance.choices(kinds, [2, 4, 10, 4, 1, 3])[0]()

    def draft(self) -> None:
        """Draft one, by anybody."""
        person, needed = self.chance.choice(self.people), self.chance.randrange(3)
        rollout = self.world.drafted(person, needed)
        self.known[rollout] = Known(person, needed)
        self.done.append("draft")

    def propose(self) -> None:
        """Propose one, mostly by its drafter."""
        rollout, known = self.some()
        person = known.by if self.chance.random() < 0.8 else self.chance.choice(self.people)
        allowed = known.state is State.DRAFT and person == known.by
        if self.tried(allowed, "propose", self.world.propose, person, rollout):
            known.state, known.approval = State.PROPOSED, self.world.rollout(rollout).approval
            known.ends = self.world.now + timedelta(days=7) if known.approval else None

    def vote(self) -> None:
        """Vote on one that was proposed, by anybody, sometimes for something else."""
        asked = [known for known in self.known.values() if known.approval]
        if not asked:
            return
        known = self.chance.choice(asked[-3:])
        assert known.approval
        person, choice = self.chance.choice(self.people), self.chance.choice([Choice.APPROVE] * 12 + [Choice.REJECT])
        digest = "" if self.chance.random() < 0.9 else "00" * 32
        is_open = known.state is State.PROPOSED and not known.rejected and known.ends is not None
        in_time = known.ends is not None and self.world.now < known.ends
        allowed = is_open and in_time and person != known.by and self.may_vote(person) and not digest
        if self.tried(allowed, "vote", self.world.vote, person, known.approval, choice, digest):
            known.yes.add(person)
            known.rejected = choice is Choice.REJECT

    def start(self) -> None:
        """Start one; rather one that may."""
        ready = [item for item in self.known.items() if self.startable(item[1])]
        rollout, known = ready[-1] if ready and self.chance.random() < 0.5 else self.some()
        if self.tried(self.startable(known), "start", self.world.start, self.chance.choice(self.people), rollout):
            known.state = State.STARTED

    def cancel(self) -> None:
        """Cancel one."""
        rollout, known = self.some()
        allowed = known.state is not State.CANCELLED
        if self.tried(allowed, "cancel", self.world.cancel, self.chance.choice(self.people), rollout):
            known.state = State.CANCELLED

    def rights(self) -> None:
        """Give or take rights, or let time pass."""
        person = self.chance.choice(self.people)
        match self.chance.randrange(5):
            case 0 if person in self.voters:
                self.world.unbind(person)
                self.voters.remove(person)
            case 0 | 1 if person not in self.voters:
                self.world.bind(person, APPROVER, self.chance.choice([self.world.site, self.world.org, "/"]))
                self.voters.add(person)
            case 2 if len(self.disabled) < 2:
                self.world.disable(person)
                self.disabled.add(person)
            case 3:
                self.world.enable(person)
                self.disabled.discard(person)
            case _:
                self.world.later(days=self.chance.choice([0.5, 1, 7]))

    def some(self) -> tuple[RolloutId, Known]:
        """Choose a rollout, rather a young one."""
        if not self.known:
            self.draft()
        return self.chance.choice(list(self.known.items())[-4:])

    def tried(self, allowed: bool, what: str, function: Callable[..., object], *args: object) -> bool:  # noqa: FBT001
        """Do it and hold the plane to its promises; tell whether it was done."""
        rows, entries = self.world.rows(), len(self.world.entries())
        refusal = _refusal(function, *args)
        assert (refusal is None) == allowed, (what, refusal)
        if refusal is not None:
            assert self.world.rows() == rows
        assert len(self.world.entries()) == entries + allowed
        self.done.append(what if allowed else f"no {what}")
        return allowed


def _refusal(function: Callable[..., object], *args: object) -> CheckvalveError | None:
    try:
        function(*args)
    except CheckvalveError as error:
        return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_people_do_only_what_is_promised_happens(
    database: Database, new_id: Callable[[], str], now: datetime, seed: int
) -> None:
    walk = Walk(World(database, new_id, now), random.Random(seed))
    walk.people = [walk.world.person() for _ in range(4)]
    for person in walk.people:
        walk.world.bind(person, APPROVER, walk.world.site)
        walk.voters.add(person)
    for _ in range(STEPS):
        walk.step()
    for rollout, known in walk.known.items():
        assert walk.world.rollout(rollout).state is known.state
    assert len(walk.world.entries("rollout.start")) == walk.done.count("start")
    # A walk that went nowhere would prove nothing.
    assert {"propose", "vote", "start", "no vote", "no start"} <= set(walk.done), f"seed {seed}: {walk.done}"
