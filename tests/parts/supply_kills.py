# SPDX-License-Identifier: Apache-2.0
"""The power is cut while releases come to be; then what the plane acknowledged is compared with what it has.

Files that a killed import leaves in `incoming/` are spared for a day (tasks/sweep.py). So that the sweep of the next
start can be seen to do its work, everything below `blobs/` is made two days old while the plane is down.
"""

import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from checkvalve import clock
from checkvalve.crypto import metadata, trustset
from checkvalve.demo.caller import Caller
from checkvalve.errors import CheckvalveError
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Row
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries
from checkvalve.server.supply.model import Draft, DraftState, Image, Release, State
from tests.parts import kills
from tests.parts.supply_work import Plant, jobs, refreshed

AGE = 2 * 86_400
_PATIENCE = 20.0  # seconds for the sweep of a start


@dataclass
class Found:
    """What a round found. `wrong` is to be empty; `left` counts what the kill left in `incoming/`."""

    acknowledged: int
    left: int
    orphans: int  # blobs that no image named, gone with the sweep
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, one: object, other: object) -> None:
        """Tell it if two things are not the same."""
        if one != other:
            self.wrong.append(f"{what}: {one!r:.400} is not {other!r:.400}")

    def true(self, what: str, so: object) -> None:
        """Tell it if something is not so."""
        self.same(what, bool(so), True)  # noqa: FBT003

    def none(self, what: str, of: Iterable[object]) -> None:
        """Tell it if there is anything."""
        self.same(what, sorted(map(str, of)), [])


def killed(plant: Plant, mark: str, chance: random.Random) -> Found:
    """Let everybody work while the start's sweep goes over files that are due; cut the power; start again; compare."""
    _down(plant)
    plant.plane.start()
    before, wanted, later = plant.told.count, chance.randint(1, 60), chance.uniform(0, 0.04)
    work = jobs(plant, mark)
    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(one) for one in work]
        try:
            enough = _waited(lambda: plant.told.count >= before + wanted or any(one.done() for one in running))
            threading.Event().wait(later)
        finally:
            plant.plane.kill()
        for one in running:
            one.result()
    left = _incoming(plant)
    found, blobs = Found(plant.told.count - before, len(left), 0), len(_blobs(plant))
    found.none("damaged blobs", (path for path in left if path.name.startswith("damaged-")))
    found.none("odd answers", plant.told.odd)
    found.true("enough was acknowledged", enough)
    _down(plant)
    plant.plane.start()
    _compare(plant, found)
    found.orphans = blobs - len(_blobs(plant))
    return found


def _down(plant: Plant) -> None:
    """Cut the power, and let two days pass for what is on disk."""
    plant.plane.kill()
    moment = clock.now().timestamp() - AGE
    for path in _blobs(plant) + _incoming(plant):
        os.utime(path, (moment, moment))


def _incoming(plant: Plant) -> list[Path]:
    return list((plant.plane.directory / "blobs" / "incoming").glob("*"))


def _blobs(plant: Plant) -> list[Path]:
    return list((plant.plane.directory / "blobs" / "sha256").glob("??/*"))


def _waited(condition: Callable[[], bool]) -> bool:
    until = clock.monotonic() + _PATIENCE
    while not condition():
        if clock.monotonic() > until:
            return False
        threading.Event().wait(0.005)
    return True


def _compare(plant: Plant, found: Found) -> None:
    admin = plant.plane.caller()
    database = Database.open(plant.plane.database, plant.plane.directory)
    try:
        _disk(plant, found, database)
        _imports(plant, found, admin, database)
        releases = database.read_now("releases", queries.releases, queries.EVERYWHERE, limit=100_000)
        everyone = database.read_now("drafts", queries.drafts, queries.EVERYWHERE, limit=100_000)
        _releases(plant, found, admin, releases)
        _drafts(plant, found, admin, everyone)
        _states(found, releases, everyone)
        if any(one.state is DraftState.PUBLISHED for one in everyone):
            _trust(plant, found, admin, releases, everyone)
    finally:
        database.close()


def _disk(plant: Plant, found: Found, database: Database) -> None:
    """Every blob that an image names is there and is what it is called; the sweep left nothing else."""
    columns = (schema.image_blobs.c.digest, schema.image_blobs.c.size)
    sizes = {row.digest: row.size for row in _rows(database, sa.select(*columns).distinct())}

    def there() -> dict[str, Path]:
        return {f"sha256:{path.parent.name}{path.name}": path for path in _blobs(plant)}

    swept = _waited(lambda: there().keys() <= sizes.keys() and not _incoming(plant))
    files = there()
    found.true("what nothing names is swept", swept)
    found.none("blobs that are gone", sizes.keys() - files.keys())
    for digest, path in files.items():
        data = path.read_bytes()
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest or len(data) != sizes.get(digest, len(data)):
            found.wrong.append(f"blob {digest} has {len(data)} other bytes")


