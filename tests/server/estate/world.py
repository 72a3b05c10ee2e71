# SPDX-License-Identifier: Apache-2.0
"""The small organisation, and people who declare what there is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve.ids import DeclarationId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.estate import actions, csvs, queries
from checkvalve.server.estate.model import Changes, Declaration, Kind, Said, Share
from tests.server.fleet import world
from tests.server.fleet.world import BY

EVERYWHERE = Visibility((ROOT,))
HEADING = "site,kind,class,number,note"


@dataclass
class World(world.World):
    """What people do with the estate; each function is a transaction of its own, a second after the last."""

    def declare(self, *said: Said) -> Changes:
        """Declare something."""
        self.now += timedelta(seconds=1)
        ids = [DeclarationId(self.new_id()) for _ in said]
        return self.database.write_now("declare", actions.declare, self.act(BY), said, ids, self.org)

    def say(self, number: int, name: str = "PLC", kind: Kind = Kind.DEVICE, scope: str = "", note: str = "") -> Said:
        """Return how many of a class there are at the site, or at `scope`."""
        return Said(scope or self.site, kind, name, number, note)

    def bring(self, *lines: str, seen: Visibility = EVERYWHERE) -> Changes:
        """Declare what a file of these lines holds."""
        return self.bring_bytes("\n".join([HEADING, *lines]).encode(), seen)

    def bring_bytes(self, data: bytes, seen: Visibility = EVERYWHERE) -> Changes:
        """Declare what a file holds."""
        said = self.database.read_now("file", queries.of_file, csvs.read(data), seen)
        return self.declare(*said)

    def declared(self, seen: Visibility = EVERYWHERE, at: datetime | None = None) -> list[Declaration]:
        """Read what counts."""
        return self.database.read_now("now", queries.now, seen, at=at)

    def numbers(self, at: datetime | None = None) -> Sequence[tuple[str, int]]:
        """Read what counts, as class and number."""
        return [(one.class_name, one.number) for one in self.declared(at=at)]

    def shares(self, seen: Visibility = EVERYWHERE) -> dict[str, Share]:
        """Read how much is managed, by place."""
        found = self.database.read_now("shares", lambda tx: queries.compare(tx, seen, queries.now(tx, seen), self.now))
        return {one.scope: one for one in found}

    def export(self, seen: Visibility = EVERYWHERE) -> bytes:
        """Read what counts, as a file."""
        return self.database.read_now("export", queries.exported, seen)

    def name(self, path: str) -> str:
        """Return the names down to a place."""
        return "/".join(self.database.read_now("names", access_queries.names, path))
