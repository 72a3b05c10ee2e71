# SPDX-License-Identifier: Apache-2.0
"""Reading images, releases, drafts and metadata; and what a compose file would become."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from checkvalve.crypto import metadata
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.ids import DraftId, ImageId, ReleaseId
from checkvalve.protocol import workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import (
    draft_changes,
    image_blobs,
    image_names,
    trust,
)
from checkvalve.server.supply import compose, difference, podman, publish, resolve, standing, tables
from checkvalve.server.supply import draft as drafts_of
from checkvalve.server.supply.composed import Asked, Composed, Prepared, Problem
from checkvalve.server.supply.model import (
    Anchor,
    ChangeKind,
    Draft,
    DraftState,
    Image,
    Release,
    State,
    Title,
)

EVERYWHERE = Visibility((ROOT,))


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
    return tables.images(
        tx, tx.all(sa.select(*tables.IMAGE).where(*wanted).order_by(schema.images.c.id.desc()).limit(limit))
    )


def image(tx: Tx, image_id: ImageId, seen: Visibility = EVERYWHERE) -> Image:
    """Return one image; `NotFoundError` (`image.not_found`) if there is none that may be seen."""
    within = access_queries.within(schema.images.c.scope, seen)
    found = tables.images(tx, tx.all(sa.select(*tables.IMAGE).where(schema.images.c.id == image_id, within)))
    if not found:
        raise NotFoundError("image.not_found", "There is no such image, or not for you.", "List the images you see.")
    return found[0]


def same_image(tx: Tx, scope: str, config: str) -> Image | None:
    """Return the image of this config that exactly this scope has."""
    here = (schema.images.c.scope == scope, schema.images.c.config == config)
    return next(iter(tables.images(tx, tx.all(sa.select(*tables.IMAGE).where(*here)))), None)


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
    return tables.releases(tx, *wanted, limit=limit)


def release(tx: Tx, release_id: ReleaseId, seen: Visibility = EVERYWHERE) -> Release:
    """Return one release; `NotFoundError` (`release.not_found`) if there is none that may be seen."""
    found = tables.releases(
        tx, schema.releases.c.id == release_id, access_queries.within(schema.releases.c.scope, seen)
    )
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
    here = (schema.releases.c.name == name, column == which, schema.releases.c.scope.in_(above(scope)), tables.KEPT)
    # A NUL is in no name, and PostgreSQL takes none.
    found = tables.releases(tx, *here) if "\0" not in text else []
    return standing.taken(max(found, key=lambda one: (len(one.scope), one.number), default=None), text)


def titles(tx: Tx, digests: Iterable[str], seen: Visibility) -> dict[str, Title]:
    """Return what the releases of these digests are called, by digest, as far as they may be seen.

    Of several with one digest it is the newest; they say the same, since name and version are in the manifest.
    """
    columns = (schema.releases.c.id, schema.releases.c.name, schema.releases.c.version, schema.releases.c.digest)
    within = access_queries.within(schema.releases.c.scope, seen)
    found = sa.select(*columns).where(schema.releases.c.digest.in_(list(digests)), tables.KEPT, within)
    rows = tx.all(found.order_by(schema.releases.c.id))
    return {row.digest: Title(ReleaseId(row.id), row.name, row.version) for row in rows}


def previous(tx: Tx, release: Release, seen: Visibility = EVERYWHERE) -> Release | None:
    """Return what a release is compared with: the one before it in its line that may be seen and was not discarded."""
    within = access_queries.within(schema.releases.c.scope, seen)
    return tables.newest(tx, release.line, schema.releases.c.number < release.number, within)


def last_number(tx: Tx, line: str) -> int:
    """Return the highest number ever given in `line`, 0 if none was."""
    return tx.scalar(sa.select(sa.func.max(schema.releases.c.number)).where(schema.releases.c.line == line)) or 0


def alike(tx: Tx, line: str, version: str, digest: str) -> list[Release]:
    """Return the releases of `line` that have this version or are this very release, discarded ones left out."""
    either = sa.or_(schema.releases.c.version == version, schema.releases.c.digest == digest)
    return tables.releases(tx, schema.releases.c.line == line, either, tables.KEPT)


def prepared(tx: Tx, scope: str, asked: Asked, seen: Visibility = EVERYWHERE) -> Prepared:
    """Return what a compose file would become if a release were made of it in `scope`; nothing is changed.

    It is compared with the newest of its line that may be `seen`.
    """
    composed = compose.read(asked.source, asked.name, asked.version, asked.profiles)
    if not isinstance(composed, Composed):
        return Prepared(composed)
    images, problems = resolve.images(composed.references, *_offered(tx, scope, composed))
    notes = composed.notes
    if asked.engine == "podman":
        problems = (*podman.problems(composed, asked.source), *problems)
        notes = (*notes, *podman.notes(composed))
    if problems:
        return Prepared(problems, notes, composed)
    manifest = compose.assemble(composed, images)
    try:
        data = workload.write(manifest)
    except InvalidError as error:  # too large, with its images
        problem = Problem(1, "", error.code, error.sentence, error.remedy)
        return Prepared((problem,), notes, composed)
    line = workload.line(scope, manifest.name)
    before = tables.newest(tx, line, access_queries.within(schema.releases.c.scope, seen))
    digest = workload.digest(data)
    there = alike(tx, line, manifest.version, digest)
    return Prepared(
        problems=(),
        notes=(*notes, *standing.warned(there, digest)),
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
    return tables.drafts(tx, *wanted, limit=limit)


def draft(tx: Tx, draft_id: DraftId, seen: Visibility = EVERYWHERE) -> Draft:
    """Return one draft; `NotFoundError` (`draft.not_found`) if there is none that may be seen."""
    found = tables.drafts(tx, schema.drafts.c.id == draft_id, access_queries.within(schema.drafts.c.scope, seen))
    if not found:
        raise NotFoundError(
            "draft.not_found", "There is no such draft, or not for you.", "List the drafts you can see."
        )
    return found[0]


def draft_of(tx: Tx, release_id: ReleaseId, seen: Visibility = EVERYWHERE) -> Draft | None:
    """Return the draft that added a release, if it may be seen."""
    added = (draft_changes.c.release == release_id, draft_changes.c.kind == ChangeKind.ADD.value)
    wanted = sa.exists().where(draft_changes.c.draft == schema.drafts.c.id, *added)
    return next(iter(tables.drafts(tx, wanted, access_queries.within(schema.drafts.c.scope, seen))), None)


def open_draft(tx: Tx) -> Draft | None:
    """Return the one draft that is open, if there is one."""
    return next(iter(tables.drafts(tx, schema.drafts.c.open == 1)), None)


def draft_scopes(tx: Tx, draft_id: DraftId) -> Sequence[str]:
    """Return where a right to a draft must be held: at its organisation, below which all its releases lie."""
    return (draft(tx, draft_id).scope,)


# Trust


def anchor(tx: Tx) -> Anchor:
    """Return the files that are handed out now."""
    newest = {role: tables.file(tx, role) for role in (metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT)}
    return Anchor(
        first_root=tx.scalar(
            sa.select(trust.c.data).where(trust.c.role == metadata.ROOT).order_by(trust.c.version).limit(1)
        ),
        root=newest[metadata.ROOT],
        targets=newest[metadata.TARGETS],
        snapshot=newest[metadata.SNAPSHOT],
        timestamp=tables.file(tx, metadata.TIMESTAMP),
    )


def file(tx: Tx, role: str, version: int | None = None) -> bytes:
    """Return a file of metadata, the newest for None; `NotFoundError` (`trust.not_found`)."""
    found = tables.file(tx, role, version)
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
    root = tables.file(tx, metadata.ROOT)
    if made_at is None or root is None or metadata.seen(root).expires <= now:
        return False
    return not timedelta(0) <= now - made_at < publish.REFRESHED


def _offered(tx: Tx, scope: str, composed: Composed) -> tuple[list[Image], list[str]]:
    """Return the images at `scope` and above that may be meant, and all names that there are."""
    here = above(scope)
    texts, pins = {one.text for one in composed.references}, {one.digest for one in composed.references if one.digest}
    named = sa.exists().where(image_names.c.image == schema.images.c.id, image_names.c.name.in_(texts))
    meant = sa.or_(named, schema.images.c.config.in_(pins), schema.images.c.manifest.in_(pins))
    rows = tx.all(sa.select(*tables.IMAGE).where(schema.images.c.scope.in_(here), meant))
    names = tx.all(sa.select(image_names.c.name).where(image_names.c.scope.in_(here)).distinct())
    return tables.images(tx, rows), [row.name for row in names]
