# SPDX-License-Identifier: Apache-2.0
"""Who this device is, and for whom: one file, replaced whole, and the key that it names.

1. `identity.json` is the only commit: joining, renewing and joining anew each end with its replacement, so that a power
   cut leaves the device as it was or as it will be.
2. The key is made on the device and leaves it never; it stands in a file of its own, named by its fingerprint.
3. A next certificate is `pending` until an exchange that names its generation has been answered. It is the one in use
   from the start.
4. What a renewal brings is for our key and our id, and from the authority that joining pinned, or it is not taken.
5. A device observes if there is a file `observe` beside all this. Only who can write on the device can change that.
6. A key of before is kept until no slot has secrets that were sealed to it: what runs goes on after joining anew.
7. What it makes in its engine is marked with the id it first had (`owner`). A device that joins anew has another id,
   and goes on with what runs: nothing is orphaned, and nothing stops.
"""

import contextlib
import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from checkvalve import canonical
from checkvalve.agent import trust
from checkvalve.agent.ports import Disk, Link
from checkvalve.crypto import certificates, envelope, keys
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError
from checkvalve.protocol import enrol
from checkvalve.protocol.enrol import LinkClass, Renewal, Renewed

FILE = "identity.json"
KEYS = "keys"
FORMER = "keys/former"
OBSERVE = "observe"
OWNER = "owner"
OBSERVING = b"This device reports, and refuses every change, for as long as this file is here.\n"


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A certificate of this device (PEM), and what came with it: the plane's orders certificate, and how to report."""

    certificate: str
    orders: str
    generation: int
    link: LinkClass
    interval: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """What `identity.json` holds. `addresses` are where the plane is dialled, in order; `root` is the pinned one.

    `proxy` and `source` say how it is dialled (`link.tls`); empty for straight on, and from any address.
    """

    device: str
    plane: str
    addresses: tuple[str, ...]
    ca: str
    root: str
    scope: str
    place: tuple[str, ...]
    current: Certified
    key_name: str
    proxy: str = dataclasses.field(default="", repr=False)  # it may hold a password
    source: str = ""
    pending: Certified | None = None


@dataclass(frozen=True, kw_only=True)
class Identity(Known):
    """A device that has joined; its key is for signing receipts, renewals and for TLS."""

    key: keys.PrivateKey = dataclasses.field(repr=False, compare=False)

    @property
    def used(self) -> Certified:
        """Return what the device goes by: the pending certificate, if there is one (rule 3)."""
        return self.pending or self.current

    @property
    def generation(self) -> int:
        """Return what a report names."""
        return self.used.generation

    @property
    def link(self) -> LinkClass:
        """Return how the plane reaches this device."""
        return self.used.link

    @property
    def interval(self) -> int:
        """Return the seconds between two exchanges of an idle device."""
        return self.used.interval

    @property
    def organisation(self) -> str:
        """Return the id of the organisation, empty for a device above all of them."""
        return trust.organisation(self.scope)

    def orders_key(self) -> keys.PublicKey:
        """Return the key that the plane signs orders and time with; `InvalidError` (`certificate.form`, `key.kind`)."""
        return certificates.public_key(certificates.from_pem(self.used.orders.encode()))

    def pair(self) -> tuple[str, str]:
        """Return certificate and key for TLS, as PEM. Write them to no file that stays."""
        return self.used.certificate, keys.dump(self.key).decode()


def load(disk: Disk) -> Identity | None:
    """Return who this device is, or None if it has not joined.

    Raises `InvalidError` (`identity.damaged`, `identity.key`): then a person has to have it join anew.
    """
    try:
        data = disk.read(FILE)
    except NotFoundError:
        return None
    try:
        known = msgspec.json.decode(data, type=Known)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(
            "identity.damaged",
            "The file identity.json cannot be read.",
            "Bring it back from a copy, or join anew: checkvalve-agent join --again.",
        ) from error
    try:
        key = keys.load(disk.read(known.key_name))
    except (NotFoundError, InvalidError) as error:
        raise InvalidError(
            "identity.key",
            f"The key of this device, {known.key_name}, is missing or damaged.",
            "Bring it back from a copy, or join anew: checkvalve-agent join --again.",
        ) from error
    return Identity(**_fields(known), key=key)


def save(disk: Disk, identity: Identity) -> None:
    """Be this device from now on (rule 1); its key is on the disk already."""
    disk.replace(FILE, msgspec.json.encode(Known(**_fields(identity))))


def key_name(key: keys.PrivateKey) -> str:
    """Return the name of the file that this key stands in."""
    return f"{KEYS}/{keys.fingerprint(key.public_key()).removeprefix('sha256:')[:16]}.pem"


