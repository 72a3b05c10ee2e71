# SPDX-License-Identifier: Apache-2.0
"""How do invites, devices and what they told read as answers of the API? The forms are `protocol.fleet`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from checkvalve.crypto import digests
from checkvalve.protocol import fleet
from checkvalve.protocol.exchange import Event, Status
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.fleet import admit, condition, liveness
from checkvalve.server.fleet.model import Assignment, Device, Hold, Invite, Kept, Line
from checkvalve.server.web.api.answers import time


def invite(value: Invite, now: datetime) -> fleet.Invite:
    """Answer with an invite, as it stands now."""
    return fleet.Invite(**_invite(value, now))


def issued(value: Invite, now: datetime, token: str, command: str) -> fleet.IssuedInvite:
    """Answer with an invite, its secret, and the line to type on a device."""
    return fleet.IssuedInvite(**_invite(value, now), token=token, command=command)


def device(value: Device, holds: Sequence[Hold], now: datetime) -> fleet.Device:
    """Answer with a device, as lists have it; `holds` are the plane's tags that hang for it."""
    return fleet.Device(**_device(value, holds, now))


def whole(value: Device, assigned: Assignment | None, holds: Sequence[Hold], now: datetime) -> fleet.WholeDevice:
    """Answer with all that is known of one device; `holds` are the plane's tags that hang for it."""
    return fleet.WholeDevice(
        **_device(value, holds, now),
        interval=value.interval,
        key=value.key,
        public=value.public.decode("ascii"),
        machine=value.machine,
        generation=value.generation,
        certificate_ends_at=rfc3339(value.certificate_ends_at),
        invite=value.invite,
        changed_at=rfc3339(value.changed_at),
        offset=value.offset,
        assigned=None if assigned is None else _assigned(assigned),
        status=msgspec.json.decode(value.status, type=Status) if value.status else None,
    )


def hold(value: Hold, names: Mapping[str, str]) -> fleet.Hold:
    """Answer with a tag; `names` are those of people."""
    return fleet.Hold(
        id=value.id,
        scope=value.scope,
        device=value.device,
        name=value.name,
        reason=value.reason,
        number=value.number,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
        lifted_by=value.lifted_by,
        lifted_at=time(value.lifted_at),
        lifted_why=value.lifted_why,
        made_by_name=names.get(value.made_by, ""),
        lifted_by_name=names.get(value.lifted_by or "", ""),
    )


def event(value: Line) -> fleet.DeviceEvent:
    """Answer with a line of a device's journal; what it says is read from its final bytes."""
    said = msgspec.json.decode(value.line, type=Event)
    return fleet.DeviceEvent(
        journal=value.journal,
        seq=value.seq,
        at=_of_clock(said.at),
        came_at=rfc3339(value.came_at),
        kind=said.kind,
        attempt=said.attempt,
        state=said.state,
        release=said.release,
        code=said.code,
        reason=said.reason,
        digest=digests.sha256_hex(value.line),
    )


def receipt(value: Kept) -> fleet.Receipt:
    """Answer with what a receipt says, without its bytes."""
    return fleet.Receipt(
        digest=value.digest,
        device=value.device,
        scope=value.scope,
        attempt=value.attempt,
        release=value.release,
        outcome=value.outcome,
        code=value.code,
        reason=value.reason,
        came_at=rfc3339(value.came_at),
    )


def _invite(value: Invite, now: datetime) -> dict[str, Any]:
    return {
        "id": value.id,
        "scope": value.scope,
        "tags": list(value.tags),
        "link": value.link,
        "observe": value.observe,
        "uses": value.uses,
        "used": value.used,
        "state": _state(value, now),
        "made_by": value.made_by,
        "made_at": rfc3339(value.made_at),
        "ends_at": rfc3339(value.ends_at),
        "revoked_at": time(value.revoked_at),
    }


def _state(value: Invite, now: datetime) -> Literal["open", "used", "ended", "revoked"]:
    if admit.is_open(value, now):
        return "open"
    if value.revoked_at is not None:
        return "revoked"
    return "used" if value.used >= value.uses else "ended"


def _device(value: Device, holds: Sequence[Hold], now: datetime) -> dict[str, Any]:
    status = msgspec.json.decode(value.status, type=Status) if value.status else None
    heard = liveness.judge(value.seen_at, value.interval, now)
    return {
        "condition": condition.judge(value.trust, heard, value.state, value.crashing).value,
        "crashing": value.crashing,
        "held": _held(holds, status),
        "window": _of_clock(status.window) if status and status.window else None,
        "id": value.id,
        "scope": value.scope,
        "name": value.name,
        "tags": list(value.tags),
        "trust": value.trust.value,
        "trust_reason": value.trust_reason,
        "liveness": heard.value,
        "link": value.link,
        "seen_at": time(value.seen_at),
        "state": value.state,
        "attempt": value.attempt,
        "active": value.active,
        "joined_at": rfc3339(value.joined_at),
    }


def _held(holds: Sequence[Hold], status: Status | None) -> list[fleet.Hung]:
    """Return the device's own tags, then the plane's."""
    said = status.held if status else ()
    known = {tag.id for tag in said if tag.by == "plane"}
    own = [
        fleet.Hung(
            id=tag.id,
            by="device",
            where="",
            name=tag.name,
            reason=tag.reason,
            number=tag.number,
            at=_of_clock(tag.at),
            known=True,
        )
        for tag in said
        if tag.by == "device"
    ]
    return own + [
        fleet.Hung(
            id=hold.id,
            by="plane",
            where="" if hold.device else hold.scope,
            name=hold.name,
            reason=hold.reason,
            number=hold.number,
            at=rfc3339(hold.made_at),
            known=hold.id in known,
        )
        for hold in holds
    ]


def _assigned(value: Assignment) -> fleet.Assigned:
    return fleet.Assigned(
        attempt=value.attempt,
        release=value.release,
        target=value.target,
        by=value.by,
        made_at=rfc3339(value.made_at),
    )


def _of_clock(milliseconds: int) -> str | None:
    try:
        return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None  # a clock may show any number
