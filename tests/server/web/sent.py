# SPDX-License-Identifier: Apache-2.0
"""Small orders of a plant, ordered and answered without HTTP: by its operator, and by devices with their real keys."""

import gzip
from typing import Any

from checkvalve.crypto import envelope
from checkvalve.ids import DeviceId, ErrandId
from checkvalve.protocol import errand as messages
from checkvalve.protocol.errand import Content, Done
from checkvalve.server.audit.model import Actor
from checkvalve.server.errands import actions, writes
from checkvalve.server.errands.model import CAPABILITY, Asked, Errand, Kind
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device
from tests.server.web import gear
from tests.server.web.plant import Plant

TEXT = b"web | ready\nweb | 3 pumps\n"


def able(plant: Plant, scope: str, **more: Any) -> Device:  # noqa: ANN401 - of the invite
    """Return a device whose agent knows of small orders."""
    made = gear.device(plant, scope, **more)
    plant.db.write_now("able", lambda tx: fleet_writes.visited(tx, made.id, {"capability": CAPABILITY}))
    return made


def order(plant: Plant, device: str, kind: Kind = Kind.LOGS, **more: Any) -> Errand:  # noqa: ANN401 - of what is asked
    """Order something of a device."""
    by = plant.users["north", "operator"].actor
    asked = Asked(ErrandId(plant.new_id()), DeviceId(device), kind, **({"why": "It hangs."} | more))
    return plant.db.write_now("order", actions.order, plant.act(by), asked)


def given(plant: Plant, errand: Errand) -> None:
    """Put an errand into orders."""
    plant.db.write_now("given", lambda tx: writes.given(tx, [errand.id], plant.time))


def brings(plant: Plant, errand: Errand, data: bytes) -> Content:
    """Let the file of an errand come, before the word on it."""
    stored = plant.plane.blobs.put(data)
    plant.db.write_now("brought", writes.brought, errand.id, stored.digest, stored.size)
    return Content(digest=stored.digest, size=stored.size)


def ends(plant: Plant, errand: Errand, outcome: str = "done", content: Content | None = None, **more: Any) -> Errand:  # noqa: ANN401
    """Let the device say how an errand ended."""
    at = int(plant.time.timestamp() * 1000)
    fields: dict[str, Any] = {
        "device": errand.device,
        "errand": errand.id,
        "kind": errand.kind.value,
        "outcome": outcome,
        "content": content,
        "begun": at,
        "at": at,
        "journal": plant.new_id(),
        "seq": 7,
        "head": "",
        "agent": "0.3.0",
    } | more
    said = Done(**fields)
    sealed = envelope.seal(gear.KEYS[errand.device], messages.ERRAND, messages.write(said))
    act = plant.act(Actor("device", errand.device, "pump"))
    return plant.db.write_now("end", actions.receive, act, said, envelope.digest(sealed), envelope.write(sealed))


def fetched(plant: Plant, device: str, data: bytes = TEXT, kind: Kind = Kind.LOGS) -> Errand:
    """Return logs, or a bundle, that were ordered and came."""
    errand = order(plant, device, kind)
    packed = gzip.compress(data, mtime=0) if kind is Kind.LOGS else data
    return ends(plant, errand, content=brings(plant, errand, packed))
