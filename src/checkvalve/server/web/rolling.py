# SPDX-License-Identifier: Apache-2.0
"""Looks after the rollouts that go on: each second, and at once when a device of theirs has ended (walk rollout, 9).

Rules: 1. whatever is done is decided in its own transaction (`exchange.rolling`), so that it does not matter how many
look after it, or when the last of them was killed; 2. what fails is told, and tried again at the next turn; 3. what
was done is made known to the devices that wait here at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from checkvalve.errors import CheckvalveError, ConflictError
from checkvalve.ids import RolloutId
from checkvalve.server.db.database import Database
from checkvalve.server.db.types import EPOCH
from checkvalve.server.exchange import rolling

WITHIN = 1.0  # seconds between two turns, if nothing makes one sooner

_log = structlog.get_logger("checkvalve.rolling")


@dataclass(frozen=True, slots=True)
class Origins:
    """Where time and ids come from."""

    now: Callable[[], datetime]
    new_id: Callable[[], str]


class Rolling:
    """Of one plane, for the life of its process."""

    def __init__(self) -> None:
        self.since = EPOCH
        """When this process began to listen: before that nobody could be heard."""
        self._wake = asyncio.Event()

    def poke(self) -> None:
        """Look at once: a device of some rollout has ended, or a person decided something."""
        self._wake.set()

    async def watch(self, db: Database, origins: Origins, stir: Callable[[], object], stop: asyncio.Event) -> None:
        """Look every second, and when poked, until `stop` is set; `stir` makes known what was done (rule 3)."""
        self._wake, self.since = asyncio.Event(), origins.now()
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._wake.set())
        failing = False
        while not stop.is_set():
            self._wake.clear()
            try:
                if await self.turn(db, origins):
                    stir()
                failing = False
            except CheckvalveError as error:
                if not failing:
                    _log.error("rollouts stand still", code=error.code, sentence=error.sentence, remedy=error.remedy)
                failing = True
            except Exception:  # noqa: BLE001 - the last handler there is (rule 2)
                _log.exception("rollouts stand still")
            await _within(self._wake, WITHIN)
        stopped.cancel()

    async def turn(self, db: Database, origins: Origins) -> int:
        """Do all that is to be done now; return how many things that were. Raises `UnavailableError`."""
        done = 0
        for rollout_id in await db.read("rollout.ready", rolling.ready, origins.now(), self.since):
            done += await self._advance(db, origins, rollout_id)
        return done

    async def _advance(self, db: Database, origins: Origins, rollout_id: RolloutId) -> bool:
        try:
            said = await db.write(
                "rollout.advance", rolling.advance, rollout_id, origins.now(), self.since, origins.new_id
            )
        except ConflictError:  # somebody else was faster: the next turn sees what they did
            return False
        if said:
            _log.info("rollout", done=said)
        return bool(said)


async def _within(event: asyncio.Event, seconds: float) -> None:
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    await event.wait()
    timer.cancel()
