# SPDX-License-Identifier: Apache-2.0
"""What a crossing stands on besides the database: which plane this is, its keys, its clock, and where it came from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from checkvalve.ids import EntryId
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.fleet.model import Device
from checkvalve.server.keys import Authority, OrdersKey

STRANGER = Actor("device", "?", "somebody without a certificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Of one request. `entropy` gives that many bytes; `request` and `address` stand in what is recorded."""

    plane: str
    authority: Authority
    orders: OrdersKey
    now: datetime
    new_id: Callable[[], str]
    entropy: Callable[[int], bytes]
    values: bytes = field(default=b"", repr=False)  # the key that secrets at rest are locked with
    request: str = ""
    address: str = ""

    def act(self, actor: Actor, reason: str = "") -> Act:
        """Return a fresh act: a crossing does several things, and each leaves its own entry."""
        return Act(
            id=EntryId(self.new_id()),
            at=self.now,
            actor=actor,
            request=self.request,
            address=self.address,
            reason=reason,
        )


def actor(device: Device) -> Actor:
    """Return the device as the one who acts."""
    return Actor("device", device.id, device.name)


def milliseconds(moment: datetime) -> int:
    """Return Unix milliseconds."""
    return round(moment.timestamp() * 1000)
