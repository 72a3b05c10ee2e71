# SPDX-License-Identifier: Apache-2.0
"""Reading images, releases, drafts and metadata; and what a compose file would become."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from checkvalve.crypto import metadata
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.ids import DraftId, ImageId, PersonId, ReleaseId
from checkvalve.protocol import workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
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
from checkvalve.server.supply import compose, difference, publish, resolve, standing
from checkvalve.server.supply import draft as drafts_of
from checkvalve.server.supply.composed import Composed, Prepared, Problem
from checkvalve.server.supply.model import (
    Anchor,
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

EVERYWHERE = Visibility((ROOT,))

_IMAGE = tuple(schema.images.c)
_RELEASE = (*schema.releases.c, floors.c.number.label("floor"))
_RELEASES = schema.releases.outerjoin(floors, floors.c.line == schema.releases.c.line)
_DRAFT = tuple(schema.drafts.c)
_KEPT = schema.releases.c.state != State.DISCARDED.value


def above(scope: str) -> list[str]:
    """Return the paths from the plane down to `scope`."""
    parts = scope.strip("/").split("/") if scope != ROOT else []
    return [ROOT, *("/" + "/".join(parts[: end + 1]) + "/" for end in range(len(parts)))]


# Images


def images(tx: Tx, seen: Visibility, *, limit: int = 100, before: str = "", name: str = "") -> list[Image]:
    """Return the newest first; `name` is one with its tag, or without, for all of its tags."""
    wanted = [access_queries.within(schema.images.c.scope, seen)]
    if before:
        wanted.append(schema.images.c.id < before)
    if name:
        named = sa.or_(image_names.c.name == name, image_names.c.name.startswith(f"{name}:", autoescape=True))
        wanted.append(sa.exists().where(image_names.c.image == schema.images.c.id, named))
    return _images(tx, tx.all(sa.select(*_IMAGE).where(*wanted).order_by(schema.images.c.id.desc()).limit(limit)))


def image(tx: Tx, image_id: ImageId, seen: Visibility = EVERYWHERE) -> Image:
    """Return one image; `NotFoundError` (`image.not_found`) if there is none that may be seen."""
    within = access_queries.within(schema.images.c.scope, seen)
    found = _images(tx, tx.all(sa.select(*_IMAGE).where(schema.images.c.id == image_id, within)))
    if not found:
        raise NotFoundError("image.not_found", "There is no such image, or not for you.", "List the images you see.")
    return found[0]


def same_image(tx: Tx, scope: str, config: str) -> Image | None:
    """Return the image of this config that exactly this scope has."""
    here = (schema.images.c.scope == scope, schema.images.c.config == config)
    return next(iter(_images(tx, tx.all(sa.select(*_IMAGE).where(*here)))), None)


def leads(tx: Tx, image: Image, name: str) -> list[str]:
    """Return the id of the other image that `name` leads to at this one's scope and platform, if there is one."""
    here = (image_names.c.scope == image.scope, image_names.c.platform == image.found.platform)
    other = (image_names.c.name == name, image_names.c.image != image.id)
    return [row.image for row in tx.all(sa.select(image_names.c.image).where(*here, *other))]


def kept(tx: Tx) -> set[str]:
    """Return the digests of all blobs that images name."""
    return {row.digest for row in tx.all(sa.select(image_blobs.c.digest).distinct())}


def held(tx: Tx, scope: str, digests: Iterable[str]) -> set[str]:
    """Return those of `digests` that images of this scope's organisation, or of the plane, name.

    What another organisation has is not told: that they have it would be a secret lost.
    """
    own = Visibility((drafts_of.scope(scope),))
    here = sa.or_(access_queries.within(schema.images.c.scope, own), schema.images.c.scope == ROOT)
    named = sa.select(image_blobs.c.digest).join(schema.images, schema.images.c.id == image_blobs.c.image)
    return {row.digest for row in tx.all(named.where(image_blobs.c.digest.in_(list(digests)), here).distinct())}


# Releases


def releases(
    tx: Tx, seen: Visibility, *, limit: int = 100, before: str = "", name: str = "", state: State | None = None
) -> list[Release]:
    """Return the newest first."""
    wanted = [access_queries.within(schema.releases.c.scope, seen)]
    if before:
        wanted.append(schema.releases.c.id < before)
    if name:
        wanted.append(schema.releases.c.name == name)
    if state is not None:
        wanted.append(schema.releases.c.state == state.value)
    return _releases(tx, *wanted, limit=limit)


