# SPDX-License-Identifier: Apache-2.0
"""A rollout in the north of a plant that has begun, and what its devices do with it, without an agent."""

from dataclasses import dataclass, field

from checkvalve.ids import RolloutId
from checkvalve.protocol.exchange import State
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.exchange import rolling
from checkvalve.server.fleet.model import Device
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Intent, Outcome, Plan, Rollout, Seat
from checkvalve.server.supply.model import Release
from tests.server.web import gear, goods
from tests.server.web.plant import Plant, User

EXITED = "The service web exited with 3."


@dataclass
class Course:
    """One rollout and its devices, by name."""

    plant: Plant
    plan: Plan = field(default=Plan(1, 2))
    name: str = "Autumn patch"
    id: RolloutId = field(default=RolloutId(""))
    devices: dict[str, Device] = field(default_factory=dict)
    release: Release = field(init=False)

    def __post_init__(self) -> None:
        """Publish what it brings."""
        self.release = goods.published(self.plant, "north")

    @property
    def runs(self) -> str:
        return f"{self.release.name} {self.release.version}"

    @property
    def operator(self) -> User:
        return self.plant.users["north", "operator"]

    @property
    def path(self) -> str:
        return f"/rollouts/{self.id}"

    def stand(self, *names: str, active: str = gear.RELEASE) -> "Course":
        """Let devices be at a site, heard just now, and run `active`."""
        site = gear.site(self.plant, self.plant.organisations["north"], "Visby")
        for name in names:
            device = gear.device(self.plant, site, name)
            gear.heard(self.plant, device, state=State.IDLE, active=active)
            self.devices[name] = device
        return self

    def draft(self, selector: str = "all") -> "Course":
        """Draft it, asking for no approval."""
        plant, self.id = self.plant, RolloutId(self.plant.new_id())
        intent = Intent(self.release.ref, selector, 0, "", "", self.plan)
        scope = plant.organisations["north"]
        plant.db.write_now("draft", rollout_actions.draft, self._act(), self.id, scope, self.name, intent)
        return self

    def begin(self, selector: str = "all") -> "Course":
        """Draft, propose and start it."""
        self.draft(selector)
        db = self.plant.db
        db.write_now("propose", rollout_actions.propose, self._act(), self.id, self.plant.new_id())  # type: ignore[arg-type]
        db.write_now("start", rollout_actions.start, self._act(), self.id, self.plant.new_id)
        return self

    def now(self) -> Rollout:
        return self.plant.db.read_now("rollout", rollout_queries.rollout, self.id)

    def seats(self) -> list[Seat]:
        return self.plant.db.read_now("seats", rollout_queries.seats, self.id, limit=None)

    def seat(self, name: str) -> Seat:
        return next(seat for seat in self.seats() if seat.device.name == name)

    def wave(self, number: int) -> list[str]:
        """Return the names of those that go in a wave."""
        return [seat.device.name for seat in self.seats() if seat.member.wave == number]

    def takes_up(self, name: str, state: State = State.FETCHING) -> None:
        """Let a device say that it is so far with its order."""
        seat = self.seat(name)
        gear.heard(
            self.plant,
            seat.device,
            state=state,
            attempt=seat.member.attempt,
            active=gear.RELEASE,
            release=self.release.digest,
        )

    def ends(self, name: str, outcome: Outcome = Outcome.COMMITTED, reason: str = "", *, quiet: bool = False) -> None:
        """Let a device end, with its receipt unless it is `quiet`."""
        seat, plant = self.seat(name), self.plant
        state, code = State(outcome.value), "" if outcome is Outcome.COMMITTED else "gate.exited"
        runs = self.release.digest if outcome is Outcome.COMMITTED else gear.RELEASE
        if not quiet:
            facts = {
                "attempt": seat.member.attempt,
                "release": self.release.digest,
                "outcome": state,
                "code": code,
                "reason": reason,
            }
            gear.receipt(plant, seat.device, **facts)
        gear.heard(plant, seat.device, state=state, attempt=seat.member.attempt, active=runs, code=code, reason=reason)
        plant.db.write_now(
            "ended",
            lambda tx: rollout_writes.ended(tx, seat.device.id, seat.member.attempt, outcome, code, reason, plant.time),
        )

    def turn(self) -> str:
        """Let the plane look after it once."""
        plant = self.plant
        return plant.db.write_now(
            "advance", rolling.advance, self.id, plant.time, plant.plane.rolling.since, plant.new_id
        )

    def _act(self) -> Act:
        person = self.operator.person
        return self.plant.act(Actor("person", person.id, person.login))
