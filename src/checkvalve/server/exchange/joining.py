# SPDX-License-Identifier: Apache-2.0
"""How a device becomes known, and how it renews its certificate (walk enrolment, 5 to 14).

Rules: 1. a signature is checked before anything else is asked, so that nobody without a device's key moves anything;
2. the same token with the same key is the same device, and no second use; 3. whoever is not known, or has not the
device's key, gets one answer; 4. a renewal answers a challenge: a time that this plane signed in the last minutes;
5. a generation that was left behind is a copy, and the device is shut out, unless the challenge is older than the
newest certificate: then the message was late, or somebody repeats one that was overheard; 6. a device begins with the
newest root of trust: every older one is signed over by people, and this one is what they say now.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec

from checkvalve.crypto import certificates, envelope, keys, tokens
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import enrol, time
from checkvalve.protocol.enrol import Join, Joined, Renewal, Renewed
from checkvalve.server.access import queries as access_queries
from checkvalve.server.audit.model import PLANE, Actor
from checkvalve.server.db.database import Tx
from checkvalve.server.exchange.ground import Ground, actor, milliseconds
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import admit, generations, trust
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.generations import Behind
from checkvalve.server.fleet.model import LIFETIMES, REJOIN, Device, Invite
from checkvalve.server.supply import queries as supply_queries

CHALLENGE = timedelta(minutes=10)
FIRST = 1  # generation: also for a device that asks again, so that one whose key went on elsewhere is found out
_BACKDATED = timedelta(hours=1)  # little: two thirds of a life that began long ago would be over too soon
_FORM = "Bring agent and plane up to date."

T = TypeVar("T", Join, Renewal)


@dataclass(frozen=True, slots=True)
class Asked:
    """A join whose signature was checked: it comes from whoever has the key with this fingerprint."""

    join: Join
    key: str


@dataclass(frozen=True, slots=True)
class Renewing:
    """A renewal as it came, not checked yet: whose key it must be signed with, the database says."""

    renewal: Renewal
    sealed: Envelope
    challenge: int  # Unix milliseconds


# Joining


def asked(data: bytes) -> Asked:
    """Return the join in `data`, whose signature is that of the key in it (rule 1).

    Raises `InvalidError` (`envelope.size`, `envelope.form`, `envelope.kind`, `envelope.signature`, `join.form`,
    `key.form`, `key.kind`).
    """
    sealed = envelope.read(data)
    join = _read(sealed, Join, "join.form", "This is no join")
    public = keys.load_public(join.public.encode())
    envelope.unseal(sealed, enrol.JOIN, public)
    return Asked(join, keys.fingerprint(public))


def ready(tx: Tx, ground: Ground, asked: Asked) -> None:
    """Refuse, by reading only, whoever would be refused: to ask must cost the plane little. Raises as `join` does."""
    _root(tx)
    admit.judge(_invite(tx, asked), fleet_queries.by_key(tx, asked.key), ground.now)


def join(tx: Tx, ground: Ground, asked: Asked) -> Joined:
    """Let a device in, or give one that came in with this token its answer again (rule 2).

    Raises `ConflictError` (`trust.missing`, `device.known`), `ForbiddenError` (`invite.refused`, `device.quarantined`,
    `device.retired`).
    """
    root = _root(tx)
    found = _invite(tx, asked)
    match admit.judge(found, fleet_queries.by_key(tx, asked.key), ground.now):
        case admit.Again(device):
            return _joined(tx, ground, device, root)
        case admit.New(invite):
            made = _newcomer(ground, asked, invite)
            return _joined(tx, ground, fleet_actions.join(tx, ground.act(actor(made)), invite.id, made), root)


def _newcomer(ground: Ground, asked: Asked, invite: Invite) -> Device:
    return admit.newcomer(
        invite,
        id=DeviceId(ground.new_id()),
        name=asked.join.name,
        public=keys.dump_public(keys.load_public(asked.join.public.encode())),
        key=asked.key,
        machine=asked.join.machine,
        capability=asked.join.capability,
        now=ground.now,
    )


def _invite(tx: Tx, asked: Asked) -> Invite | None:
    if not tokens.join_well_formed(asked.join.token):
        return None
    return fleet_queries.invite_by_digest(tx, tokens.digest(asked.join.token))


def _root(tx: Tx) -> bytes:
    root = supply_queries.anchor(tx).root
    if root is None:
        raise ConflictError(
            "trust.missing",
            "This plane has no root of trust yet, so a device would have nobody to believe.",
            "Give the plane its root first, with `checkvalve trust install root.json`.",
        )
    return root


def _joined(tx: Tx, ground: Ground, device: Device, root: bytes) -> Joined:
    return Joined(
        device=device.id,
        plane=ground.plane,
        certificate=_certificate(ground, device),
        authority=_pem(ground.authority.certificate),
        orders=_pem(ground.orders.certificate),
        root=root.decode(),
        link=device.link,
        interval=device.interval,
        generation=FIRST,
        observe=fleet_queries.invite(tx, device.invite).observe,
        scope=device.scope,
        place=access_queries.names(tx, device.scope),
    )


# Renewing


def renewing(ground: Ground, data: bytes) -> Renewing:
    """Return the renewal in `data`, if it answers a challenge of this plane's last minutes (rule 4).

    Raises `InvalidError` (`envelope.size`, `envelope.form`, `renewal.form`, `time.form`, `time.signature`,
    `renewal.stale`).
    """
    sealed = envelope.read(data)
    renewal = _read(sealed, Renewal, "renewal.form", "This is no renewal")
    challenge = time.read(renewal.time, ground.orders.key.public_key())
    if abs(milliseconds(ground.now) - challenge) >= CHALLENGE / timedelta(milliseconds=1):
        raise _stale()
    return Renewing(renewal, sealed, challenge)


def renew(tx: Tx, ground: Ground, asked: Renewing) -> Renewed | ForbiddenError:
    """Issue the next certificate of a device.

    What is returned as an error is to be raised after the commit: the device was found to be a copy, and is shut out.
    Raises `ForbiddenError` (`device.unknown`, `device.quarantined`, `device.retired`, `device.too_late`),
    `InvalidError` (`renewal.stale`, `report.generation`).
    """
    device = _proven(tx, asked)
    trust.let_in(device.trust)
    if ground.now - device.certificate_ends_at > REJOIN:
        raise ForbiddenError(
            "device.too_late",
            f"The device's certificate ended more than {REJOIN.days} days ago.",
            "Retire it, remove its agent's directory, and let it join with a new invite.",
        )
    following = generations.following(device, asked.renewal.generation)
    if isinstance(following, Behind):
        return _copy(tx, ground, device, following, asked.challenge)
    ends_at = ground.now + LIFETIMES[device.link]
    renewed = fleet_actions.renew(tx, ground.act(actor(device)), device.id, following, ends_at)
    return Renewed(
        certificate=_certificate(ground, renewed),
        orders=_pem(ground.orders.certificate),
        generation=following,
        link=renewed.link,
        interval=renewed.interval,
    )


def unknown() -> ForbiddenError:
    """Return the one answer of rule 3."""
    return ForbiddenError(
        "device.unknown",
        "This plane does not know this device.",
        "Let it join: `checkvalve device invite` makes the command to run on it.",
    )


def _proven(tx: Tx, asked: Renewing) -> Device:
    try:
        device = fleet_queries.device(tx, DeviceId(asked.renewal.device))
        envelope.unseal(asked.sealed, enrol.RENEWAL, keys.load_public(device.public))
    except (NotFoundError, InvalidError) as error:
        raise unknown() from error
    return device


def _copy(tx: Tx, ground: Ground, device: Device, behind: Behind, challenge: int) -> ForbiddenError:
    if challenge < milliseconds(device.certificate_ends_at - LIFETIMES[device.link]):
        raise _stale()
    fleet_actions.quarantine(tx, ground.act(PLANE), device.id, behind.sentence)
    return _shut_out(tx, device.id)


def _shut_out(tx: Tx, device_id: DeviceId) -> ForbiddenError:
    try:
        trust.let_in(fleet_queries.device(tx, device_id).trust)
    except ForbiddenError as error:
        return error
    raise AssertionError(device_id)


def _certificate(ground: Ground, device: Device) -> str:
    der = certificates.issue_device(
        ground.authority.certificate,
        ground.authority.key,
        keys.load_public(device.public),
        device.id,
        not_before=ground.now - _BACKDATED,
        not_after=device.certificate_ends_at,
        serial=certificates.serial(ground.entropy(16)),
    )
    return _pem(der)


def _pem(der: bytes) -> str:
    return certificates.to_pem(der).decode()


def _read(sealed: Envelope, kind: type[T], code: str, sentence: str) -> T:
    try:
        return msgspec.json.decode(sealed.payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(code, f"{sentence}: {error}.", _FORM) from error


def _stale() -> InvalidError:
    return InvalidError(
        "renewal.stale",
        "The renewal answers a time of this plane that is too old.",
        "Ask the plane for its time (GET /v1/time) and try again with that.",
    )


def stranger(asked: Asked) -> Actor:
    """Return who is recorded as refused: a name that nobody has checked, and no id."""
    return Actor("device", "?", asked.join.name)
