# SPDX-License-Identifier: Apache-2.0
"""A permit whose answers are given beforehand, or come from what a test likes."""

from collections.abc import Callable, Iterable

from checkvalve.agent.policy import Permit
from checkvalve.agent.waiting import Said

YES = Said(yes=True)
NO = Said(yes=False, code="permit.no", sentence="The permit to change says no.")


class Simulated:
    """`ports.Permits`: these answers one after the other, and then `last` for ever. `asked` counts."""

    def __init__(
        self, answers: Iterable[Said] = (), last: Said = YES, before: Callable[[], None] | None = None
    ) -> None:
        self.answers = list(answers)
        self.last = last
        self.before = before  # what happens while it is asked
        self.asked = 0

    async def ask(self, permit: Permit) -> Said:
        """Return the next answer, whatever permit it is."""
        del permit
        self.asked += 1
        if self.before is not None:
            self.before()
        return self.answers.pop(0) if self.answers else self.last
