# SPDX-License-Identifier: Apache-2.0
"""Every power cut there can be in what the agent writes, and the power that goes again on the way back."""

import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.agent.device import told
from tests.parts import blackout, cut_stories
from tests.parts.cut_stories import STORIES
from tests.proofs import book

NAMES = list(STORIES)
REAL = 20  # rounds: each is one moment on a real disk
AGAIN = 60  # rounds: each is one cut, and every cut on the way back from it


@pytest.mark.timeout(1_800)
@told
async def test_every_tree_that_a_power_cut_may_leave_comes_back_to_old_or_new() -> None:
    for number in book.rounds("every tree that a power cut may leave of what the agent writes", len(NAMES)):
        with tempfile.TemporaryDirectory(prefix="checkvalve-cuts-", dir="/dev/shm") as directory:
            cuts = await cut_stories.recorded(STORIES[NAMES[number]], Path(directory))
            ends: Counter[str] = Counter()
            for cut in cuts.cuts:
                ends[await cuts.come_back(cut)] += 1
        print(f"{NAMES[number]}: {cuts.calls} calls, {cuts.trees} trees, {len(cuts.cuts)} that differ: {dict(ends)}")
        assert len(cuts.cuts) > 15


@pytest.mark.timeout(3_600)
@told
async def test_every_tree_that_a_second_power_cut_may_leave_comes_back_to_old_or_new() -> None:
    for number in book.rounds("every tree of a second power cut, on the way back from one of each story", AGAIN):
        chance = random.Random(number)
        name = NAMES[number % len(NAMES)]
        with tempfile.TemporaryDirectory(prefix="checkvalve-cuts-", dir="/dev/shm") as directory:
            cuts = await cut_stories.recorded(STORIES[name], Path(directory))
            back = await cut_stories.again(cuts, chance.choice(cuts.cuts))
            ends: Counter[str] = Counter()
            for cut in back.cuts:
                ends[await back.come_back(cut)] += 1
        print(f"{name}: {back.calls} calls, {back.trees} trees, {len(back.cuts)} that differ: {dict(ends)}")


@pytest.mark.real_parts
@pytest.mark.timeout(1_800)
def test_a_real_machine_whose_power_goes_comes_back_to_old_or_new() -> None:
    with tempfile.TemporaryDirectory(prefix="checkvalve-cut-") as directory:
        machine = blackout.Machine(Path(directory))
        blackout.founded(machine)
        for number in book.rounds("agent and engine on an ext4 whose power goes at some moment of an attempt", REAL):
            print(blackout.cut_once(machine, random.Random(number), number))
