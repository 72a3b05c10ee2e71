# SPDX-License-Identifier: Apache-2.0
"""Rows as values: what every reading of images, releases, drafts and metadata has in common."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from checkvalve.ids import DraftId, ImageId, PersonId, ReleaseId
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.db.schema import (
    draft_changes,
    floors,
    image_blobs,
    image_names,
    release_images,
    signatures,
    trust,
)
from checkvalve.server.supply.model import (
    Blob,
    Change,
    ChangeKind,
    Draft,
    DraftState,
    Found,
    Image,
    Release,
    Signature,
    State,
)

IMAGE = tuple(schema.images.c)
RELEASE = (*schema.releases.c, floors.c.number.label("floor"))
RELEASES = schema.releases.outerjoin(floors, floors.c.line == schema.releases.c.line)
DRAFT = tuple(schema.drafts.c)
KEPT = schema.releases.c.state != State.DISCARDED.value


def images(tx: Tx, rows: Sequence[Row]) -> list[Image]:
    """Return the images of these rows, with names, blobs and use."""
    ids = [row.id for row in rows]
    names: dict[str, list[str]] = {}
    for row in tx.all(sa.select(image_names.c.image, image_names.c.name).where(image_names.c.image.in_(ids))):
        names.setdefault(row.image, []).append(row.name)
    blobs: dict[str, list[Blob]] = {}
    columns = (*(getattr(image_blobs.c, name) for name in Blob.__slots__), image_blobs.c.image)
    for row in tx.all(sa.select(*columns).where(image_blobs.c.image.in_(ids)).order_by(image_blobs.c.position)):
        blobs.setdefault(row.image, []).append(Blob(row.digest, row.size, row.media_type, row.diff_id))
    used = _used(tx, rows)
    return [_image(row, names.get(row.id, []), blobs[row.id], used.get(row.id, 0)) for row in rows]


def _image(row: Row, names: Iterable[str], blobs: Sequence[Blob], used_by: int) -> Image:
    manifest, config, *layers = blobs
    found = Found(tuple(sorted(names)), row.platform, config, manifest, tuple(layers))
    return Image(ImageId(row.id), row.scope, found, row.made_by, row.made_at, used_by)


def _used(tx: Tx, rows: Sequence[Row]) -> dict[str, int]:
    """Count, for each image, the releases at or below its scope that run it and were not discarded."""
    below = sa.func.substr(schema.releases.c.scope, 1, sa.func.length(schema.images.c.scope)) == schema.images.c.scope
    counted = (
        sa.select(schema.images.c.id, sa.func.count().label("number"))
        .select_from(
            schema.images.join(release_images, release_images.c.config == schema.images.c.config).join(schema.releases)
        )
        .where(schema.images.c.id.in_([row.id for row in rows]), below, KEPT)
        .group_by(schema.images.c.id)
    )
    return {row.id: row.number for row in tx.all(counted)}


def releases(tx: Tx, *wanted: sa.ColumnElement[bool], limit: int | None = None) -> list[Release]:
    """Return the releases that are `wanted`, newest first."""
    newest = sa.select(*RELEASE).select_from(RELEASES).where(*wanted).order_by(schema.releases.c.id.desc())
    return [_release(row) for row in tx.all(newest.limit(limit))]


def newest(tx: Tx, line: str, *wanted: sa.ColumnElement[bool]) -> Release | None:
    """Return the release of `line` with the highest number that is `wanted` and was not discarded."""
    chosen = sa.select(*RELEASE).select_from(RELEASES).where(schema.releases.c.line == line, KEPT, *wanted)
    row = tx.first(chosen.order_by(schema.releases.c.number.desc()).limit(1))
    return None if row is None else _release(row)


def _release(row: Row) -> Release:
    return Release(
        id=ReleaseId(row.id),
        scope=row.scope,
        name=row.name,
        version=row.version,
        number=row.number,
        digest=row.digest,
        manifest=row.manifest,
        source=row.source,
        size=row.size,
        state=State(row.state),
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        changed_at=row.changed_at,
        below_floor=row.floor is not None and row.number < row.floor,
    )


def drafts(tx: Tx, *wanted: sa.ColumnElement[bool], limit: int | None = None) -> list[Draft]:
    """Return the drafts that are `wanted`, newest first."""
    rows = tx.all(sa.select(*DRAFT).where(*wanted).order_by(schema.drafts.c.id.desc()).limit(limit))
    return [_draft(row, _changes(tx, row.id), _signatures(tx, row.id)) for row in rows]


def _changes(tx: Tx, draft_id: str) -> list[Change]:
    columns = (*RELEASE, draft_changes.c.kind, draft_changes.c.reason)
    joined = draft_changes.join(schema.releases, schema.releases.c.id == draft_changes.c.release)
    changes = (
        sa.select(*columns)
        .select_from(joined.outerjoin(floors, floors.c.line == schema.releases.c.line))
        .where(draft_changes.c.draft == draft_id)
        .order_by(draft_changes.c.at, draft_changes.c.release, draft_changes.c.kind)
    )
    return [Change(ChangeKind(row.kind), _release(row), row.reason) for row in tx.all(changes)]


def _signatures(tx: Tx, draft_id: str) -> list[Signature]:
    given = sa.select(*signatures.c).where(signatures.c.draft == draft_id)
    rows = tx.all(given.order_by(signatures.c.at, signatures.c.keyid))
    return [Signature(row.keyid, row.signature, PersonId(row.person), row.at) for row in rows]


def _draft(row: Row, changes: Iterable[Change], given: Iterable[Signature]) -> Draft:
    return Draft(
        id=DraftId(row.id),
        scope=row.scope,
        state=DraftState(row.state),
        version=row.version,
        payload=row.payload,
        expires_at=row.expires_at,
        changes=tuple(changes),
        signatures=tuple(given),
        made_by=PersonId(row.made_by),
        made_at=row.made_at,
        changed_at=row.changed_at,
    )


def file(tx: Tx, role: str, version: int | None = None) -> bytes | None:
    """Return a file of metadata, the newest for None."""
    wanted = [trust.c.role == role] if version is None else [trust.c.role == role, trust.c.version == version]
    found: bytes | None = tx.scalar(sa.select(trust.c.data).where(*wanted).order_by(trust.c.version.desc()).limit(1))
    return found
