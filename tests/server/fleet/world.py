# SPDX-License-Identifier: Apache-2.0
"""The small organisation with an area, invites and devices in it, in a real database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve.crypto import keys, tokens
from checkvalve.ids import AttemptId, DeviceId, EntryId, InviteId, PersonId, ReleaseId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.fleet import actions, admit, queries
from checkvalve.server.fleet.model import Assignment, Device, Invite, Kept, Line, Standing
from tests.parts import fleet, stock
from tests.server.rollouts import world

BY = PersonId("0" * 26)


@dataclass
class World(world.World):
    """An area below the site, and another organisation beside it."""

    area: str = ""
    foreign: str = ""

    def __post_init__(self) -> None:
        """Make the places."""
        super().__post_init__()
        self.area = self.place(self.site, "area")
        self.foreign = self.place(self.place("/", "organisation"), "site")

    def asked(
        self,
        scope: str = "",
        *,
        tags: Sequence[str] = (),
        uses: int = 1,
        lasts: timedelta = timedelta(hours=1),
        link: LinkClass = LinkClass.REMOTE,
        observe: bool = False,
    ) -> Invite:
        """Return an invite that nobody has made yet."""
        return Invite(
            id=InviteId(self.new_id()),
            scope=scope or self.site,
            tags=tuple(tags),
            link=link,
            observe=observe,
            uses=uses,
            used=0,
            made_by=BY,
            made_at=self.now,
            ends_at=self.now + lasts,
        )

    def invite(self, asked: Invite | None = None) -> Invite:
        """Make an invite; its token is its id."""
        invite = asked or self.asked()
        digest = tokens.digest(invite.id)
        return self.database.write_now("invite", actions.invite, self.act(BY), invite, digest)

    def revoke(self, invite: InviteId) -> Invite:
        """Revoke an invite."""
        return self.database.write_now("revoke", actions.revoke, self.act(BY), invite)

    def by_token(self, token: str) -> Invite | None:
        """Read the invite of a token."""
        return self.database.read_now("invite", queries.invite_by_digest, tokens.digest(token))

    def newcomer(self, invite: Invite, name: str = "edge", key: keys.PublicKey | None = None) -> Device:
        """Return a device that has not joined yet."""
        public = key or keys.make().public_key()
        return admit.newcomer(
            invite,
            id=DeviceId(self.new_id()),
            name=name,
            public=keys.dump_public(public),
            key=keys.fingerprint(public),
            machine="a machine",
            capability=2,
            now=self.now,
        )

    def join(self, invite: Invite, name: str = "edge", key: keys.PublicKey | None = None) -> Device:
        """Let a device join."""
        newcomer = self.newcomer(invite, name, key)
        act = self.by_device(newcomer.id)
        return self.database.write_now("join", actions.join, act, invite.id, newcomer)

    def by_device(self, device: DeviceId) -> Act:
        """Return an act of a device, now."""
        return Act(id=EntryId(self.new_id()), at=self.now, actor=Actor("device", device, "edge"))

    def quarantine(self, device: DeviceId, reason: str = "It was seen elsewhere.") -> Device:
        """Shut a device out."""
        return self.database.write_now("quarantine", actions.quarantine, self.act(BY), device, reason)

    def accept(self, device: DeviceId, reason: str = "It was looked at.") -> Device:
        """Let a device in again."""
        return self.database.write_now("accept", actions.accept, self.act(BY), device, reason)

    def retire(self, device: DeviceId, reason: str = "It was scrapped.") -> Device:
        """Retire a device."""
        return self.database.write_now("retire", actions.retire, self.act(BY), device, reason)

    def describe(
        self, device: DeviceId, name: str | None = None, tags: Iterable[str] | None = None, scope: str | None = None
    ) -> Device:
        """Describe a device anew."""
        return self.database.write_now("describe", actions.describe, self.act(BY), device, name, tags, scope)

    def renew(self, device: DeviceId, generation: int) -> Device:
        """Note a renewal for a day."""
        ends_at = self.now + timedelta(days=1)
        return self.database.write_now("renew", actions.renew, self.by_device(device), device, generation, ends_at)

    def device(self, device: DeviceId) -> Device:
        """Read a device."""
        return self.database.read_now("device", queries.device, device)

    def standing_of(self, device: DeviceId) -> Standing:
        """Read the standing of a device."""
        return self.database.read_now("standing", queries.standing, device)

    def revision(self) -> int:
        """Read the revision."""
        return self.database.read_now("revision", queries.revision)

    def release(self) -> ReleaseId:
        """Put a release of the organisation there; return its id."""
        ident = self.new_id()
        named = f"line-{ident}@sha256:{ident:0>64}"
        stock.release(self.database, ident, named, self.now, scope=self.org)
        return ReleaseId(ident)

    def assign(self, device: DeviceId, release: ReleaseId | None = None) -> Assignment:
        """Let a device run a release."""
        wanted = release or self.release()
        return self.database.write_now("assign", fleet.assigned, self.new_id, device, wanted, self.now)

    def kept(self, device: Device, digest: str = "ab" * 32, outcome: State = State.COMMITTED) -> Kept:
        """Return a receipt that nobody has taken yet."""
        return Kept(
            device=device.id,
            digest=digest,
            scope="",
            attempt=AttemptId(self.new_id()),
            release="sha256:" + "5e" * 32,
            outcome=outcome,
            code="gate.exit",
            reason="It ended with 1.",
            envelope=b"{}",
            came_at=self.now,
        )

    def receive(self, kept: Kept) -> Kept:
        """Take a receipt."""
        return self.database.write_now("receive", actions.receive, self.by_device(kept.device), kept)


def line(seq: int, came_at: datetime, journal: str = "one", attempt: str = "", said: bytes = b"{}") -> Line:
    """Return a line of a journal."""
    return Line(journal, seq, attempt, State.FETCHING, said, came_at)
