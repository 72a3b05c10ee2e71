# SPDX-License-Identifier: Apache-2.0
"""The fleet's organisation with releases that leave something open, and values that people set."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from checkvalve.ids import DeviceId, ReleaseId
from checkvalve.protocol import declared, reach, workload
from checkvalve.server.access.model import Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Release
from checkvalve.server.values import actions, queries, writes
from checkvalve.server.values.model import DEVICE, Bound, Document, Entry, Key, Kind, Wanted
from tests.server.fleet import world

KEY = bytes(range(32))
CONFIG = "sha256:" + "c" * 64
IMAGE = workload.Image(
    config=CONFIG, config_size=1, manifest="sha256:" + "d" * 64, name="edge:1", platform="linux/amd64", layers=()
)
PRESS = (
    declared.Variable(name="PLC", kind="address"),
    declared.Variable(name="RATE", kind="number", default="10"),
    declared.Variable(name="LOGS", default="/var/log/press"),
)
SERVICE = workload.Service(
    image=CONFIG,
    environment={"RATE": "${RATE}"},
    extra_hosts={"plc": "${PLC}"},
    binds=(reach.Bind(source="${LOGS}", target="/logs"),),
    files=(declared.Placed(name="tags.csv", target="/etc/tags.csv"),),
    secrets=(declared.Placed(name="mqtt", target="/run/secrets/mqtt"),),
)


def manifest(name: str = "press-line", version: str = "1", **fields: object) -> workload.Manifest:
    """Return a manifest of version 2: variables PLC, RATE and LOGS, file tags.csv, secret mqtt, if not said else."""
    given: dict[str, object] = {
        "services": {"press": SERVICE},
        "images": {CONFIG: IMAGE},
        "variables": PRESS,
        "files": (declared.File(name="tags.csv", default="none\n"),),
        "secrets": (declared.Secret(name="mqtt"),),
        "host_paths": ("/var/log",),
        "v": 2,
    }
    return workload.Manifest(name=name, version=version, **given | fields)  # type: ignore[arg-type]


def variable(name: str, content: str | None, line: str = "") -> Wanted:
    """Want a variable."""
    return Wanted(Key(line, Kind.VARIABLE, name), content)


def file(name: str, content: str | None, line: str = "") -> Wanted:
    """Want a file."""
    return Wanted(Key(line, Kind.FILE, name), content)


def secret(name: str, content: str | None, line: str = "") -> Wanted:
    """Want a secret."""
    return Wanted(Key(line, Kind.SECRET, name), content)


def at(device: Device) -> str:
    """Return the place that is a device."""
    return DEVICE + device.id


@dataclass
class World(world.World):
    """Sets values, and asks what they give."""

    def put(self, what: workload.Manifest, scope: str = "", state: str = "published", number: int = 1) -> Release:
        """Let a manifest be a release of the organisation."""
        ident, data = self.new_id(), workload.write(what)
        where = scope or self.org
        row = {
            "id": ident,
            "scope": where,
            "line": workload.line(where, what.name),
            "name": what.name,
            "version": what.version,
            "number": number,
            "digest": workload.digest(data),
            "manifest": data,
            "source": b"",
            "size": 1,
            "state": state,
            "made_by": "",
            "made_at": self.now,
            "changed_at": self.now,
        }
        self.run(sa.insert(schema.releases).values(**row))
        return self.database.read_now("release", supply_queries.release, ReleaseId(ident))

    def set(self, place: str, *wanted: Wanted, key: bytes = KEY, note: str = "") -> list[Entry]:
        """Set values at a place, as somebody."""
        act = self.act(world.BY)
        return self.database.write_now("values.set", actions.set_, act, place, wanted, self.new_id, key, note)

    def bound(self, release: Release, *devices: Device) -> dict[DeviceId, Bound]:
        """Return what fills a release on devices."""
        return self.database.read_now("bound", queries.bound, release, devices)

    def one(self, release: Release, device: Device) -> Bound:
        """Return what fills a release on one device."""
        return self.bound(release, device)[device.id]

    def document(self, release: Release, device: Device, binding: str, attempt: str = "", key: bytes = KEY) -> Document:
        """Make what a device is given."""

        def make(tx: Tx) -> Document:
            return writes.document(
                tx,
                key=key,
                device=device,
                attempt=attempt or self.new_id(),
                release_digest=release.digest,
                manifest=release.manifest,
                binding=binding,
                at=self.now,
            )

        return self.database.write_now("document", make)

    def now_runs(self, device: Device, release: Release, document: Document | None = None) -> Device:
        """Let a device say that it runs a release with what it was given."""
        given = "" if document is None else document.digest
        here = schema.devices.c.id == device.id
        self.run(sa.update(schema.devices).where(here).values(active=release.digest, given=given))
        return self.device(device.id)

    def many_like(self, device: Device, count: int) -> list[DeviceId]:
        """Put many devices beside one that is like them; return their ids."""
        like = self.database.read_now(
            "row", Tx.first, sa.select(schema.devices).where(schema.devices.c.id == device.id)
        )
        assert like is not None
        ids = [DeviceId(self.new_id()) for _ in range(count)]
        rows = [{**like._mapping, "id": each, "key": each, "name": each, "folded": each} for each in ids]
        self.database.write_now("many", lambda tx: tx.run_all(sa.insert(schema.devices), rows))
        return ids

    def all_devices(self) -> list[Device]:
        """Read every device."""
        return self.database.read_now("devices", fleet_queries.devices, fleet_queries.EVERYWHERE, limit=None)

    def current(self, **wanted: object) -> list[Entry]:
        """Read what is set."""
        return self.database.read_now("current", lambda tx: queries.current(tx, queries.EVERYWHERE, **wanted))  # type: ignore[arg-type]

    def history(self, seen: Sequence[str] = ("/",), **wanted: object) -> list[Entry]:
        """Read all there ever was."""
        within = Visibility(tuple(seen))
        return self.database.read_now("history", lambda tx: queries.history(tx, within, **wanted))  # type: ignore[arg-type]
