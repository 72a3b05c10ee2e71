# SPDX-License-Identifier: Apache-2.0
"""For a device whose engine is simulated: the engine itself keeps what is laid out (`engine.simulation`)."""

from collections.abc import Collection

from checkvalve.agent import given
from checkvalve.agent.steps import Slot
from checkvalve.errors import ConflictError
from checkvalve.protocol.workload import Manifest


class Simulated:
    """`ports.Laying` that writes nothing. `memory`: whether this device could keep secrets in memory."""

    files = "/simulated/files"
    runtime = "/simulated/secrets"

    def __init__(self, *, memory: bool = True) -> None:
        self.memory = memory

    def check(self, manifest: Manifest) -> None:
        """See `ports.Laying`."""
        if not self.memory and given.has_secrets(manifest):
            raise ConflictError("secrets.no_tmpfs", "There is no memory for secrets here.", "Mount a tmpfs.")

    def lay(self, slot: Slot) -> None:
        """See `ports.Laying`."""

    def unlay(self, attempt: str) -> None:
        """See `ports.Laying`."""

    def laid(self) -> frozenset[str]:
        """See `ports.Laying`."""
        return frozenset()

    def sweep(self, keep: Collection[str]) -> None:
        """See `ports.Laying`."""
