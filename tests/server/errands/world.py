# SPDX-License-Identifier: Apache-2.0
"""The small organisation with devices that can be sent on errands, and words of theirs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from checkvalve.crypto import digests
from checkvalve.ids import DeviceId, ErrandId, HoldId
from checkvalve.protocol.errand import Content, Done
from checkvalve.server.errands import actions, queries, writes
from checkvalve.server.errands.model import CAPABILITY, Asked, Errand, Kind
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet.model import Device, Hold
from tests.server.fleet import world
from tests.server.fleet.world import BY

FILE = Content(digest="sha256:" + "fe" * 32, size=2_000)


@dataclass
class World(world.World):
    """What people, devices and the plane do with errands; each function is a transaction of its own."""

    def able(self, **changes: Any) -> Device:  # noqa: ANN401 - fields of Device
        """Put a device there whose agent knows of errands."""
        return self.stand(**({"capability": CAPABILITY} | changes))

    def asking(self, device: Device, kind: Kind = Kind.LOGS, **changes: Any) -> Asked:  # noqa: ANN401 - fields of Asked
        """Return what somebody wants of a device."""
        return asked(ErrandId(self.new_id()), device.id, kind, **changes)

    def order(self, device: Device, kind: Kind = Kind.LOGS, **changes: Any) -> Errand:  # noqa: ANN401
        """Order something."""
        return self.database.write_now("order", actions.order, self.act(BY), self.asking(device, kind, **changes))

    def take_back(self, errand: Errand, why: str = "") -> Errand:
        """Cancel an errand."""
        return self.database.write_now("cancel", actions.cancel, self.act(BY), errand.id, why)

    def given(self, *errands: Errand) -> None:
        """Put errands into orders."""
        self.database.write_now("given", writes.given, [one.id for one in errands], self.now)

    def bring(self, errand: Errand, digest: str = FILE.digest, size: int = FILE.size) -> Errand:
        """Let the file of an errand come."""
        return self.database.write_now("brought", writes.brought, errand.id, digest, size)

    def said(self, errand: Errand, outcome: str = "done", **changes: Any) -> Done:  # noqa: ANN401 - fields of Done
        """Return a word of the device on an errand."""
        fields = {"device": errand.device, "errand": errand.id, "kind": errand.kind.value, "outcome": outcome, "at": 1}
        return Done(**(fields | {"journal": "j", "seq": 1, "head": "", "agent": "0.1"} | changes))

    def hear(self, errand: Errand, outcome: str = "done", by: str = "", **changes: Any) -> Errand:  # noqa: ANN401
        """Take a word of device `by`, the errand's own if none is named, each with another digest."""
        act = self.by_device(DeviceId(by or errand.device))
        digest = digests.sha256_hex(self.new_id().encode())
        return self.database.write_now(
            "receive", actions.receive, act, self.said(errand, outcome, **changes), digest, b"{}"
        )

    def lose(self, errand: Errand) -> Errand:
        """Give an errand up."""
        return self.database.write_now("lose", actions.lose, self.act(BY), errand.id)

    def hang(self, scope: str, name: str = "Gun Berg") -> Hold:
        """Hang a tag at a place."""
        hold = Hold(HoldId(self.new_id()), scope, None, name, "The pump is open.", "", BY, self.now)
        return self.database.write_now("hang", fleet_actions.hang, self.act(BY), hold)

    def errand(self, errand: Errand) -> Errand:
        """Read an errand."""
        return self.database.read_now("errand", queries.errand, errand.id)

    def waiting(self, device: Device) -> list[ErrandId]:
        """Read which errands wait for a device."""
        return [one.id for one in self.database.read_now("waiting", queries.waiting, device.id)]

    def to_order(self, device: Device) -> list[str]:
        """Read which errands a device is to be ordered, as the plane's memory knows it."""
        standing = self.standing_of(device.id).errands
        assert standing == self.device(device.id).errands
        return standing.split()

    def after(self, errand: Errand, **more: float) -> None:
        """Move the clock behind the moment until which an errand may be begun."""
        self.now = errand.until + timedelta(**more)


def asked(ident: ErrandId, device: DeviceId, kind: Kind, **changes: Any) -> Asked:  # noqa: ANN401 - fields of Asked
    """Return what somebody wants: a restart of `web`, if it is one."""
    said = {"service": "web" if kind is Kind.RESTART else "", "why": "It hangs."} | changes
    return Asked(ident, device, kind, **said)