def release(tx: Tx, release_id: ReleaseId, seen: Visibility = EVERYWHERE) -> Release:
    """Return one release; `NotFoundError` (`release.not_found`) if there is none that may be seen."""
    found = _releases(tx, schema.releases.c.id == release_id, access_queries.within(schema.releases.c.scope, seen))
    if not found:
        raise NotFoundError(
            "release.not_found", "There is no such release, or not for you.", "List the releases you can see."
        )
    return found[0]


def named(tx: Tx, scope: str, text: str) -> Release:
    """Return the release that `name@sha256:…` or `name@version` means in `scope`, if a device may take it.

    Of several the nearest to `scope` counts, whatever its state: a release withdrawn here is not taken from above.
    Raises `InvalidError` (`release.unknown`) and what `standing.taken` raises.
    """
    name, _, which = text.partition("@")
    column = schema.releases.c.digest if which.startswith("sha256:") else schema.releases.c.version
    here = (schema.releases.c.name == name, column == which, schema.releases.c.scope.in_(above(scope)), _KEPT)
    # A NUL is in no name, and PostgreSQL takes none.
    found = _releases(tx, *here) if "\0" not in text else []
    return standing.taken(max(found, key=lambda one: (len(one.scope), one.number), default=None), text)


def previous(tx: Tx, release: Release) -> Release | None:
    """Return what a release is compared with: the one before it in its line that was not discarded."""
    return _newest(tx, release.line, schema.releases.c.number < release.number)


def last_number(tx: Tx, line: str) -> int:
    """Return the highest number ever given in `line`, 0 if none was."""
    return tx.scalar(sa.select(sa.func.max(schema.releases.c.number)).where(schema.releases.c.line == line)) or 0


def alike(tx: Tx, line: str, version: str, digest: str) -> list[Release]:
    """Return the releases of `line` that have this version or are this very release, discarded ones left out."""
    either = sa.or_(schema.releases.c.version == version, schema.releases.c.digest == digest)
    return _releases(tx, schema.releases.c.line == line, either, _KEPT)


def prepared(tx: Tx, scope: str, source: bytes, name: str, version: str) -> Prepared:
    """Return what a compose file would become if a release were made of it in `scope`; nothing is changed."""
    composed = compose.read(source, name, version)
    if not isinstance(composed, Composed):
        return Prepared(composed)
    images, problems = resolve.images(composed.references, *_offered(tx, scope, composed))
    if problems:
        return Prepared(problems, composed.notes, composed)
    manifest = compose.assemble(composed, images)
    try:
        data = workload.write(manifest)
    except InvalidError as error:  # too large, with its images
        problem = Problem(1, "", error.code, error.sentence, error.remedy)
        return Prepared((problem,), composed.notes, composed)
    line = workload.line(scope, manifest.name)
    before = _newest(tx, line)
    digest = workload.digest(data)
    there = alike(tx, line, manifest.version, digest)
    return Prepared(
        problems=(),
        notes=(*composed.notes, *standing.warned(there, digest)),
        composed=composed,
        manifest=data,
        digest=digest,
        previous=before,
        differences=tuple(difference.between(workload.read(before.manifest) if before else None, manifest)),
        same=next((one for one in there if one.digest == digest), None),
    )


# Drafts


def drafts(
    tx: Tx, seen: Visibility, *, limit: int = 100, before: str = "", state: DraftState | None = None
) -> list[Draft]:
    """Return the newest first."""
    wanted = [access_queries.within(schema.drafts.c.scope, seen)]
    if before:
        wanted.append(schema.drafts.c.id < before)
    if state is not None:
        wanted.append(schema.drafts.c.state == state.value)
    return _drafts(tx, *wanted, limit=limit)


def draft(tx: Tx, draft_id: DraftId, seen: Visibility = EVERYWHERE) -> Draft:
    """Return one draft; `NotFoundError` (`draft.not_found`) if there is none that may be seen."""
    found = _drafts(tx, schema.drafts.c.id == draft_id, access_queries.within(schema.drafts.c.scope, seen))
    if not found:
        raise NotFoundError(
            "draft.not_found", "There is no such draft, or not for you.", "List the drafts you can see."
        )
    return found[0]


def open_draft(tx: Tx) -> Draft | None:
    """Return the one draft that is open, if there is one."""
    return next(iter(_drafts(tx, schema.drafts.c.open == 1)), None)


