# SPDX-License-Identifier: Apache-2.0
"""Errands on their way to a device, and its words on them on their way back (walk errand).

Rules: 1. orders name all errands that wait for the device, the oldest first, also one over its time: then the device
says so; 2. a word is taken if the device's own key signed it and it speaks of an errand of this device; any other is
recorded as refused, once, and acknowledged, so that it does not come for ever; 3. a word that came before its file is
not acknowledged: the device sends it again after the file; 4. a word may come twice, or after the errand was given up.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from checkvalve.canonical import Json
from checkvalve.crypto import digests, envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.ids import ErrandId
from checkvalve.protocol import errand as messages
from checkvalve.protocol.errand import Done
from checkvalve.protocol.exchange import Report
from checkvalve.server.access import queries as access_queries
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import actions as errand_actions
from checkvalve.server.errands import ending
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands import writes as errand_writes
from checkvalve.server.errands.model import CAPABILITY, Errand, Kind
from checkvalve.server.exchange.ground import Ground, actor, milliseconds
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device


def apart(receipts: Sequence[Envelope]) -> tuple[dict[str, Envelope], dict[str, Envelope]]:
    """Return receipts of attempts, and words on errands, each by the digest of its payload."""
    kinds: tuple[dict[str, Envelope], dict[str, Envelope]] = ({}, {})
    for each in receipts:
        kinds[each.payload_type == messages.ERRAND][digests.sha256_hex(each.payload)] = each
    return kinds


def knows(report: Report) -> bool:
    """Tell whether the agent that makes a report knows of errands; another one may have ordered."""
    return report.capability >= CAPABILITY


def items(tx: Tx, ground: Ground, device: Device) -> list[Json]:
    """Return what orders name of the errands that wait (rule 1), and note that they are given."""
    waiting = errand_queries.waiting(tx, device.id)
    errand_writes.given(tx, [one.id for one in waiting], ground.now)
    return [cast("Json", msgspec.to_builtins(_item(one))) for one in waiting]


def receive(tx: Tx, ground: Ground, device: Device, sealed: Mapping[str, Envelope]) -> set[str]:
    """Take words on errands, by the digests of their payloads; return those that need not come again (rules 2 to 4)."""
    known = errand_queries.known(tx, device.id, sealed) if sealed else set[str]()
    return known | {each for each in sorted(sealed.keys() - known) if _received(tx, ground, device, each, sealed[each])}


def refuse(tx: Tx, ground: Ground, device: Device, action: str, digest: str, error: CheckvalveError) -> None:
    """Record once that what a device signed was not taken."""
    subject = f"receipt:{digest}"
    everywhere = access_queries.entries_within(fleet_queries.EVERYWHERE)
    if not audit_queries.latest(tx, everywhere, limit=1, action=action, subject=subject, actor=device.id):
        audit_actions.refuse(tx, ground.act(actor(device)), action, subject, device.scope, error)


def _received(tx: Tx, ground: Ground, device: Device, digest: str, sealed: Envelope) -> bool:
    try:
        said = _verified(device, sealed)
        if ending.lacks(errand_queries.errand(tx, ErrandId(said.errand)), said):
            return False
        errand_actions.receive(tx, ground.act(actor(device)), said, digest, envelope.write(sealed))
    except (ConflictError, ForbiddenError, InvalidError, NotFoundError) as error:
        refuse(tx, ground, device, "errand.end", digest, error)
    return True


def _verified(device: Device, sealed: Envelope) -> Done:
    try:
        return messages.verified(sealed, keys.load_public(device.public))
    except InvalidError as error:
        if error.code != "envelope.signature":
            raise
        raise ForbiddenError(
            "errand.signature", "It is not signed with the key of the device that brought it.", error.remedy
        ) from error


def _item(one: Errand) -> messages.Errand:
    until = milliseconds(one.until)
    match one.kind:
        case Kind.LOGS:
            return messages.Logs(id=one.id, until=until, service=one.service, since=one.since, lines=one.lines)
        case Kind.RESTART:
            return messages.Restart(id=one.id, until=until, service=one.service)
        case Kind.BUNDLE:
            return messages.Bundle(id=one.id, until=until)
        case Kind.REBOOT:
            return messages.Reboot(id=one.id, until=until)
