# SPDX-License-Identifier: Apache-2.0
"""A plane within the process: the peer that devices are tried with.

It keeps what a plane keeps, signs with keys of its own, and answers as the real one does: orders come until the device
says that it accepted them, events and receipts are acknowledged by what is kept, a status is asked for by its digest.
It judges nothing; what goes wrong is what its knobs say.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from checkvalve import canonical, ids
from checkvalve.crypto import certificates, envelope, keys
from checkvalve.crypto.digests import sha256_hex
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import (
    CheckvalveError,
    ConflictError,
    ForbiddenError,
    InvalidError,
)
from checkvalve.protocol import enrol, exchange, time
from checkvalve.protocol import values as documents
from checkvalve.protocol.enrol import Join, Joined, LinkClass, Renewal, Renewed
from checkvalve.protocol.exchange import Answer, Deploy, Event, Orders, Report, Status
from checkvalve.protocol.values import Values

YEARS = timedelta(days=7_300)


@dataclass
class Knobs:
    """What goes wrong. `drops` answers are lost after the report was taken; a blob breaks off after `cut` bytes.

    So does what is sent.
    """

    unreachable: bool = False
    drops: int = 0
    slow: float = 0.0  # seconds before each answer, by the device's clock
    cut: int | None = None
    refuses: CheckvalveError | None = None
    skew: timedelta = timedelta()  # the plane's clock is wrong by this


@dataclass
class Member:
    """A device, as this plane knows it. `orders` come until they are accepted."""

    public: keys.PublicKey
    generation: int = 1
    pending: int = 0
    orders: Envelope | None = None
    order: tuple[int, int] = (0, 0)
    known: dict[str, int] = field(default_factory=dict)  # by journal
    token: str = ""


@dataclass
class Kept:
    """What a copy of the plane holds, and what a restored one has lost again."""

    epoch: int = 1
    counter: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    events: dict[tuple[str, str, int], Event] = field(default_factory=dict)  # by device, journal and number
    receipts: dict[str, Envelope] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)  # what errands brought, by errand


class Plane:
    """`now` is the plane's clock, `root` the first root of trust; `metadata` has files by name (`2.targets.json`)."""

    def __init__(self, now: Callable[[], datetime], name: str = "plane") -> None:
        self.now = now
        self.name = name
        self.knobs = Knobs()
        self.kept = Kept()
        self.root = b""
        self.metadata: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.blobs: Mapping[str, bytes] = {}
        self.values: dict[str, bytes] = {}  # by digest; it judges not whose they are
        self.closed: dict[str, CheckvalveError] = {}  # errands that no file is taken of, and what says so
        self.tokens: set[str] = set()
        self.scope = "/"
        self.link = LinkClass.REMOTE
        self.interval = 60
        self.next: int | None = None
        self.lifetime = timedelta(hours=24)
        self.reports: list[Report] = []
        self.news = asyncio.Event()
        self._serial = 0
        self._authority_key = keys.make()
        self.orders_key = keys.make()
        since, until = now() - YEARS, now() + YEARS
        self.authority = certificates.issue_authority(
            self._authority_key, name, not_before=since, not_after=until, serial=self._next_serial()
        )
        self.orders_certificate = self._certified(since, until)

    def rekey(self) -> None:
        """Sign orders and time with another key from now on, certified anew."""
        self.orders_key = keys.make()
        self.orders_certificate = self._certified(self.moment() - YEARS, self.moment() + YEARS)

    def _certified(self, since: datetime, until: datetime) -> bytes:
        return certificates.issue_orders(
            self.authority,
            self._authority_key,
            self.orders_key.public_key(),
            not_before=since,
            not_after=until,
            serial=self._next_serial(),
        )

    @property
    def pin(self) -> str:
        """Return what people carry to a device."""
        return keys.fingerprint(self._authority_key.public_key())

    def moment(self) -> datetime:
        """Return what this plane takes for now."""
        return self.now() + self.knobs.skew

    def time(self) -> str:
        """Return the signed time."""
        return time.write(self.orders_key, _unix(self.moment()))

    def certificate(self, device: str, public: keys.PublicKey) -> str:
        """Return a device's certificate (PEM), good from now for the lifetime."""
        moment = self.moment()
        return _pem(
            certificates.issue_device(
                self.authority,
                self._authority_key,
                public,
                device,
                not_before=moment,
                not_after=moment + self.lifetime,
                serial=self._next_serial(),
            )
        )

    def listener(self, *names: str) -> tuple[str, str]:
        """Return certificate and key (PEM) of a listener under these names, for a plane that is dialled."""
        key, moment = keys.make(), self.now()
        certificate = certificates.issue_server(
            self.authority,
            self._authority_key,
            key.public_key(),
            names,
            not_before=moment - YEARS,
            not_after=moment + YEARS,
            serial=self._next_serial(),
        )
        return _pem(certificate), keys.dump(key).decode()

    def admit(self, public: keys.PublicKey, *, token: str = "") -> Joined:
        """Let a device in; the same key again is the same device."""
        members = self.kept.members
        device = next((name for name, each in members.items() if keys.spki(each.public) == keys.spki(public)), "")
        if not device:
            device = ids.encode(_unix(self.now()), len(members).to_bytes(10))
            members[device] = Member(public, token=token)
        return Joined(
            device=device,
            plane=self.name,
            certificate=self.certificate(device, public),
            authority=_pem(self.authority),
            orders=_pem(self.orders_certificate),
            root=self.root.decode(),
            link=self.link,
            interval=self.interval,
            generation=members[device].generation,
            observe=False,
            scope=self.scope,
            place=[],
        )

    def join(self, data: bytes) -> Joined:
        """Answer a join; a token is good for one key."""
        sealed = envelope.read(data)
        asked = msgspec.json.decode(sealed.payload, type=Join)
        public = keys.load_public(asked.public.encode())
        envelope.unseal(sealed, enrol.JOIN, public)
        taken = [each for each in self.kept.members.values() if each.token == asked.token]
        if asked.token not in self.tokens or any(keys.spki(each.public) != keys.spki(public) for each in taken):
            raise ForbiddenError("invite.refused", "This token lets nobody in.", "Ask for another one.")
        return self.admit(public, token=asked.token)

    def renew(self, data: bytes) -> Renewed:
        """Answer a renewal with the next generation, which counts once a report names it."""
        sealed = envelope.read(data)
        asked = msgspec.json.decode(sealed.payload, type=Renewal)
        member = self._member(asked.device)
        envelope.unseal(sealed, enrol.RENEWAL, member.public)
        time.read(asked.time, self.orders_key.public_key())
        self._confirm(member, asked.generation)
        member.pending = member.generation + 1
        return Renewed(
            certificate=self.certificate(asked.device, member.public),
            orders=_pem(self.orders_certificate),
            generation=member.pending,
            link=self.link,
            interval=self.interval,
        )

    def deploy(self, device: str, attempt: str, target: str, values: str = "", **changes: object) -> Envelope:
        """Order a release, with the values of a digest if one is said; `changes` are other fields of the orders."""
        asked = Deploy(attempt=attempt, target=target, values={"digest": values} if values else {})
        return self.order(device, msgspec.json.encode(asked), **changes)

    def fill(self, values: Values) -> str:
        """Keep what fills a release on a device, and return its digest."""
        data = documents.write(values)
        self.values[documents.digest(data)] = data
        return documents.digest(data)

    def order(self, device: str, *items: bytes, **changes: object) -> Envelope:
        """Sign orders of these items, which the device hears until it has accepted them."""
        self.kept.counter += 1
        moment = _unix(self.moment())
        orders = Orders(
            plane=self.name,
            device=device,
            epoch=self.kept.epoch,
            counter=self.kept.counter,
            issued_at=moment,
            expires_at=moment + 3_600_000,
            items=tuple(msgspec.Raw(item) for item in items),
        )
        orders = msgspec.structs.replace(orders, **changes)
        payload = canonical.dumps(msgspec.json.decode(msgspec.json.encode(orders)))
        sealed = envelope.seal(self.orders_key, exchange.ORDERS, payload)
        if device in self.kept.members:
            member = self.kept.members[device]
            member.orders, member.order = sealed, (orders.epoch, orders.counter)
        self.news.set()
        return sealed

    def receive(self, device: str, data: bytes) -> Answer | None:
        """Take a report; return what there is to say, None if nothing."""
        report = msgspec.json.decode(data, type=Report)
        member = self._member(device)
        self._confirm(member, report.generation)
        self.reports.append(report)
        known = member.known.setdefault(report.journal, 0)
        for event in report.events:
            self.kept.events[device, report.journal, event.seq] = event
            known = event.seq if event.seq == known + 1 or known < event.seq == report.oldest else known
        member.known[report.journal] = known
        receipts = {envelope.digest(each): each for each in report.receipts}
        self.kept.receipts |= receipts
        if report.status is not None:
            self.kept.statuses[exchange.digest(report.status)] = report.status
        tell = report.state not in self.kept.statuses
        if member.order <= (report.epoch, report.counter):
            member.orders = None
        if member.orders is None and not (receipts or tell or report.events or known < report.seq):
            return None
        return Answer(orders=member.orders, known=known, receipts=tuple(receipts), tell=tell)

    def take(self, device: str, errand: str, digest: str, data: bytes) -> None:
        """Take what an errand brought; it judges not whose the errand is."""
        self._member(device)
        if errand in self.closed:
            raise self.closed[errand]
        if f"sha256:{sha256_hex(data)}" != digest:
            raise InvalidError("errand.digest", "What came is not what its digest says.", "Order it again.")
        if self.kept.contents.setdefault(errand, data) != data:
            raise ConflictError("errand.content", "Another file came of this errand before.", "The first one stays.")

    def waiting(self, device: str, journal: str) -> Answer | None:
        """Return what came up since the device's last report, of this journal: orders, if any."""
        member = self._member(device)
        return Answer(orders=member.orders, known=member.known[journal]) if member.orders is not None else None

    def copied(self) -> Kept:
        """Return a copy of what the plane keeps, to be restored later."""
        held = [each.public for each in self.kept.members.values()]
        return copy.deepcopy(self.kept, {id(public): public for public in held})

    def restored(self, kept: Kept) -> None:
        """Be the plane of an earlier copy: it knows less, and raises its epoch."""
        self.kept = kept
        self.kept.epoch += 1
        self.news.set()

    def _member(self, device: str) -> Member:
        if device not in self.kept.members:
            raise ForbiddenError("device.unknown", "The plane does not know this device.", "Have it join.")
        return self.kept.members[device]

    def _confirm(self, member: Member, generation: int) -> None:
        if generation == member.pending:
            member.generation, member.pending = generation, 0

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


def _unix(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _pem(der: bytes) -> str:
    return certificates.to_pem(der).decode()