def draft_scopes(tx: Tx, draft_id: DraftId) -> Sequence[str]:
    """Return where a right to a draft must be held: at its organisation, below which all its releases lie."""
    return (draft(tx, draft_id).scope,)


# Trust


def anchor(tx: Tx) -> Anchor:
    """Return the files that are handed out now."""
    newest = {role: _file(tx, role) for role in (metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT)}
    return Anchor(
        first_root=tx.scalar(
            sa.select(trust.c.data).where(trust.c.role == metadata.ROOT).order_by(trust.c.version).limit(1)
        ),
        root=newest[metadata.ROOT],
        targets=newest[metadata.TARGETS],
        snapshot=newest[metadata.SNAPSHOT],
        timestamp=_file(tx, metadata.TIMESTAMP),
    )


def file(tx: Tx, role: str, version: int | None = None) -> bytes:
    """Return a file of metadata, the newest for None; `NotFoundError` (`trust.not_found`)."""
    found = _file(tx, role, version)
    if found is None:
        raise NotFoundError(
            "trust.not_found",
            "There is no such file of metadata.",
            "`checkvalve trust show` tells which there are; snapshots and timestamps are kept for 30 days.",
        )
    return found


def signers(tx: Tx) -> metadata.Role:
    """Return who signs lists of what may run, and how many of them; `ConflictError` (`trust.none`)."""
    return publish.signers(anchor(tx).root)


def due(tx: Tx, now: datetime) -> bool:
    """Tell whether snapshot and timestamp are to be signed anew: daily, while there is a root that has not run out."""
    made_at: datetime | None = tx.scalar(
        sa.select(trust.c.made_at).where(trust.c.role == metadata.TIMESTAMP).order_by(trust.c.version.desc()).limit(1)
    )
    root = _file(tx, metadata.ROOT)
    if made_at is None or root is None or metadata.seen(root).expires <= now:
        return False
    return not timedelta(0) <= now - made_at < publish.REFRESHED


# Rows


def _images(tx: Tx, rows: Sequence[Row]) -> list[Image]:
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
        .where(schema.images.c.id.in_([row.id for row in rows]), below, _KEPT)
        .group_by(schema.images.c.id)
    )
    return {row.id: row.number for row in tx.all(counted)}


def _offered(tx: Tx, scope: str, composed: Composed) -> tuple[list[Image], list[str]]:
    """Return the images at `scope` and above that may be meant, and all names that there are."""
    here = above(scope)
    texts, pins = {one.text for one in composed.references}, {one.digest for one in composed.references if one.digest}
    named = sa.exists().where(image_names.c.image == schema.images.c.id, image_names.c.name.in_(texts))
    meant = sa.or_(named, schema.images.c.config.in_(pins), schema.images.c.manifest.in_(pins))
    rows = tx.all(sa.select(*_IMAGE).where(schema.images.c.scope.in_(here), meant))
    names = tx.all(sa.select(image_names.c.name).where(image_names.c.scope.in_(here)).distinct())
    return _images(tx, rows), [row.name for row in names]


def _releases(tx: Tx, *wanted: sa.ColumnElement[bool], limit: int | None = None) -> list[Release]:
    newest = sa.select(*_RELEASE).select_from(_RELEASES).where(*wanted).order_by(schema.releases.c.id.desc())
    return [_release(row) for row in tx.all(newest.limit(limit))]


def _newest(tx: Tx, line: str, *wanted: sa.ColumnElement[bool]) -> Release | None:
    chosen = sa.select(*_RELEASE).select_from(_RELEASES).where(schema.releases.c.line == line, _KEPT, *wanted)
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


def _drafts(tx: Tx, *wanted: sa.ColumnElement[bool], limit: int | None = None) -> list[Draft]:
    rows = tx.all(sa.select(*_DRAFT).where(*wanted).order_by(schema.drafts.c.id.desc()).limit(limit))
    return [_draft(row, _changes(tx, row.id), _signatures(tx, row.id)) for row in rows]


def _changes(tx: Tx, draft_id: str) -> list[Change]:
    columns = (*_RELEASE, draft_changes.c.kind, draft_changes.c.reason)
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


def _file(tx: Tx, role: str, version: int | None = None) -> bytes | None:
    wanted = [trust.c.role == role] if version is None else [trust.c.role == role, trust.c.version == version]
    found: bytes | None = tx.scalar(sa.select(trust.c.data).where(*wanted).order_by(trust.c.version.desc()).limit(1))
    return found
