# SPDX-License-Identifier: Apache-2.0
"""A release of a plant that leaves something open, devices that run it, and values that fill it; made without HTTP."""

import sqlalchemy as sa

from checkvalve.protocol import workload
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.values import actions as value_actions
from checkvalve.server.values.model import Wanted
from tests.server.values.world import manifest, variable
from tests.server.web import gear
from tests.server.web.plant import Plant

OPEN = workload.write(manifest())
DIGEST = workload.digest(OPEN)


def release(plant: Plant, scope: str, data: bytes = OPEN) -> str:
    """Let a release be published in `scope`, once; return its digest."""
    said, digest = workload.read(data), workload.digest(data)
    table = schema.releases.c
    there = sa.select(table.id).where(table.scope == scope, table.digest == digest)
    row = {
        "id": plant.new_id(),
        "scope": scope,
        "line": workload.line(scope, said.name),
        "name": said.name,
        "version": said.version,
        "number": plant.numbers(),
        "digest": digest,
        "manifest": data,
        "source": b"",
        "size": 1,
        "state": "published",
        "made_by": "",
        "made_at": plant.time,
        "changed_at": plant.time,
    }

    def put(tx: Tx) -> None:
        if tx.first(there) is None:
            tx.run(sa.insert(schema.releases).values(**row))

    plant.db.write_now("release", put)
    return digest


def running(plant: Plant, scope: str, device: Device | None = None) -> Device:
    """Return a device below `scope` that says it runs the open release, given nothing with it."""
    runs = device or gear.known(plant, scope)
    digest = release(plant, scope)
    change = sa.update(schema.devices).where(schema.devices.c.id == runs.id).values(active=digest)
    plant.db.write_now("runs", lambda tx: tx.run(change))
    return plant.db.read_now("device", fleet_queries.device, runs.id)


def value(plant: Plant, place: str, *wanted: Wanted) -> None:
    """Set values at a place, RATE if none is named."""
    given = wanted or (variable("RATE", "12"),)
    plant.db.write_now(
        "values.set", value_actions.set_, plant.act(), place, given, plant.new_id, plant.plane.values, "by hand"
    )
