# SPDX-License-Identifier: Apache-2.0
"""Sites, invites and devices of a plant, made without HTTP; and what a device tells and signs, with its real key."""

import hashlib
from datetime import timedelta
from typing import Any

import msgspec

from checkvalve import canonical
from checkvalve.crypto import envelope, keys, tokens
from checkvalve.ids import DeviceId, HoldId, InviteId
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, State, Status, Workload, digest
from checkvalve.protocol.receipt import Receipt, Seen, Step
from checkvalve.server.access.model import ScopeKind, Visibility
from checkvalve.server.audit.model import Actor
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import admit, holds
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device, Hold, Invite, Kept, Line
from tests.server.web.plant import Plant

RELEASE = "sha256:" + "b" * 64
IMAGE = "sha256:" + "c" * 64
KEYS: dict[str, keys.PrivateKey] = {}
"""The key of each device that was made here, by its id."""


def site(plant: Plant, scope: str, name: str = "") -> str:
    """Return the path of a new site of an organisation."""
    return plant.scope(scope, ScopeKind.SITE, name or f"site {plant.numbers()}")


def invite(plant: Plant, scope: str, *, uses: int = 1, minutes: int = 60, **more: Any) -> tuple[Invite, str]:  # noqa: ANN401
    """Return an invite to a site or an area, and its token."""
    token = tokens.join_token(plant.numbers().to_bytes(32))
    by = plant.users["north", "operator"].person.id
    ends = plant.time + timedelta(minutes=minutes)
    fields: dict[str, Any] = {"tags": (), "link": LinkClass.REMOTE, "observe": False} | more
    wanted = Invite(
        InviteId(plant.new_id()), scope, uses=uses, used=0, made_by=by, made_at=plant.time, ends_at=ends, **fields
    )
    return plant.db.write_now("invite", fleet_actions.invite, plant.act(), wanted, tokens.digest(token)), token


def device(plant: Plant, scope: str, name: str = "", **more: Any) -> Device:  # noqa: ANN401 - of the invite
    """Return a device that joined at `scope`, or at a site of its own if that is an organisation."""
    at = site(plant, scope) if scope.count("/") == 2 else scope
    invited, _ = invite(plant, at, **more)
    key, made = keys.make(), DeviceId(plant.new_id())
    KEYS[made] = key
    public = key.public_key()
    joining = admit.newcomer(
        invited,
        id=made,
        name=name or f"pump-{plant.numbers()}",
        public=keys.dump_public(public),
        key=keys.fingerprint(public),
        machine="m1",
        capability=1,
        now=plant.time,
    )
    return plant.db.write_now("join", fleet_actions.join, plant.act(), invited.id, joining)


def known(plant: Plant, scope: str) -> Device:
    """Return a device below `scope`, which is made if there is none; made anew it would cost those who only read."""
    found = plant.db.read_now("devices", lambda tx: fleet_queries.devices(tx, Visibility((scope,)), limit=1))
    return found[0] if found else device(plant, scope)


def quarantine(plant: Plant, ident: str, reason: str = "The cabinet was found open.") -> Device:
    """Shut a device out."""
    return plant.db.write_now("quarantine", fleet_actions.quarantine, plant.act(), DeviceId(ident), reason)


def hold(plant: Plant, scope: str = "", device: str = "", **more: Any) -> Hold:  # noqa: ANN401 - of the tag
    """Hang a tag at a place, or on a device."""
    fields: dict[str, Any] = {"name": "Gun Berg", "reason": "The pump is open.", "number": "PTW-118"} | more
    by = plant.users["north", "operator"].person
    tag = Hold(
        HoldId(plant.new_id()),
        scope,
        DeviceId(device) if device else None,
        made_by=by.id,
        made_at=plant.time,
        **fields,
    )
    actor = Actor("person", by.id, by.login)
    return plant.db.write_now("hang", fleet_actions.hang, plant.act(actor), tag)


def heard(plant: Plant, device: Device, **status: Any) -> None:  # noqa: ANN401 - of the status
    """Let a device be heard now, with what it says of itself if anything is given."""
    changes: dict[str, Any] = {"seen_at": plant.time}
    if status:
        box = Workload(service="web", image=IMAGE, state="running", health="healthy")
        said = Status(**{"workloads": (box,), "agent": "0.3.0", "engine": "docker 20.10.24"} | status)
        changes |= {"status": canonical.dumps(msgspec.to_builtins(said)), "status_digest": digest(said)}
        changes |= {"state": said.state, "attempt": said.attempt, "active": said.active}
        changes |= {"held": holds.known(said), "locked": holds.locked(said)}
        changes["crashing"] = sum(box.crashes > 0 for box in said.workloads)
    plant.db.write_now("heard", lambda tx: fleet_writes.visited(tx, device.id, changes))  # type: ignore[arg-type]


def told(plant: Plant, device: Device, journal: str, *events: Event) -> list[bytes]:
    """Let a device tell lines of its journal; return their bytes."""
    lines = [canonical.dumps(msgspec.to_builtins(event)) for event in events]
    kept = [
        Line(journal, event.seq, event.attempt, event.state, line, plant.time)
        for event, line in zip(events, lines, strict=True)
    ]
    plant.db.write_now("lines", fleet_writes.add_lines, device.id, kept)
    return lines


def signed(plant: Plant, device: Device, **more: Any) -> bytes:  # noqa: ANN401 - of the receipt
    """Return an envelope with a receipt of a device, in its final bytes."""
    at = int(plant.time.timestamp() * 1000)
    fields: dict[str, Any] = {
        "device": device.id,
        "attempt": plant.new_id(),
        "release": RELEASE,
        "target": "org/press-line/b.json",
        "outcome": State.ROLLED_BACK,
        "code": "gate.exited",
        "reason": "web exited with code 3.",
        "active": "",
        "steps": (Step(state=State.SWITCHING, at=at), Step(state=State.ROLLED_BACK, at=at + 900, code="gate.exited")),
        "services": (Seen(service="web", image=IMAGE, state="exited", exit=3, wrong="It exited.", logs="no\nluck"),),
        "data": {"data": "kept"},
        "at": at,
        "offset": -12,
        "journal": plant.new_id(),
        "first": 3,
        "last": 9,
        "head": hashlib.sha256(b"line 9").hexdigest(),
        "agent": "0.3.0",
        "engine": "docker 20.10.24",
    } | more
    return envelope.write(envelope.seal(KEYS[device.id], receipts.RECEIPT, receipts.write(Receipt(**fields))))


def receipt(plant: Plant, device: Device, **more: Any) -> Kept:  # noqa: ANN401 - of the receipt
    """Let a device's receipt come in."""
    data = signed(plant, device, **more)
    sealed = envelope.read(data)
    said = receipts.verified(sealed, KEYS[device.id].public_key())
    kept = Kept(
        device=device.id,
        digest=envelope.digest(sealed),
        scope=device.scope,
        attempt=said.attempt,
        release=said.release,
        outcome=said.outcome,
        code=said.code,
        reason=said.reason,
        envelope=data,
        came_at=plant.time,
    )
    return plant.db.write_now("receipt", fleet_actions.receive, plant.act(), kept)
