# SPDX-License-Identifier: Apache-2.0
"""The organisation of releases, with a root of trust, an invite, and devices that come to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from checkvalve.crypto import envelope, tokens
from checkvalve.ids import DeviceId, ErrandId, PersonId, ReleaseId
from checkvalve.protocol import exchange, time
from checkvalve.protocol.enrol import Joined, LinkClass, Renewed
from checkvalve.protocol.exchange import Orders, Report
from checkvalve.server.audit import model as audit
from checkvalve.server.db.database import Database
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands.model import Asked, Errand, Kind
from checkvalve.server.exchange import joining
from checkvalve.server.exchange import visit as visits
from checkvalve.server.exchange.ground import Ground, milliseconds
from checkvalve.server.exchange.visit import Visited
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Assignment, Device, Invite
from checkvalve.server.keys import Authority, OrdersKey
from tests.parts import fleet, keyring
from tests.parts.machine import Machine
from tests.server.supply import world

START = datetime(2026, 11, 3, 12, tzinfo=UTC)
KEYS = keyring.plane(START)
PLANE = "norra"
VALUES = bytes(range(32))


@dataclass
class World(world.World):
    """`keys` are the plane's own."""

    keys: tuple[Authority, OrdersKey] = field(default_factory=lambda: KEYS)

    @property
    def ground(self) -> Ground:
        """Return what a crossing stands on at this moment."""
        return Ground(
            plane=PLANE,
            authority=self.keys[0],
            orders=self.keys[1],
            now=self.now,
            new_id=self.new_id,
            entropy=lambda size: self.new_id().encode()[-size:],
            values=VALUES,
            request="a request",
            address="192.0.2.9",
        )

    @property
    def time(self) -> str:
        """Return the signed time of this moment."""
        return time.write(self.keys[1].key, milliseconds(self.now))

    def token(self, *, uses: int = 1, link: LinkClass = LinkClass.REMOTE, observe: bool = False) -> str:
        """Return the token of a new invite to the site."""
        token = tokens.join_token(self.new_id().encode() + b"secret")
        options = {"uses": uses, "link": link, "observe": observe}
        self.database.write_now(
            "invite",
            fleet.invited,
            self.new_id,
            self.site,
            self.now,
            token=token,
            **options,  # type: ignore[arg-type]
        )
        return token

    def invite_of(self, token: str) -> Invite:
        """Read the invite of a token."""
        found = self.database.read_now("invite", fleet_queries.invite_by_digest, tokens.digest(token))
        assert found
        return found

    def join(self, data: bytes) -> Joined:
        """Send a join."""
        asked = joining.asked(data)
        self.database.read_now("ready", joining.ready, self.ground, asked)
        return self.database.write_now("join", joining.join, self.ground, asked)

    def renewed(self, data: bytes) -> Renewed:
        """Send a renewal."""
        asked = joining.renewing(self.ground, data)
        done = self.database.write_now("renew", joining.renew, self.ground, asked)
        if isinstance(done, Exception):
            raise done
        return done

    def machine(self, link: LinkClass = LinkClass.REMOTE) -> Machine:
        """Return a device that has joined, and has told its status."""
        machine = Machine(clock=milliseconds(self.now))
        machine.take(self.join(machine.join(self.token(link=link))))
        self.visit(machine, machine.first())
        return machine

    def visit(self, machine: Machine, report: Report, *, held: bool = False, give: bool = True) -> Visited:
        """Let a device report."""
        asked = (self.ground, DeviceId(machine.id), machine.fingerprint, report)
        return self.database.write_now("visit", visits.visit, *asked, held=held, give=give)

    def assign(self, machine: Machine, release: ReleaseId | None = None) -> Assignment:
        """Let a device run a release, any if none is named."""
        wanted = release or self.made(name=f"line-{self.new_id()[-8:]}").id
        return self.database.write_now("assign", fleet.assigned, self.new_id, DeviceId(machine.id), wanted, self.now)

    def errand(self, machine: Machine, kind: Kind = Kind.LOGS, **changes: Any) -> Errand:  # noqa: ANN401 - of `Asked`
        """Order an errand of a device, a restart of `web` if it is one."""
        said = {"service": "web" if kind is Kind.RESTART else "", "why": "It hangs."} | changes
        asked = Asked(ErrandId(self.new_id()), DeviceId(machine.id), kind, **said)
        return self.database.write_now("order", errand_actions.order, self.act(PersonId("0" * 26)), asked)

    def unassign(self, machine: Machine) -> None:
        """Let a device stay at what it runs."""
        self.database.write_now("unassign", fleet_writes.unassign, DeviceId(machine.id))

    def device(self, machine: Machine) -> Device:
        """Read a device."""
        return self.database.read_now("device", fleet_queries.device, DeviceId(machine.id))

    def acts(self, kind: audit.Kind = audit.Kind.OUTCOME) -> list[str]:
        """Return the actions of devices' entries, newest first."""
        return [each.action for each in self.entries() if each.kind is kind and each.action.startswith("device.")]

    def orders(self, visited: Visited) -> Orders:
        """Return the orders of an answer, whose signature is the plane's."""
        assert visited.answer is not None
        assert visited.answer.orders is not None
        key = self.keys[1].key.public_key()
        return exchange.orders(envelope.unseal(visited.answer.orders, exchange.ORDERS, key))


def started(database: Database, new_id: object, now: datetime) -> World:
    """Return a world with a root of trust and one image."""
    made = World(database, new_id, now)  # type: ignore[arg-type]
    made.install()
    made.bring(world.found("historian:2.4"))
    return made
