# SPDX-License-Identifier: Apache-2.0
"""Rollouts that are at work in the water company: one that goes on, one that is paused, and what their devices do."""

from dataclasses import dataclass

from checkvalve.ids import RolloutId
from checkvalve.protocol.exchange import State
from checkvalve.server.exchange import rolling
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Intent, Outcome, Plan, Seat
from tests.server.web.pages.estate import EDGE, OLD_EDGE, Estate
from tests.server.web.pages.machines import EXITED, LOGS, Machines

RUNNING, PAUSED = "Edge base 5.2, stations", "Edge base 5.2, presses"
STATIONS = ("Norra Water/Malmö/Filter hall", "Norra Water/Gävle/Dosing", "Norra Water/Örebro/Line A")


@dataclass
class Changes:
    """What happens in rollouts of an estate."""

    machines: Machines

    @property
    def estate(self) -> Estate:
        return self.machines.estate

    def few(self) -> "Changes":
        """Make one that goes on, its second wave half done, and one that its canary paused."""
        self.begin(RUNNING, "station", 12, Plan(1, 4), ago=14)
        self.ends(self.wave(RUNNING, 0)[0], ago=11)
        self.turn(RUNNING)
        first, second, third, fourth = self.wave(RUNNING, 1)
        self.ends(first, ago=4)
        self.ends(second, ago=2)
        self.says(third, State.VERIFYING)
        self.says(fourth, State.FETCHING)
        self.begin(PAUSED, "press", 5, Plan(1, 0), ago=31)
        self.ends(self.wave(PAUSED, 0)[0], Outcome.ROLLED_BACK, EXITED, ago=26)
        self.turn(PAUSED)
        return self

    def begin(self, name: str, tag: str, number: int, plan: Plan, ago: float = 0) -> RolloutId:
        """Start a rollout to so many new devices with a tag."""
        self.propose(name, tag, number, plan, ago)
        self.estate.start(name, "olof", ago)
        return RolloutId(self.estate.rollouts[name])

    def propose(self, name: str, tag: str, number: int, plan: Plan, ago: float = 0) -> RolloutId:
        """Let so many new devices with a tag be there, and a rollout to them that may start."""
        estate = self.estate
        for index in range(number):
            label = f"{tag}-{index + 1:02}"
            device = estate.stand(label, STATIONS[index % len(STATIONS)], (tag,), OLD_EDGE)
            self.machines.devices[label], self.machines.secrets[label] = device, estate.keys[label]
        made, act = RolloutId(estate.new_id(ago)), estate.act(estate.actor("olof"), ago)
        intent = Intent(EDGE, f"tag:{tag}", 0, "", "", plan)
        estate.db.write_now("draft", rollout_actions.draft, act, made, estate.places["Norra Water"], name, intent)
        estate.rollouts[name] = made
        estate.propose(name, ago)
        return made

    def seats(self, name: str) -> list[Seat]:
        """Return who goes when."""
        wanted = RolloutId(self.estate.rollouts[name])
        return self.estate.db.read_now("seats", rollout_queries.seats, wanted, limit=None)

    def wave(self, name: str, number: int) -> list[Seat]:
        """Return who goes in a wave."""
        return [seat for seat in self.seats(name) if seat.member.wave == number]

    def says(self, seat: Seat, state: State, ago: float = 0.1, *, new: bool = False, reason: str = "") -> None:
        """Let a device say how far it is, running the new release or the old one."""
        after, before = EDGE.partition("@")[2], OLD_EDGE.partition("@")[2]
        facts = {"active": after if new else before, "previous": before if new else "", "release": after}
        self.machines.says(seat.device, state, ago=ago, attempt=seat.member.attempt, reason=reason, **facts)

    def ends(self, seat: Seat, outcome: Outcome = Outcome.COMMITTED, reason: str = "", ago: float = 0) -> None:
        """Let a device end, with its receipt."""
        estate, member = self.estate, seat.member
        code = "" if outcome is Outcome.COMMITTED else "gate.exited"
        took = outcome is Outcome.COMMITTED
        self.machines.signs(
            seat.device,
            EDGE.partition("@")[2],
            State(outcome.value),
            reason,
            ago=ago,
            logs=LOGS,
            attempt=member.attempt,
        )
        self.says(seat, State(outcome.value), min(ago, 0.2), new=took, reason=reason)
        estate.db.write_now(
            "ended",
            lambda tx: rollout_writes.ended(
                tx, member.device, member.attempt, outcome, code, reason, estate.moment(ago)
            ),
        )
        estate.plane.rolling.poke()

    def turn(self, name: str) -> None:
        """Let the plane do what is to be done, if it has not done so by itself."""
        estate, wanted = self.estate, RolloutId(self.estate.rollouts[name])
        estate.db.write_now(
            "advance", rolling.advance, wanted, estate.moment(0), estate.plane.rolling.since, estate.new_id
        )