def opening(disk: Disk) -> list[keys.PrivateKey]:
    """Return the keys that secrets of this device may be sealed to: its own first, then those of before (rule 6)."""
    return [*_keys(disk, KEYS), *former(disk)]


def former(disk: Disk) -> list[keys.PrivateKey]:
    """Return the keys of before (rule 6)."""
    return _keys(disk, FORMER)


def forget_former(disk: Disk) -> None:
    """Have no keys of before; nothing is sealed to them any more (rule 6)."""
    for name in disk.names(FORMER):
        disk.remove(f"{FORMER}/{name}")


def observes(disk: Disk) -> bool:
    """Tell whether this device only observes (rule 5)."""
    return disk.exists(OBSERVE)


def owner(disk: Disk, known: Known) -> str:
    """Return the id that this device's containers and slots are marked with (rule 7)."""
    try:
        return disk.read(OWNER).decode("ascii", "replace").strip()
    except NotFoundError:
        return known.device


def due(identity: Identity, now: datetime) -> bool:
    """Tell whether two thirds of the certificate's life are over by the floor of time `now`."""
    begins, ends = certificates.validity(certificates.from_pem(identity.used.certificate.encode()))
    return now >= begins + (ends - begins) * 2 / 3


async def renew(disk: Disk, identity: Identity, link: Link) -> Identity:
    """Get the next certificate (walk enrolment, 11 and 13), store it as pending, return the identity with it (rule 4).

    The plane's time now is only the challenge: it is not verified, so that a plane with a new orders key can still be
    renewed from. Raises `InvalidError` (`renew.answer`), and what the link raises; nothing has changed then.
    """
    asked = Renewal(device=identity.device, generation=identity.generation, time=await link.time())
    sealed = envelope.seal(identity.key, enrol.RENEWAL, canonical.dumps(msgspec.to_builtins(asked)))
    came = _renewed(await link.renew(envelope.write(sealed)))
    if came.generation < identity.generation:
        raise _refused(f"it is of generation {came.generation}, and {identity.generation} is here already")
    why = wrong(came.certificate, came.orders, identity.ca, device=identity.device, key=identity.key)
    if why:
        raise _refused(why)
    pending = Certified(**{field.name: getattr(came, field.name) for field in dataclasses.fields(Certified)})
    # A plane that gives the one after the pending one has confirmed that.
    kept = identity.used if came.generation > identity.generation else identity.current
    renewed = dataclasses.replace(identity, current=kept, pending=pending)
    save(disk, renewed)
    return renewed


def confirmed(disk: Disk, identity: Identity) -> Identity:
    """Return the identity after an answered exchange that named the pending generation; the old one is forgotten."""
    if identity.pending is None:
        return identity
    settled = dataclasses.replace(identity, current=identity.pending, pending=None)
    save(disk, settled)
    return settled


def wrong(certificate: str, orders: str, ca: str, *, device: str, key: keys.PrivateKey) -> str:
    """Return why what the plane issued is not taken (rule 4), empty if it is; all texts are PEM."""
    try:
        authority = certificates.from_pem(ca.encode())
        own, ordering = certificates.from_pem(certificate.encode()), certificates.from_pem(orders.encode())
        if not (certificates.issued_by(own, authority) and certificates.issued_by(ordering, authority)):
            return "a certificate is not from the authority that this device has pinned"
        if certificates.device_id(own) != device:
            return "the certificate is of another device"
        if keys.spki(certificates.public_key(own)) != keys.spki(key.public_key()):
            return "the certificate is for another key"
        certificates.public_key(ordering)
        return "" if certificates.is_orders(ordering) else "the certificate for orders is not one for that use"
    except CheckvalveError as error:
        return error.sentence


def _keys(disk: Disk, folder: str) -> list[keys.PrivateKey]:
    found = list[keys.PrivateKey]()
    for name in disk.names(folder):
        with contextlib.suppress(InvalidError, NotFoundError):
            found.append(keys.load(disk.read(f"{folder}/{name}")))
    return found


def _renewed(data: bytes) -> Renewed:
    try:
        return msgspec.json.decode(data, type=Renewed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("it cannot be read") from error


def _fields(known: Known) -> dict[str, Any]:
    return {field.name: getattr(known, field.name) for field in dataclasses.fields(Known)}


def _refused(why: str) -> InvalidError:
    return InvalidError(
        "renew.answer",
        f"The plane's answer is not taken: {why.rstrip('.')}.",
        "Look whether plane and agent are of versions that know each other; the device goes on with what it has.",
    )
