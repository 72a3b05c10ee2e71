# SPDX-License-Identifier: Apache-2.0
"""An agent in a process of its own dies after a record of its journal, and comes back to all old or all new."""

import asyncio
import signal

from checkvalve.protocol.exchange import State
from tests.agent.engine.images import Made
from tests.agent.living import Living

RECORDS = range(1, 10)
"""Those of one attempt, from the start of the agent to the note of its receipt."""


async def killed(device: Living, made: Made, kill_at: int) -> None:
    """Order a release, kill the agent after so many records, start it again, and see how that ends."""
    before = device.status().active
    attempt = device.order(made)
    process = await device.begin(kill_at)
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    await device.begin()
    await device.until(lambda: device.told(attempt) is not None)
    outcome = device.told(attempt)
    assert outcome in {State.COMMITTED, State.ROLLED_BACK}, kill_at
    assert device.status().active == (made.digest if outcome is State.COMMITTED else before)
    assert [each.attempt for each in device.receipts].count(attempt) == 1
    await device.end(signal.SIGKILL)
