# SPDX-License-Identifier: Apache-2.0
"""A device and its plane are killed in turn while a release is on its way; then what each has is compared."""

import random
import signal
import threading

from checkvalve.protocol.exchange import State
from tests.parts.agents import Agent
from tests.parts.estate import BAD, GOOD, LONG, NEWER, Estate

_LONG = 150.0  # seconds: a device that found no plane asks again later and later


def killed(estate: Estate, agent: Agent, chance: random.Random) -> State:
    """Have a release ordered, kill both ends some times, and see that both agree on what came of it; return that."""
    before, version = agent.status().active, chance.choice((GOOD, NEWER, BAD, LONG))
    attempt = estate.assign(agent, version)
    for _ in range(chance.randint(1, 4)):
        threading.Event().wait(chance.uniform(0, 1.5))
        if chance.random() < 0.5:
            agent.end(signal.SIGKILL)
            agent.start()
        else:
            estate.plane.kill()
            estate.plane.start()
    agent.until(lambda: estate.told(agent, attempt), _LONG)
    (said,) = estate.receipts(agent, attempt)
    committed = said.outcome is State.COMMITTED
    assert committed or said.outcome is State.ROLLED_BACK
    assert not (committed and version == BAD)
    runs = estate.releases[version].digest if committed else before
    assert said.active == runs
    agent.until(lambda: (agent.status().active, estate.device(agent).active) == (runs, runs))
    estate.all_told(agent)
    return said.outcome