def _imports(plant: Plant, found: Found, admin: Caller, database: Database) -> None:
    images = database.read_now("images", queries.images, queries.EVERYWHERE, limit=100_000)
    by_name = {name: image for image in images for name in image.found.names}
    for name, digests in plant.told.imports.items():
        image = by_name.get(name)
        if image is None or not digests <= _digests(image):
            found.wrong.append(f"import of {name} is lost: {image}")
    entries = _entries(admin, "image.import")
    # One entry an import: an image of one's own has one name and one entry, the common one as many of both.
    names = {f"image:{image.id}": len(image.found.names) for image in images}
    found.same("entries of imports", dict(entries), names)


def _digests(image: Image) -> set[str]:
    found = image.found
    return {blob.digest for blob in (found.config, found.manifest, *found.layers)}


def _releases(plant: Plant, found: Found, admin: Caller, releases: list[Release]) -> None:
    numbers = {release.id: release.number for release in releases}
    told = plant.told.releases
    found.none("releases that are lost", (one for one in told if numbers.get(one) != told[one]))  # type: ignore[call-overload]
    twice = Counter((release.line, release.number) for release in releases)
    found.none("numbers that are there twice", (one for one, times in twice.items() if times > 1))
    found.same(
        "entries of releases",
        dict(_entries(admin, "release.create")),
        {f"release:{release.id}": 1 for release in releases},
    )


def _drafts(plant: Plant, found: Found, admin: Caller, everyone: list[Draft]) -> None:
    """Each signature is there once, with its entry; a draft is published by enough of them, and by nothing else."""
    given = Counter((str(draft.id), one.keyid) for draft in everyone for one in draft.signatures)
    told = Counter(plant.told.signatures)
    found.none("signatures acknowledged twice", (one for one, times in told.items() if times > 1))
    found.none("signatures that are lost", told - given)
    entries = kills.everything(admin, "/api/v1/audit", "draft.sign")
    signed = Counter((one["subject"].removeprefix("draft:"), one["facts"]["keyid"]) for one in _outcomes(entries))
    found.same("entries of signatures", signed, given)
    for draft in everyone:
        signatures = [metadata.Signature(one.keyid, one.signature) for one in draft.signatures]
        counting = metadata.signed_by(plant.root, metadata.TARGETS, draft.payload, signatures)
        people = {one.person for one in draft.signatures if one.keyid in counting}
        enough = min(len(counting), len(people)) >= 2
        found.same(f"draft {draft.id} is published", draft.state is DraftState.PUBLISHED, enough)
    gone = {str(draft.id) for draft in everyone if draft.state is DraftState.DISCARDED}
    found.none("discarded drafts that are not", set(plant.told.discarded) - gone)
    found.same("entries of discards", dict(_entries(admin, "draft.discard")), {f"draft:{one}": 1 for one in gone})


def _states(found: Found, releases: list[Release], everyone: list[Draft]) -> None:
    becomes = {
        DraftState.OPEN: State.DRAFTED,
        DraftState.PUBLISHED: State.PUBLISHED,
        DraftState.DISCARDED: State.DISCARDED,
    }
    expected = {change.release.id: becomes[draft.state] for draft in everyone for change in draft.changes}
    found.same("states of releases", {release.id: release.state for release in releases}, expected)


def _trust(plant: Plant, found: Found, admin: Caller, releases: list[Release], everyone: list[Draft]) -> None:
    """A device that remembers across kills takes what there is, and one that knows the pinned root alone."""
    try:
        trusted = plant.refresh(admin)
        new = refreshed(admin, trustset.begin(plant.root))
    except CheckvalveError as error:
        found.wrong.append(f"what is handed out: {error.code}: {error.sentence}")
        return
    found.same("what an old device believes, and a new one", trusted, new)
    assert trusted.targets is not None
    listed, _ = metadata.read_targets(metadata.payload(trusted.targets))
    published = {release.target for release in releases if release.state is State.PUBLISHED}
    found.same("what may run", set(listed), published)
    lists = [draft for draft in everyone if draft.state is DraftState.PUBLISHED]
    last = max(lists, key=lambda one: one.version)
    found.same("version of the list", trusted.targets_version, len(lists))
    found.same("the list is what was signed last", metadata.payload(trusted.targets), last.payload)
    found.true("no published list is lost", trusted.targets_version >= plant.told.published)
    found.none("digests that differ", (one.id for one in lists if drafts.digest(one) != _sha(one.payload)))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entries(admin: Caller, action: str) -> Counter[str]:
    return Counter(one["subject"] for one in _outcomes(kills.everything(admin, "/api/v1/audit", action)))


def _outcomes(entries: Iterable[dict[str, object]]) -> Iterable[dict]:  # type: ignore[type-arg]
    return (one for one in entries if one["kind"] == "outcome")


def _rows(database: Database, statement: sa.Select[tuple[object, ...]]) -> list[Row]:
    return list(database.read_now("rows", lambda tx: tx.all(statement)))
