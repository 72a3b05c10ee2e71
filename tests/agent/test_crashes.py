# SPDX-License-Identifier: Apache-2.0
"""A power cut, or the death of the agent, at some step of an attempt: the device comes back to old or new by itself.

Which steps, a seed says that is printed. All of them are in `tests/proofs/test_devices.py`.
"""

import random

import pytest

from checkvalve import clock
from tests.agent.device import told
from tests.parts import device_kills
from tests.parts.device_kills import BACK, QUICK

SEED = int.from_bytes(clock.entropy(4))


@pytest.mark.slow
@pytest.mark.parametrize("how", BACK)
@pytest.mark.parametrize("name", QUICK)
@told
async def test_wherever_the_power_goes_the_device_comes_back_to_old_or_new(name: str, how: str) -> None:
    chance = random.Random(f"{SEED}{name}{how}")
    print(f"seed {SEED}")
    await device_kills.at_each_writing(name, how, SEED, sorted(chance.sample(range(40), 3)))
    for after in (False, True):
        await device_kills.at_each_step(name, how, after=after, places=[chance.randrange(8)])


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
@told
async def test_the_power_may_go_again_on_the_way_back(name: str) -> None:
    print(f"seed {SEED}")
    for number in range(3):
        await device_kills.again_and_again(name, SEED + number)
