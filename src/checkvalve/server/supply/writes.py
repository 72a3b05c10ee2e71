# SPDX-License-Identifier: Apache-2.0
"""Rows of images, releases, drafts and metadata, without an entry."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from checkvalve.crypto import metadata
from checkvalve.errors import ConflictError
from checkvalve.ids import DraftId, ImageId
from checkvalve.protocol import workload
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import (
    draft_changes,
    drafts,
    floors,
    image_blobs,
    image_names,
    images,
    release_images,
    releases,
    signatures,
    trust,
)
from checkvalve.server.supply.model import Anchor, Change, Draft, DraftState, Image, Release, Signature, State

OUTDATED = timedelta(days=30)  # a snapshot has run out by then, and a timestamp long before


def add_image(tx: Tx, image: Image) -> None:
    """Insert an image and its blobs, without names."""
    found = image.found
    tx.run(
        sa.insert(images).values(
            id=image.id,
            scope=image.scope,
            config=found.config.digest,
            manifest=found.manifest.digest,
            platform=found.platform,
            size=found.size,
            made_by=image.made_by,
            made_at=image.made_at,
        )
    )
    for position, blob in enumerate((found.manifest, found.config, *found.layers), start=-2):
        tx.run(
            sa.insert(image_blobs).values(
                image=image.id,
                position=position,
                digest=blob.digest,
                size=blob.size,
                media_type=blob.media_type,
                diff_id=blob.diff_id,
            )
        )


def name_image(tx: Tx, image: Image, name: str, at: datetime) -> None:
    """Let `name` lead to this image, whatever image of the same platform it led to before."""
    here = (
        image_names.c.scope == image.scope,
        image_names.c.name == name,
        image_names.c.platform == image.found.platform,
    )
    if tx.run(sa.update(image_names).where(*here).values(image=image.id, at=at)) == 0:
        values = {"scope": image.scope, "name": name, "platform": image.found.platform}
        tx.run(sa.insert(image_names).values(image=image.id, at=at, **values))


def remove_image(tx: Tx, image_id: ImageId) -> None:
    """Delete an image, its names, and its claim to its blobs."""
    tx.run(sa.delete(image_names).where(image_names.c.image == image_id))
    tx.run(sa.delete(image_blobs).where(image_blobs.c.image == image_id))
    tx.run(sa.delete(images).where(images.c.id == image_id))


def add_release(tx: Tx, release: Release) -> None:
    """Insert a release and the images that it runs."""
    tx.run(
        sa.insert(releases).values(
            id=release.id,
            scope=release.scope,
            line=release.line,
            name=release.name,
            version=release.version,
            number=release.number,
            digest=release.digest,
            manifest=release.manifest,
            source=release.source,
            size=release.size,
            state=release.state.value,
            made_by=release.made_by,
            made_at=release.made_at,
            changed_at=release.changed_at,
        )
    )
    for config in workload.read(release.manifest).images:
        tx.run(sa.insert(release_images).values(release=release.id, config=config))


def move_release(tx: Tx, release: Release, state: State, at: datetime) -> None:
    """Bring `release` from the state it was read in to `state`; `ConflictError` (`release.moved`) if it left that."""
    unmoved = (releases.c.id == release.id, releases.c.state == release.state.value)
    if tx.run(sa.update(releases).where(*unmoved).values(state=state.value, changed_at=at)) != 1:
        raise ConflictError("release.moved", "Somebody else changed the release just now.", "Look at it again.")


def raise_floor(tx: Tx, line: str, number: int) -> None:
    """Let nothing of `line` below `number` be taken; a floor that is higher stays."""
    if tx.run(sa.update(floors).where(floors.c.line == line, floors.c.number <= number).values(number=number)) == 0:
        known = sa.exists().where(floors.c.line == line)
        new = sa.select(sa.literal(line), sa.literal(number)).where(~known)
        tx.run(sa.insert(floors).from_select(["line", "number"], new))


def open_draft(tx: Tx, draft: Draft) -> None:
    """Insert the one open draft, without changes."""
    tx.run(
        sa.insert(drafts).values(
            id=draft.id,
            scope=draft.scope,
            state=DraftState.OPEN.value,
            open=1,
            version=draft.version,
            payload=draft.payload,
            expires_at=draft.expires_at,
            made_by=draft.made_by,
            made_at=draft.made_at,
            changed_at=draft.changed_at,
        )
    )


def add_change(tx: Tx, draft: Draft, change: Change, at: datetime) -> None:
    """Insert a change; `draft` is what it has become with it."""
    composed = {"version": draft.version, "payload": draft.payload, "expires_at": draft.expires_at}
    tx.run(sa.update(drafts).where(drafts.c.id == draft.id).values(changed_at=at, **composed))
    tx.run(
        sa.insert(draft_changes).values(
            draft=draft.id, kind=change.kind.value, release=change.release.id, reason=change.reason, at=at
        )
    )


def add_signature(tx: Tx, draft_id: DraftId, signature: Signature) -> None:
    """Insert a signature."""
    tx.run(
        sa.insert(signatures).values(
            draft=draft_id,
            keyid=signature.keyid,
            signature=signature.signature,
            person=signature.person,
            at=signature.at,
        )
    )


def close_draft(tx: Tx, draft: Draft, state: DraftState, at: datetime) -> None:
    """Publish or discard the open draft; `ConflictError` (`draft.closed`) if it is open no longer."""
    unmoved = (drafts.c.id == draft.id, drafts.c.open == 1)
    if tx.run(sa.update(drafts).where(*unmoved).values(state=state.value, open=None, changed_at=at)) != 1:
        raise ConflictError("draft.closed", "The draft is not open any more.", "Look at it again.")


def hand_out(tx: Tx, before: Anchor, after: Anchor, at: datetime) -> None:
    """Keep the files that are new, and drop snapshots and timestamps that have long run out.

    Roots and lists stay: devices walk from root to root, and an old list says what could run then.
    """
    for role in (metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP):
        file: bytes | None = getattr(after, role)
        if file is not None and file != getattr(before, role):
            version = metadata.seen(file).version
            tx.run(sa.insert(trust).values(role=role, version=version, data=file, made_at=at))
    online = trust.c.role.in_([metadata.SNAPSHOT, metadata.TIMESTAMP])
    tx.run(sa.delete(trust).where(online, trust.c.made_at < at - OUTDATED))
