# SPDX-License-Identifier: Apache-2.0
"""Everything that people, devices and the plane may do to rollouts, in any order, beside a model of the promises.

The model knows only what devices said, in the order they said it: no pause, no resume and no turn of the plane has a
place in it, so that none of them can change how anything ended.
"""

import contextlib
import copy
import itertools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from checkvalve import ids
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import ConflictError
from checkvalve.ids import RolloutId
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import State as Step
from checkvalve.protocol.exchange import Status
from checkvalve.server.db.database import Database
from checkvalve.server.db.types import EPOCH
from checkvalve.server.exchange import rolling
from checkvalve.server.rollouts import queries
from checkvalve.server.rollouts.judge import CAP, PERCENT
from checkvalve.server.rollouts.model import FAILED, LIVE, Lane, Outcome, Plan, Seat, State
from tests.conftest import NOON
from tests.parts.machine import Machine
from tests.server.exchange.world import World

DEVICES = 4
MEMORY = Path("/dev/shm")
ENDS = [Step.COMMITTED] * 4 + [Step.ROLLED_BACK, Step.REFUSED]
some = st.integers(0, DEVICES - 1)


@dataclass(frozen=True)
class Ground:
    """A plane with devices that have joined, in a file that each example copies."""

    path: Path
    world: World
    machines: tuple[Machine, ...]


