# SPDX-License-Identifier: Apache-2.0
"""Six devices on two sites, and a person who rolls releases out to them over the plane's API.

What came of a rollout is read from the rows, also while the plane is off, and compared with what each device has.
"""

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from checkvalve import clock
from checkvalve.demo.caller import Caller
from checkvalve.ids import RolloutId
from checkvalve.protocol.exchange import ENDED, Event, State
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.rollouts import queries
from checkvalve.server.rollouts.model import LIVE, Outcome, Rollout, Seat
from checkvalve.server.rollouts.model import State as Stage
from tests.agent.living import sockets
from tests.parts import archives
from tests.parts.agents import SOON, Agent
from tests.parts.estate import BAD, GOOD, LINE, LONG, NEWER, ORGANISATION, RUT, SITE, WHY, Estate, Services
from tests.parts.impatient import PROGRAM
from tests.parts.plane import PlaneProcess

OTHER_SITE = "Slite pumping station"
ALWAYS = (("north-1", SITE), ("north-2", SITE), ("north-3", SITE), ("south-1", OTHER_SITE), ("south-2", OTHER_SITE))
RARELY = ("south-3", OTHER_SITE)  # comes once per interval
SLOW = "6.0"
LATE = 100.0  # seconds: a device that found no plane asks again later and later


