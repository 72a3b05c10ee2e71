# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a device's connection, and is it let in at this moment (walk enrolment, 15)?

Rules: 1. TLS has checked that the device CA issued the certificate and that the device has its key; who it is, is read
from the certificate once for each connection's bytes; 2. whether it is let in is the plane's own record, never the
certificate's word: trust first, then the key, then the time; 3. a certificate of an id that is not known, or of another
key than the known one, gets one answer.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkvalve.crypto import certificates, keys
from checkvalve.errors import InvalidError, UnauthenticatedError
from checkvalve.ids import DeviceId
from checkvalve.server.exchange.joining import unknown
from checkvalve.server.fleet import trust
from checkvalve.server.fleet.model import Standing
from checkvalve.server.web.plane import Plane
from checkvalve.server.web.presence import Slot
from checkvalve.server.web.protocols import peer_certificate

REMEMBERED = 20_000  # certificates whose bytes were read; reading one takes a tenth of a millisecond


@dataclass(frozen=True, slots=True)
class Peer:
    """What a certificate says: the device's id, its key's fingerprint, its first and last moment."""

    device: DeviceId
    key: str
    begins_at: datetime
    ends_at: datetime


class Peers:
    """Certificates that were read, the newest ones."""

    def __init__(self) -> None:
        self._read: OrderedDict[bytes, Peer] = OrderedDict()

    def of(self, scope: Mapping[str, Any]) -> Peer:
        """Return the peer of a request; `UnauthenticatedError` (`device.no_certificate`)."""
        der = peer_certificate(scope)
        if der is None:
            raise UnauthenticatedError(
                "device.no_certificate",
                "This connection shows no client certificate.",
                "Connect with the device's own.",
            )
        peer = self._read.get(der)
        if peer is None:
            peer = self._read[der] = _peer(der)
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        return peer


def admit(peer: Peer, standing: Standing | None, now: datetime) -> Standing:
    """Return the standing of a device that is let in (rules 2, 3).

    Raises `ForbiddenError` (`device.unknown`, `device.quarantined`, `device.retired`) and `UnauthenticatedError`
    (`device.certificate_expired`).
    """
    if standing is None or standing.key != peer.key:
        raise unknown()
    trust.let_in(standing.trust)
    if now > peer.ends_at:
        raise UnauthenticatedError(
            "device.certificate_expired",
            "The certificate of this device has run out.",
            "The agent renews it by itself: POST /v1/renew.",
        )
    return standing


async def admitted(plane: Plane, peer: Peer) -> Slot:
    """Return what is remembered of a device that is let in; raises as `admit` does.

    Memory that counts no more, and a device that is not remembered, cost one question to the database.
    """
    slot = plane.presence.of(peer.device)
    if slot is None or not plane.presence.fresh():
        slot = await plane.presence.ask(plane.db, peer.device)
    if slot is None:
        raise unknown()
    admit(peer, slot.standing, plane.now())
    return slot


def _peer(der: bytes) -> Peer:
    try:
        device = certificates.device_id(der)
        begins_at, ends_at = certificates.validity(der)
        key = keys.fingerprint(certificates.public_key(der))
    except InvalidError as error:
        raise UnauthenticatedError(error.code, error.sentence, error.remedy) from error
    return Peer(DeviceId(device), key, begins_at, ends_at)
