# SPDX-License-Identifier: Apache-2.0
"""A machine that is only played: for a device without one of its own, and for tests."""

from collections.abc import Callable

from checkvalve.errors import CheckvalveError

NONE = "This device has no machine of its own that could be started anew: it is a simulated one."


class Simulated:
    """`ports.Host`: it cannot be started anew unless `cannot` is emptied; `reboots` counts; `before` comes first."""

    def __init__(self, cannot: str = NONE, before: Callable[[], None] | None = None) -> None:
        self.cannot = cannot
        self.before = before
        self.fails: CheckvalveError | None = None
        self.reboots = 0

    def unable(self) -> str:
        """Return why it cannot be started anew."""
        return self.cannot

    async def reboot(self) -> None:
        """Count it; whoever plays the machine then plays a boot."""
        if self.before is not None:
            self.before()
        if self.fails is not None:
            raise self.fails
        self.reboots += 1