@pytest.fixture(scope="module")
def ground(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    path = tmp_path_factory.mktemp("machine") / "checkvalve.sqlite"
    shutil.copy(migrated, path)
    database = Database.open(f"sqlite:{path}", path.parent)
    numbers = itertools.count(1)
    world = World(database, lambda: ids.encode(1_793_707_200_000, next(numbers).to_bytes(10)), NOON)
    world.install()
    world.fleet(0)
    machines = tuple(world.machine() for _ in range(DEVICES))
    digest = "sha256:" + "0d" * 32
    for machine in machines[1:]:  # the first runs nothing yet
        machine.status = Status(state=Step.COMMITTED, active=digest)
        world.visit(machine, machine.first())
    world.stock()
    database.close()
    return Ground(path, world, machines)


class Rollouts(RuleBasedStateMachine):
    """One plane; `outcomes` is the model: by attempt, how it ended."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="checkvalve-machine-", dir=MEMORY if MEMORY.is_dir() else None))
        shutil.copy(self.ground.path, self.directory / "checkvalve.sqlite")
        self.world = copy.copy(self.ground.world)
        self.world.database = Database.open("sqlite:", self.directory)
        self.machines = [copy.copy(machine) for machine in self.ground.machines]
        self.rollouts: list[RolloutId] = []
        self.outcomes: dict[str, Outcome] = {}
        self.owners: dict[str, str] = {}
        self.waves: dict[str, int] = {}
        self.receipts: list[tuple[Machine, Envelope, str, Outcome]] = []

    def teardown(self) -> None:
        self.world.database.close()
        shutil.rmtree(self.directory)

    # What people do

    @initialize()
    def begin(self) -> None:
        self.start(0)

    @rule(whatever=st.integers(0, 3))
    def start(self, whatever: int) -> None:
        """Start a rollout, mostly when none is under way."""
        if not whatever or not any(self.state(rollout) in LIVE for rollout in self.rollouts):
            self.tried(lambda: self.began(self.world.started(self.world.maker, plan=Plan(canary=1, step=2))))

    @rule(which=st.integers(0, 2), what=st.sampled_from(["pause", "pause", "resume", "resume", "undo", "cancel"]))
    def decide(self, which: int, what: str) -> None:
        """Let a person pause, resume, undo or cancel one."""
        by, rollout = self.world.maker, self.one(which)
        if what == "undo":
            self.tried(lambda: self.began(self.world.undo(by, rollout).id))
        else:
            self.tried(lambda: getattr(self.world, what)(by, rollout))

    # What the plane does

    @rule()
    def advance(self) -> None:
        """Let the plane look at all rollouts, once."""
        for rollout in self.rollouts:
            before = self.world.rollout(rollout)
            lanes = [lane for lane in self.lanes(rollout) if lane.wave <= before.wave]
            self.world.database.write_now("go", rolling.advance, rollout, self.world.now, EPOCH, self.world.new_id)
            after = self.world.rollout(rollout)
            if after.wave > before.wave or after.state is State.DONE is not before.state:
                assert not above(lanes, canary=before.wanted.plan.canary > 0), lanes
                assert after.wave - before.wave == (after.state is State.STARTED)

    @rule(minutes=st.sampled_from([0, 1, 30, 600]))
    def wait(self, minutes: int) -> None:
        self.world.later(minutes=minutes)

    # What devices do

    @rule(but=some)
    def take(self, but: int) -> None:
        """Let all devices but one come, and take what they are ordered."""
        for machine in (*self.machines[:but], *self.machines[but + 1 :]):
            answer = self.world.visit(machine, machine.report()).answer
            if answer is not None and answer.orders is not None:
                item = exchange.item(exchange.orders(answer.orders.payload).items[0])
                assert isinstance(item, exchange.Deploy)
                self.says(machine, Step.FETCHING, item.attempt)

    @precondition(lambda self: self.under_way())
    @rule(which=some, outcome=st.sampled_from(ENDS))
    def end(self, which: int, outcome: Step) -> None:
        """Let a device that is under way come to an end."""
        machine = self.under_way()[which % len(self.under_way())]
        attempt = machine.status.attempt
        active = self.target(attempt) if outcome is Step.COMMITTED else machine.status.active
        self.receipt(machine, attempt, outcome)
        self.says(machine, outcome, attempt, active)

    @rule(turns=st.integers(1, 4))
    def go_well(self, turns: int) -> None:
        """Let all go well for some time."""
        for _ in range(turns):
            self.take(DEVICES)
            for _ in self.under_way():
                self.end(0, Step.COMMITTED)
            self.advance()

    @rule(outcomes=st.lists(st.sampled_from(ENDS), min_size=1, max_size=4))
    def go_badly(self, outcomes: list[Step]) -> None:
        """Let those come that are to, end as they do, and the plane look at it."""
        self.take(DEVICES)
        for outcome, _ in zip([Step.ROLLED_BACK, *outcomes], self.under_way(), strict=False):
            self.end(0, outcome)
        self.advance()

    @precondition(lambda self: self.under_way())
    @rule(which=some)
    def hang(self, which: int) -> None:
        """Let a device that is under way hang in between."""
        machine = self.under_way()[which % len(self.under_way())]
        self.said(machine, machine.status.attempt, Outcome.DEGRADED)
        self.says(machine, Step.DEGRADED, machine.status.attempt)

    @rule(which=some)
    def refuse(self, which: int) -> None:
        """Let a device refuse what it is ordered before it begins: its status does not change."""
        wanted = self.world.assignment(self.world.device(self.machines[which]).id)
        if wanted is not None and wanted.attempt != self.machines[which].status.attempt:
            self.receipt(self.machines[which], wanted.attempt, Step.REFUSED)

    @precondition(lambda self: self.receipts)
    @rule(which=st.integers(0, 99))
    def again(self, which: int) -> None:
        """Let a receipt come once more."""
        machine, sealed, _, _ = self.receipts[which % len(self.receipts)]
        self.world.visit(machine, machine.report(receipts=(sealed,)))

    @precondition(lambda self: self.outcomes)
    @rule(which=some, attempt=st.integers(0, 99), outcome=st.sampled_from(ENDS))
    def of_another(self, which: int, attempt: int, outcome: Step) -> None:
        """Let a device tell of an attempt that may not be its own, or one that has ended."""
        names = sorted(self.owners)
        name, machine = names[attempt % len(names)], self.machines[which]
        if self.owners[name] != machine.id or self.outcomes[name] is not Outcome.OPEN:
            self.receipt(machine, name, outcome)

    # What is promised

    @invariant()
    def every_outcome_is_what_devices_said_and_none_is_lost_or_doubled(self) -> None:
        for rollout in self.rollouts:
            seats = self.seats(rollout)
            assert {seat.member.attempt: seat.member.outcome for seat in seats} == {
                seat.member.attempt: self.outcomes[seat.member.attempt] for seat in seats
            }
            for lane in self.lanes(rollout):
                here = [seat.member for seat in seats if seat.member.wave == lane.wave]
                assert lane.total == len(here)
                assert lane.committed == sum(each.outcome is Outcome.COMMITTED for each in here)
                assert lane.failed + lane.left == sum(each.outcome in FAILED for each in here)
                assert lane.going + lane.silent == sum(each.outcome is Outcome.OPEN for each in here)

    @invariant()
    def no_device_is_in_two_live_rollouts(self) -> None:
        live = [rollout for rollout in self.rollouts if self.state(rollout) in LIVE]
        found = [seat.device.id for one in live for seat in self.seats(one) if seat.member.outcome is Outcome.OPEN]
        assert len(found) == len(set(found))

    @invariant()
    def devices_are_ordered_what_their_rollout_wants_now(self) -> None:
        wanted = set(self.world.wanted_attempts())
        for rollout in self.rollouts:
            now = self.world.rollout(rollout)
            for seat in self.seats(rollout):
                begun, attempt = seat.device.attempt == seat.member.attempt, seat.member.attempt
                match now.state, seat.member.outcome:
                    case _, outcome if outcome in FAILED:
                        assert attempt not in wanted
                    case State.STARTED, Outcome.OPEN:
                        assert (attempt in wanted) == (seat.member.wave <= now.wave)
                    case _, Outcome.OPEN if not begun:
                        assert attempt not in wanted or now.state is State.STARTED
                    case _:
                        pass

    @invariant()
    def waves_only_open(self) -> None:
        for rollout in self.rollouts:
            wave = self.world.rollout(rollout).wave
            assert wave >= self.waves.get(rollout, -1)
            self.waves[rollout] = wave

    # How it is done

    def under_way(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.status.state in {Step.FETCHING, Step.DEGRADED}]

    def began(self, rollout: RolloutId) -> None:
        self.rollouts.append(rollout)
        for seat in self.seats(rollout):
            self.outcomes[seat.member.attempt] = Outcome.OPEN
            self.owners[seat.member.attempt] = seat.device.id

    def tried(self, work: Callable[[], object]) -> None:
        """Do what may be refused; that a refusal changes nothing is shown elsewhere."""
        with contextlib.suppress(ConflictError):
            work()

    def one(self, which: int) -> RolloutId:
        """Return a rollout, rather a young one."""
        return self.rollouts[-1 - which % min(len(self.rollouts), 3)]

    def state(self, rollout: RolloutId) -> State:
        return self.world.rollout(rollout).state

    def seats(self, rollout: RolloutId) -> list[Seat]:
        return self.world.database.read_now("seats", queries.seats, rollout, limit=None)

    def lanes(self, rollout: RolloutId) -> list[Lane]:
        found = self.world.rollout(rollout)
        return self.world.database.read_now("lanes", queries.lanes, found, self.world.now, EPOCH)

    def target(self, attempt: str) -> str:
        members = [seat.member for rollout in self.rollouts for seat in self.seats(rollout)]
        target = next(each.target for each in members if each.attempt == attempt)
        return "sha256:" + target.rpartition("/")[2].removesuffix(".json")

    def says(self, machine: Machine, state: Step, attempt: str, active: str = "") -> None:
        machine.status = Status(state=state, attempt=attempt, active=active or machine.status.active)
        self.world.visit(machine, machine.first())

    def receipt(self, machine: Machine, attempt: str, outcome: Step) -> None:
        sealed = machine.receipt(attempt, outcome)
        self.said(machine, attempt, Outcome(outcome.value))
        self.receipts.append((machine, sealed, attempt, Outcome(outcome.value)))
        self.world.visit(machine, machine.report(receipts=(sealed,)))

    def said(self, machine: Machine, attempt: str, outcome: Outcome) -> None:
        """Tell the model: the first word of the device itself stands, unless it hung in between."""
        before = self.outcomes.get(attempt)
        if self.owners.get(attempt) != machine.id or before not in {Outcome.OPEN, Outcome.DEGRADED}:
            return
        if before is Outcome.OPEN or outcome is not Outcome.DEGRADED:
            self.outcomes[attempt] = outcome


def above(lanes: list[Lane], *, canary: bool) -> bool:
    """Say whether a limit is passed, as the promise has it."""
    failed = sum(lane.failed for lane in lanes)
    finished = failed + sum(lane.committed for lane in lanes)
    return (
        any(lane.failed >= CAP or (canary and lane.wave == 0 and lane.failed > 0) for lane in lanes)
        or failed * 100 > PERCENT * finished
    )


@pytest.mark.slow
def test_whatever_happens_in_whatever_order_the_promises_hold(ground: Ground) -> None:
    Rollouts.ground = ground
    case = Rollouts.TestCase
    case.settings = settings(
        max_examples=14, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
