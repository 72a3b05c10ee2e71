# SPDX-License-Identifier: Apache-2.0
"""Where the simulated engine's world is kept: in memory, or in a file that outlives the process.

In a file, containers "go on running" while the agent is killed and comes back. It is written whole, and one process at
a time changes it: two agents may stand on one engine.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from checkvalve.agent.engine import simulation
from checkvalve.agent.engine.simulation import World
from checkvalve.errors import UnavailableError


class Ground:
    """Keeps a world; without a path it lives as long as this object. `down`: nobody answers."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._world = World()
        self.down = False

    @contextlib.contextmanager
    def world(self, now: float) -> Iterator[World]:
        """Lend the world as it is `now`; what was changed is kept, also if what changed it failed.

        Raises `UnavailableError` (`engine.unreachable`).
        """
        if self.down:
            raise UnavailableError("engine.unreachable", "The simulated engine does not answer.", "Switch it on.")
        with self._alone():
            before = self._read()
            try:
                simulation.advance(self._world, now)
                yield self._world
            finally:
                simulation.advance(self._world, now)
                self._keep(before)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with self._path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> bytes:
        if self._path is None:
            return b""
        try:
            data = self._path.read_bytes()
            self._world = msgspec.json.decode(data, type=World)
        except FileNotFoundError:
            data, self._world = b"", World()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnavailableError(
                "engine.unreachable", f"{self._path} is damaged.", "Remove it: the simulated engine is empty then."
            ) from error
        return data

    def _keep(self, before: bytes) -> None:
        if self._path is None:
            return
        data = msgspec.json.encode(self._world)
        if _settled(data) != _settled(before):
            new = self._path.with_suffix(".new")
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)


def _settled(data: bytes) -> object:
    """Return what is worth writing: that time went on is not."""
    return {**msgspec.json.decode(data), "now": 0.0} if data else None