@dataclass
class Fleet:
    """Agents of one plane, in the order in which a rollout takes them: the first is the canary's."""

    estate: Estate
    directory: Path
    agents: list[Agent] = field(default_factory=list)
    scope: str = ""
    caller: Caller = field(init=False, repr=False)

    def found(self, *, always: Sequence[tuple[str, str]] = ALWAYS, rarely: tuple[str, str] | None = RARELY) -> "Fleet":
        """Have the devices join and start, with releases that they may run."""
        estate = self.estate
        estate.run("scope", "create", "site", OTHER_SITE, "--scope", ORGANISATION)
        estate.run("binding", "create", RUT, "operator", "--scope", ORGANISATION)
        self.caller = estate.plane.caller(RUT)
        scopes = self.caller.get("/api/v1/scopes")["items"]
        self.scope = next(each["path"] for each in scopes if each["name"] == ORGANISATION)
        _stocked(estate)
        lines = {site: self._invited(site, "--count", str(len(always))) for site in {site for _, site in always}}
        joining = [(Agent(self.directory / name), lines[site]) for name, site in always]
        if rarely is not None:
            joining.append((Agent(self.directory / rarely[0]), self._invited(rarely[1], "--async")))
        with ThreadPoolExecutor(2) as pool:
            assert set(pool.map(lambda one: one[0].join(one[1], "--name", one[0].directory.name), joining)) == {""}
        self.agents = [agent.start() for agent, _ in joining]
        return self

    def close(self) -> None:
        """End all agents."""
        for each in self.agents:
            each.end(signal.SIGKILL)

    @property
    def canary(self) -> Agent:
        """Return the device that goes first, while it is online."""
        return self.agents[0]

    def until(self, condition: Callable[[], bool], seconds: float = SOON) -> None:
        """Wait for what these devices bring about; each in its turn is watched for sockets that listen."""
        deadline, looks, pause = clock.monotonic() + seconds, 0, threading.Event()
        while not condition():
            assert clock.monotonic() < deadline, self._told()
            one = self.agents[looks // 5 % len(self.agents)]
            if looks % 5 == 0 and one.process is not None:
                assert one.process.poll() is None, one.said()
                one.heard |= sockets(one.process.pid)
            looks += 1
            pause.wait(0.02)

    # ---- What a person does. ----

    def start(self, version: str, *, canary: int = 1, step: int = 0) -> str:
        """Start a rollout to all devices; return its id."""
        ident = self.proposed(version, canary=canary, step=step)
        self.post(ident, "start")
        return ident

    def proposed(self, version: str, selector: str = "all", *, canary: int = 1, step: int = 0) -> str:
        """Draft and propose a rollout that needs no approval; return its id."""
        plan = {"approvals": 0, "canary": canary, "step": step}
        wanted = {"scope": self.scope, "name": f"To {version}", "release": f"{LINE}@{version}", "selector": selector}
        ident = str(self.caller.post("/api/v1/rollouts", **wanted, **plan)["id"])
        self.post(ident, "propose")
        return ident

    def post(self, rollout: str, move: str, **body: object) -> Any:  # noqa: ANN401 - JSON
        """Make a move with a rollout; return the answer."""
        return self.caller.post(f"/api/v1/rollouts/{rollout}/{move}", **body)

    def fresh(self, *versions: str) -> str:
        """Return a good version that no device runs: of these, or of those that are watched for a second only."""
        runs = {self.estate.device(each).active for each in self.agents}
        return next(v for v in versions or (GOOD, NEWER, LONG) if self.estate.releases[v].digest not in runs)

    def calm(self) -> None:
        """Have all devices run, and nothing under way: what a test before left behind goes."""
        for each in self.agents:
            if each.process is None:
                each.start()
        for one in self.estate.read(lambda tx: queries.listed(tx, queries.EVERYWHERE)):
            if one.state in LIVE:
                self.post(one.id, "cancel")
        self.until(lambda: all(State(each.status().state) in {*ENDED, State.IDLE} for each in self.agents))

    # ---- What the plane has. ----

    def rollout(self, ident: str) -> Rollout:
        """Return a rollout as it is now."""
        return cast("Rollout", self.estate.read(queries.rollout, RolloutId(ident)))

    def is_(self, ident: str, state: Stage) -> Callable[[], bool]:
        """Return the condition that a rollout is in this state."""
        return lambda: self.rollout(ident).state is state

    def seats(self, ident: str) -> dict[str, Seat]:
        """Return the devices of a rollout, by name."""
        found = self.estate.read(lambda tx: queries.seats(tx, RolloutId(ident), limit=None))
        return {each.device.name: each for each in found}

    def outcomes(self, ident: str) -> dict[str, Outcome]:
        """Return how it ended on each device, by name."""
        return {name: seat.member.outcome for name, seat in self.seats(ident).items()}

    def state(self, ident: str, agent: Agent) -> str:
        """Return how far a device is with this rollout by its own journal; empty if it has not begun."""
        said = [each.state for each in events(agent, self.seats(ident)[agent.directory.name].member.attempt)]
        return said[-1].value if said else ""

    def stand(self) -> dict[str, tuple[str, str]]:
        """Return of each device, by name, its last attempt and the digest of what runs, by its own word."""
        found = {each.directory.name: each.status() for each in self.agents}
        return {name: (one.attempt, one.active) for name, one in found.items()}

    def ordered(self) -> set[str]:
        """Return the devices that are to run something that they have not taken up, as the plane has it."""
        found = [(each.directory.name, self.estate.read(fleet_queries.standing, each.device)) for each in self.agents]
        return {name for name, one in found if one.wanted not in {"", one.taken}}

    def run(self, version: str) -> bool:
        """Tell whether each device runs this, by its own word and by the plane's."""
        digest = self.estate.releases[version].digest
        return all({each.status().active, self.estate.device(each).active} == {digest} for each in self.agents)

    def entries(self, ident: str) -> Counter[str]:
        """Return what the record has of a rollout: how often each action."""
        found = self.estate.plane.caller().get("/api/v1/audit", limit=500, subject=f"rollout:{ident}")["items"]
        return Counter(each["action"] for each in found if each["kind"] == "outcome")

    def accounted(self, ident: str, **entries: int) -> None:
        """See that of a rollout nothing is lost and nothing is there twice, at either end.

        `entries` are those of the record, besides draft, proposal and one start. Waits until the devices have told
        everything.
        """
        for agent in self.agents:
            self.estate.all_told(agent)
            member = self.seats(ident)[agent.directory.name].member
            receipts = self.estate.receipts(agent, member.attempt)  # verified with the device's key
            assert [each.outcome.value for each in receipts] == ([member.outcome.value] if member.outcome else [])
            states = [each.state for each in events(agent, member.attempt)]
            assert states.count(State.OFFERED) == (1 if states else 0)
            assert [state for state in states if state in ENDED] == [each.outcome for each in receipts]
        wanted = {"rollout.draft": 1, "rollout.propose": 1, "rollout.start": 1}
        assert self.entries(ident) == {**wanted, **{f"rollout.{name}": count for name, count in entries.items()}}
        said = self.caller.get(f"/api/v1/rollouts/{ident}/progress")
        counts = ("committed", "failed", "left", "going", "silent")
        assert [sum(wave[each] for each in counts) for wave in said["waves"]] == [w["total"] for w in said["waves"]]
        assert sum(wave["total"] for wave in said["waves"]) == said["devices"] == len(self.agents)
        outcomes = Counter(self.outcomes(ident).values())
        assert sum(wave["committed"] for wave in said["waves"]) == outcomes[Outcome.COMMITTED]

    def _invited(self, site: str, *words: str) -> str:
        return str(json.loads(self.estate.run("device", "invite", "--site", site, *words, "--json"))["command"])

    def _told(self) -> str:
        found = self.estate.read(lambda tx: queries.listed(tx, queries.EVERYWHERE, limit=1))
        seats = self.seats(found[0].id).values() if found else ()
        said = [
            f"{each.device.name} {each.device.state} {each.member.outcome!r} {each.member.reason}" for each in seats
        ]
        return "\n".join([*map(repr, found), *said, self.estate.plane.log()[-3000:]])


@contextmanager
def lent(directory: Path, database: str, program: tuple[str, ...] = PROGRAM, **devices: Any) -> Iterator[Fleet]:  # noqa: ANN401
    """Lend a fleet on a plane of its own, all of which run the first release; `devices` are those of `found`."""
    plane = PlaneProcess(directory / "plane", database, program)
    assert plane.init().returncode == 0
    estate = Estate(plane, directory / "desk")
    fleet = Fleet(estate, directory)
    try:
        estate.found()
        fleet.found(**devices)
        first = fleet.start(GOOD, canary=0)
        fleet.until(fleet.is_(first, Stage.DONE), LATE)
        yield fleet
    finally:
        fleet.close()
        estate.close()


def events(agent: Agent, attempt: str) -> list[Event]:
    """Return the states of an attempt that a device's journal has, in their order."""
    found = (msgspec.json.decode(line, type=Event) for line in agent.lines)
    return [each for each in found if each.attempt == attempt and each.kind == "state"]


def _stocked(estate: Estate) -> None:
    """Make and sign two releases that are good, two that are watched longer, and a bad one."""
    estate.bring(*(archives.Image(layers=[archives.layer(app=b"%d" % n)], names=[f"pump:{n}"]) for n in (1, 2)))
    for number, version in enumerate((GOOD, NEWER), 1):
        estate.make(version, _services(number))
    for version in (LONG, SLOW):
        estate.make(version, _services(2), soak="3s")
    estate.make(BAD, _services(2, f"exit=1;after=0.5s;log={WHY}"))
    estate.sign()


def _services(number: int, script: str = "") -> Services:
    image = f"pump:{number}"
    return {"pump": {"image": image, "environment": {"CHECKVALVE_SIMULATE": script} if script else {}}}
