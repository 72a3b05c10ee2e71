# SPDX-License-Identifier: Apache-2.0
"""Small orders of the water company, one in each state that somebody may find it in, with what they truly brought."""

import gzip
from dataclasses import dataclass, field
from typing import Any

from checkvalve.crypto import digests, envelope
from checkvalve.ids import ErrandId
from checkvalve.protocol import errand as messages
from checkvalve.protocol.errand import Content, Done
from checkvalve.server.audit.model import PLANE, Act, Actor
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import writes as errand_writes
from checkvalve.server.errands.model import CAPABILITY, Asked, Errand, Kind
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device
from tests.server.web.pages.machines import Machines

HUNG = "A lock-out tag hangs: Ola Ek, \u201cI am inside the pump house.\u201d"
LINES = """historian | 2026-11-23T14:02:11Z INFO  opening /var/lib/historian/values.db, schema 41
historian | 2026-11-23T14:02:11Z INFO  41 218 004 values, the oldest of 2026-08-25
historian | 2026-11-23T14:02:12Z WARN  tag PS3.FLOW.07: 212 values came late, up to 340 s
historian | 2026-11-23T14:03:40Z ERROR opc.tcp://plc-3.station.example:4840: connection refused, trying again in 5 s
opc-bridge | 14:03:40 \x1b[31mlost\x1b[0m plc-3 (BadConnectionClosed)
opc-bridge | 14:03:45 \x1b[32mlinked\x1b[0m to plc-3, 118 subscriptions, token [secret OPC_TOKEN]
"""


@dataclass
class Ordered:
    """What was ordered of an estate's devices; the newest of each state by its name."""

    machines: Machines
    errands: dict[str, Errand] = field(default_factory=dict)

    def few(self) -> "Ordered":
        """Make them."""
        for name in ("pump-07", "pump-08", "mixer-02", "chlor-01", "well-33"):
            self.able(name)
        self.ends("bundle", self.order("pump-07", Kind.BUNDLE, ago=2_900), brings=b"\x1f\x8b" * 90_000)
        cancelled = self.order("pump-07", Kind.LOGS, ago=1_500, service="opc-bridge")
        self.cancel("cancelled", cancelled, "Found it in the historian.", ago=1_499)
        refused = self.order("pump-08", Kind.RESTART, ago=200, service="historian", why="It grows and grows.")
        self.ends("refused", refused, "refused", ago=199, code="hold.hung", reason=HUNG)
        failed = self.order("mixer-02", Kind.RESTART, ago=52, service="historian", why="It does not answer.")
        self.ends("failed", failed, "failed", ago=51, code="errand.down", reason="It was started, and exited with 1.")
        self.lose("lost", self.order("well-33", Kind.REBOOT, ago=3_000, why="No word since noon."))
        restart = self.order("pump-07", Kind.RESTART, ago=33, service="opc-bridge", why="It holds a dead link.")
        self.ends("restart", restart, ago=32, reason="The service opc-bridge was restarted, and runs.")
        logs = self.order("pump-07", Kind.LOGS, ago=12, since=3_600)
        self.ends("logs", logs, ago=11, brings=gzip.compress(LINES.encode() * 12, mtime=0))
        self.errands["silent"] = self.order("well-33", Kind.LOGS, ago=300)
        self.errands["given"] = self.given(self.order("chlor-01", Kind.BUNDLE, ago=3))
        self.errands["waiting"] = self.order("pump-07", Kind.LOGS, ago=0.1, service="historian")
        return self

    def able(self, name: str) -> None:
        """Let a device's agent know of small orders."""
        device = self.machines.devices[name]
        self._write(lambda tx: fleet_writes.visited(tx, device.id, {"capability": CAPABILITY}))

    def order(self, name: str, kind: Kind, *, ago: float = 0, **more: Any) -> Errand:  # noqa: ANN401 - of what is asked
        """Let Olof order something of a device."""
        asked = Asked(ErrandId(self.machines.estate.new_id(ago)), self.machines.devices[name].id, kind, **more)
        act = self.machines.estate.act(self.machines.estate.actor("olof"), ago)
        made: Errand = self._write(lambda tx: errand_actions.order(tx, act, asked))
        return made

    def given(self, errand: Errand) -> Errand:
        """Let it be told to its device."""
        at = self.machines.estate.moment(0)
        self._write(lambda tx: errand_writes.given(tx, [errand.id], at))
        return errand

    def cancel(self, state: str, errand: Errand, why: str, ago: float) -> None:
        """Let Olof take it back."""
        act = self.machines.estate.act(self.machines.estate.actor("olof"), ago)
        self.errands[state] = self._write(lambda tx: errand_actions.cancel(tx, act, errand.id, why))

    def lose(self, state: str, errand: Errand) -> None:
        """Let the plane give it up."""
        act = Act(self.machines.estate.act(PLANE).id, self.machines.estate.moment(30), PLANE)
        self.errands[state] = self._write(lambda tx: errand_actions.lose(tx, act, errand.id))

    def ends(  # `more` is of `Done`
        self, state: str, errand: Errand, outcome: str = "done", *, ago: float = 0, brings: bytes = b"", **more: str
    ) -> None:
        """Let the device do it, or not."""
        estate, content = self.machines.estate, None
        if brings:
            stored = estate.plane.blobs.put(brings)
            self._write(lambda tx: errand_writes.brought(tx, errand.id, stored.digest, stored.size))
            content = Content(digest=stored.digest, size=stored.size)
        at = int(estate.moment(ago).timestamp() * 1000)
        fields: dict[str, Any] = {"device": errand.device, "errand": errand.id, "kind": errand.kind.value}
        fields |= {"begun": 0 if outcome == "refused" else at - 900, "at": at, "journal": estate.new_id(ago), "seq": 41}
        fields |= {"head": digests.sha256_hex(b"line 41"), "agent": "0.3.0", "content": content, "outcome": outcome}
        said, device = Done(**fields | more), self._device(errand)
        sealed = envelope.seal(self.machines.secrets[device.name], messages.ERRAND, messages.write(said))
        act = estate.act(Actor("device", device.id, device.name), ago)
        final = (envelope.digest(sealed), envelope.write(sealed))
        self.errands[state] = self._write(lambda tx: errand_actions.receive(tx, act, said, *final))

    def _device(self, errand: Errand) -> Device:
        return self.machines.estate.db.read_now("device", fleet_queries.device, errand.device)

    def _write(self, work: Any) -> Any:  # noqa: ANN401 - what it returns
        return self.machines.estate.db.write_now("small", work)
