# SPDX-License-Identifier: Apache-2.0
"""Four errands are cut short at every writing of the disk and every step of the engine, and each has one word."""

from tests.agent.device import told
from tests.parts import errands
from tests.parts.device_kills import BACK
from tests.proofs import book


@told
async def test_errands_cut_at_each_writing_and_each_step_have_one_word_each() -> None:
    hows = list(BACK)
    for number in book.rounds("errands cut at each writing and each step, power and kill", len(hows)):
        back = BACK[hows[number]]
        writings = await errands.at_each_writing(back, number)
        before = await errands.at_each_step(back, after=False)
        after = await errands.at_each_step(back, after=True)
        print(f"{hows[number]}: {writings} writings, {before} steps before and {after} after")
        assert writings > 100
        assert before == after >= 2
