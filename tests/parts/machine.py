# SPDX-License-Identifier: Apache-2.0
"""A device as the plane meets it: a key, a journal, a status, and what it signs. It decides nothing."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from checkvalve import canonical
from checkvalve.crypto import certificates, envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.protocol import enrol, errand, exchange, receipt
from checkvalve.protocol.enrol import Join, Joined, Renewal
from checkvalve.protocol.errand import Done
from checkvalve.protocol.exchange import Event, Report, State, Status
from checkvalve.protocol.receipt import Receipt
from checkvalve.protocol.version import CAPABILITY

JOURNAL = "06e5q0kq3w8v9z2x4c6b8n0m1a"
RELEASE = "sha256:" + "5e" * 32


@dataclass
class Machine:
    """One device. `joined` is what the plane gave it; `clock` its own, in Unix milliseconds."""

    key: keys.PrivateKey = field(default_factory=keys.make)
    id: str = ""
    certificate: str = ""
    generation: int = 1
    journal: str = JOURNAL
    seq: int = 0
    clock: int = 0
    status: Status = field(default_factory=lambda: Status(state=State.IDLE, agent="0.1", engine="simulated"))

    @property
    def fingerprint(self) -> str:
        """Return what names its key."""
        return keys.fingerprint(self.key.public_key())

    @property
    def der(self) -> bytes:
        """Return its certificate as TLS shows it."""
        return certificates.from_pem(self.certificate.encode())

    def join(self, token: str, name: str = "edge", **changes: Any) -> bytes:  # noqa: ANN401 - fields of Join
        """Return a join."""
        public = keys.dump_public(self.key.public_key()).decode()
        said = {"token": token, "public": public, "name": name, "machine": "a machine", "capability": CAPABILITY}
        payload = msgspec.json.encode(Join(**{**said, **changes}))
        return self.sealed(enrol.JOIN, payload)

    def take(self, joined: Joined) -> "Machine":
        """Keep what the plane answered."""
        self.id, self.certificate, self.generation = joined.device, joined.certificate, joined.generation
        return self

    def renewal(self, time: str, **changes: Any) -> bytes:  # noqa: ANN401 - fields of Renewal
        """Return a renewal."""
        said: dict[str, Any] = {"device": self.id, "generation": self.generation, "time": time}
        return self.sealed(enrol.RENEWAL, msgspec.json.encode(Renewal(**{**said, **changes})))

    def report(self, **changes: Any) -> Report:  # noqa: ANN401 - fields of Report
        """Return what it says when nothing is new."""
        said: dict[str, Any] = {
            "capability": CAPABILITY,
            "journal": self.journal,
            "seq": self.seq,
            "generation": self.generation,
            "state": exchange.digest(self.status),
            "clock": self.clock,
        }
        return Report(**{**said, **changes})

    def first(self, **changes: Any) -> Report:  # noqa: ANN401 - fields of Report
        """Return its first report: its status too."""
        return self.report(status=self.status, **changes)

    def events(self, *states: State, attempt: str = "") -> tuple[Event, ...]:
        """Write lines into its journal; return them."""
        made = []
        for state in states:
            self.seq += 1
            made.append(Event(seq=self.seq, at=self.clock, kind="state", attempt=attempt, state=state))
        return tuple(made)

    def receipt(self, attempt: str, outcome: State = State.COMMITTED, **changes: Any) -> Envelope:  # noqa: ANN401
        """Return a receipt, signed."""
        said: dict[str, Any] = {
            "device": self.id,
            "attempt": attempt,
            "release": RELEASE,
            "target": "press-line/5e.json",
            "outcome": outcome,
            "active": RELEASE,
            "steps": (),
            "services": (),
            "at": self.clock,
            "offset": 0,
            "journal": self.journal,
            "first": 1,
            "last": 1,
            "head": "00" * 32,
            "agent": "0.1",
            "engine": "simulated",
        }
        return envelope.seal(self.key, receipt.RECEIPT, receipt.write(Receipt(**{**said, **changes})))

    def done(self, ident: str, kind: str = "logs", outcome: str = "done", **changes: Any) -> Envelope:  # noqa: ANN401
        """Return its word on an errand, signed; `changes` are fields of `Done`."""
        said: dict[str, Any] = {
            "device": self.id,
            "errand": ident,
            "kind": kind,
            "outcome": outcome,
            "at": self.clock,
            "journal": self.journal,
            "seq": 1,
            "head": "00" * 32,
            "agent": "0.1",
        }
        return envelope.seal(self.key, errand.ERRAND, errand.write(Done(**{**said, **changes})))

    def sealed(self, kind: str, payload: bytes) -> bytes:
        """Return a document signed with its key."""
        return envelope.write(envelope.seal(self.key, kind, payload))


def line(event: Event) -> bytes:
    """Return a journal's line of an event."""
    return canonical.dumps(msgspec.to_builtins(event))
