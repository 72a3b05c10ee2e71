# SPDX-License-Identifier: Apache-2.0
"""A dockerd that is killed, or has lost what it stored, wherever in an attempt: all old, all new, or degraded and told.

One point of each matrix is tried, by a seed that is printed; all of them are in `tests/proofs/test_faults.py`.
"""

import random
from pathlib import Path

import pytest

from checkvalve import clock
from tests.agent.engine.driven import beside
from tests.parts import device_faults, docker, engine_faults

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

SEED = int.from_bytes(clock.entropy(4))


@pytest.mark.timeout(300)
@beside
async def test_a_dockerd_that_dies_anywhere_in_an_attempt_leaves_old_new_or_degraded(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    story = random.Random(SEED).choice(list(engine_faults.STORIES))
    async with engine_faults.lent(daemon, tmp_path) as device:
        for fault in engine_faults.HOWS:
            all_ = await engine_faults.points(device, fault, [story])
            for point in device_faults.sampled(f"{fault}, real engine, {story}", all_, 1, SEED):
                await engine_faults.tried(device, point, SEED)
