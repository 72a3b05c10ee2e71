# SPDX-License-Identifier: Apache-2.0
"""How do images, releases, drafts and trust read as answers of the API? The forms are `protocol.supply`."""

from datetime import datetime

import msgspec

from checkvalve.crypto import digests, keys, metadata
from checkvalve.protocol import supply, workload
from checkvalve.protocol.rights import Right, exclusive, rights
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.supply.composed import Difference, Prepared, Problem
from checkvalve.server.supply.model import Anchor, Change, Draft, Image, Release


def image(value: Image) -> supply.Image:
    """Answer with an image."""
    found = value.found
    return supply.Image(
        id=value.id,
        scope=value.scope,
        names=sorted(found.names),
        config=found.config.digest,
        manifest=found.manifest.digest,
        platform=found.platform,
        size=found.size,
        layers=len(found.layers),
        used_by=value.used_by,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
    )


def release(value: Release) -> supply.Release:
    """Answer with a release; what it runs is read from its final bytes."""
    manifest = workload.read(value.manifest)
    return supply.Release(
        id=value.id,
        scope=value.scope,
        name=value.name,
        version=value.version,
        number=value.number,
        digest=value.digest,
        ref=value.ref,
        state=value.state.value,
        below_floor=value.below_floor,
        images=sorted({one.name or one.config for one in manifest.images.values()}),
        services=sorted(manifest.services),
        size=value.size,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
        changed_at=rfc3339(value.changed_at),
        rights=[_right(one) for one in rights(manifest)],
        exclusive=list(exclusive(manifest)),
    )


def _right(value: Right) -> supply.Right:
    return supply.Right(kind=value.kind, what=value.what, service=value.service, grave=value.grave)


def draft(value: Draft, root: bytes | None) -> supply.Draft:
    """Answer with a draft; who must sign it is what the `root` of this moment says."""
    needed, keyids = _signers(root)
    return supply.Draft(
        id=value.id,
        scope=value.scope,
        state=value.state.value,
        version=value.version,
        digest=digests.sha256_hex(value.payload),
        expires=rfc3339(value.expires_at),
        changes=[_change(one) for one in value.changes],
        signatures=[supply.Signed(keyid=one.keyid, person=one.person, at=rfc3339(one.at)) for one in value.signatures],
        needed=needed,
        keyids=keyids,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
    )


def checked(value: Prepared) -> supply.Checked:
    """Answer with what a compose file would become."""
    return supply.Checked(
        problems=[_problem(one) for one in value.problems],
        notes=list(value.notes),
        name="" if value.composed is None else value.composed.name,
        version="" if value.composed is None else value.composed.version,
        digest=value.digest,
        manifest=None if value.manifest is None else msgspec.json.decode(value.manifest),
        previous=_named(value.previous),
        differences=[difference(one) for one in value.differences],
        same=_named(value.same),
    )


def difference(value: Difference) -> supply.Difference:
    """Answer with one thing that differs."""
    return supply.Difference(path=value.path, before=value.before, after=value.after)


def trust(value: Anchor, online: keys.PublicKey, now: datetime) -> supply.Trust:
    """Answer with whom devices believe, and with the key a root must name for this plane."""
    files = (value.root, value.targets, value.snapshot, value.timestamp)
    return supply.Trust(
        plane_key=keys.dump_public(online).decode(),
        plane_keyid=metadata.keyid(online),
        root="" if value.first_root is None else digests.sha256_hex(value.first_root),
        roles=[] if value.root is None else [_role(one) for one in metadata.roles(value.root)],
        metadata=[_metadata(file, now) for file in files if file is not None],
    )


def _role(value: metadata.Role) -> supply.Role:
    return supply.Role(name=value.name, threshold=value.threshold, keyids=list(value.keyids))


def _metadata(file: bytes, now: datetime) -> supply.Metadata:
    seen = metadata.seen(file)
    return supply.Metadata(
        role=seen.role, version=seen.version, expires=rfc3339(seen.expires), expired=seen.expires <= now
    )


def _named(value: Release | None) -> str:
    return "" if value is None else f"{value.name}@{value.version}"


def _signers(root: bytes | None) -> tuple[int, list[str]]:
    for role in () if root is None else metadata.roles(root):
        if role.name == metadata.TARGETS:
            return role.threshold, list(role.keyids)
    return 0, []


def _change(value: Change) -> supply.Change:
    return supply.Change(
        kind=value.kind.value,
        release=value.release.id,
        name=value.release.name,
        version=value.release.version,
        digest=value.release.digest,
        sentence=value.sentence,
        reason=value.reason,
    )


def _problem(value: Problem) -> supply.Problem:
    return supply.Problem(
        line=value.line, path=value.path, code=value.code, sentence=value.sentence, instead=value.instead
    )
