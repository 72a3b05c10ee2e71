# SPDX-License-Identifier: Apache-2.0
"""A rollout is started: how long until a device that waits for its plane has the order and begins to fetch?"""

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from checkvalve import clock
from checkvalve.protocol.exchange import State
from checkvalve.server.rollouts.model import State as Stage
from tests.bench.measure import Measure
from tests.parts import rolling
from tests.parts.agents import Agent
from tests.parts.estate import GOOD, NEWER, SITE
from tests.parts.plane import CHECKVALVE
from tests.parts.rolling import Fleet

DEVICES = tuple((f"bench-{number}", SITE) for number in range(4))
ALONE = 100  # rollouts to one device each
TOGETHER = 10  # rollouts to all devices
_HOW = (
    "from before `POST /rollouts/{id}/start` is sent until the agent's journal has `fetching` on disk, by one clock; "
    "in that: TLS request, decision, entry and commit, wake-up, order signed, the agent's check of order and metadata"
)


def measures() -> Iterator[Measure]:
    """Measure the wake-up of one device alone, and of several at once."""
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd() / "build") as text,
        rolling.lent(Path(text), "sqlite:", CHECKVALVE, always=DEVICES, rarely=None) as fleet,
    ):
        alone = sorted(_alone(fleet))
        together = sorted(_together(fleet))
    about = f"{_HOW}; {ALONE} rollouts to one real agent each, {len(DEVICES)} agents in turn, all on two cores"
    yield Measure("wake-up, from the start of a rollout, p50", statistics.median(alone) * 1000, "ms", "", about)
    yield Measure("wake-up, from the start of a rollout, p99", _p99(alone) * 1000, "ms", "< 1000", "the same")
    about = f"{len(DEVICES)} agents at once, each counted; {TOGETHER} rollouts; the agents' own work shares two cores"
    yield Measure(f"wake-up of {len(DEVICES)} at once, p50", statistics.median(together) * 1000, "ms", "", about)
    yield Measure(f"wake-up of {len(DEVICES)} at once, slowest", together[-1] * 1000, "ms", "", "the same")


def _alone(fleet: Fleet) -> Iterator[float]:
    """Yield the seconds of each; while one device is measured, those before it finish."""
    last = dict.fromkeys((each.directory.name for each in fleet.agents), "")
    runs = dict.fromkeys(last, GOOD)
    for agent in itertools.islice(itertools.cycle(fleet.agents), ALONE):
        name = agent.directory.name
        if last[name]:
            fleet.until(fleet.is_(last[name], Stage.DONE))
        runs[name] = NEWER if runs[name] == GOOD else GOOD
        last[name] = fleet.proposed(runs[name], f'device:"{name}"', canary=0)
        begun = clock.now().timestamp()
        fleet.post(last[name], "start")
        yield _fetching(fleet, agent, last[name]) - begun
    for each in last.values():
        fleet.until(fleet.is_(each, Stage.DONE))


def _together(fleet: Fleet) -> Iterator[float]:
    for _ in range(TOGETHER):
        ident = fleet.proposed(fleet.fresh(), canary=0)
        begun = clock.now().timestamp()
        fleet.post(ident, "start")
        fleet.until(fleet.is_(ident, Stage.DONE))
        yield from (_fetching(fleet, each, ident) - begun for each in fleet.agents)


def _fetching(fleet: Fleet, agent: Agent, ident: str) -> float:
    """Return the moment at which the device began to fetch, by its journal, in seconds."""
    attempt = fleet.seats(ident)[agent.directory.name].member.attempt

    def found() -> list[int]:
        return [each.at for each in rolling.events(agent, attempt) if each.state is State.FETCHING]

    fleet.until(lambda: bool(found()))
    return found()[0] / 1000


def _p99(values: list[float]) -> float:
    return values[min(len(values) - 1, -(-len(values) * 99 // 100) - 1)]
