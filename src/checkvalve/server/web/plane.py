# SPDX-License-Identifier: Apache-2.0
"""What both faces know of the plane they stand for. Time and entropy come in here, so that tests hold the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

from checkvalve import clock
from checkvalve.crypto import keys
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database
from checkvalve.server.keys import Authority, OrdersKey
from checkvalve.server.scorecard.shipped import shipped
from checkvalve.server.scorecard.standard import Standard
from checkvalve.server.web.attempts import Attempts
from checkvalve.server.web.imports import Imports
from checkvalve.server.web.live import Live
from checkvalve.server.web.presence import Presence
from checkvalve.server.web.rolling import Rolling

Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane. `origins` are those its pages are served from, as browsers write them (`https://plane.example:9443`).

    `online` is the key that signs TUF's snapshot and timestamp, `orders` the one that signs orders and time, and
    `authority` issues what devices show.
    """

    db: Database
    name: str
    version: str
    ca_pem: bytes
    ca_pin: str
    origins: tuple[str, ...]
    device_origins: tuple[str, ...] = ()  # what devices dial, in the order they try
    blobs: Blobs
    online: keys.PrivateKey
    authority: Authority
    orders: OrdersKey
    values: bytes = field(repr=False)  # the key that secrets at rest are locked with
    standard: Standard = field(default_factory=shipped)  # what new assessments are read by
    now: Callable[[], datetime] = clock.now
    new_id: Callable[[], str] = clock.new_id
    entropy: Callable[[int], bytes] = clock.entropy
    attempts: Attempts = field(default_factory=Attempts)
    imports: Imports = field(default_factory=Imports)
    presence: Presence = field(default_factory=Presence)
    rolling: Rolling = field(default_factory=Rolling)
    live: Live = field(default_factory=Live)

    @property
    def hosts(self) -> frozenset[str]:
        """What the `Host` header may say."""
        return frozenset(urlsplit(origin).netloc.lower() for origin in self.origins)


def of(connection: Connection) -> Plane:
    """Return the plane that this connection reached."""
    return cast("Plane", connection.app.state.plane)
