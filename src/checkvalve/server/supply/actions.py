# SPDX-License-Identifier: Apache-2.0
"""Importing images, making releases, and publishing what people signed.

The face has judged the right to do so, in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import replace

from checkvalve.canonical import Json
from checkvalve.crypto import digests, keys, metadata
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import DraftId, ImageId, PersonId, ReleaseId
from checkvalve.protocol import workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import publish, queries, signing, standing, writes
from checkvalve.server.supply.composed import Asked
from checkvalve.server.supply.model import (
    Anchor,
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

_BECOMES = {ChangeKind.ADD: State.PUBLISHED, ChangeKind.WITHDRAW: State.WITHDRAWN}


def import_(tx: Tx, act: Act, scope: str, found: Sequence[Found], image_ids: Sequence[ImageId]) -> list[Image]:
    """Let the scope at path `scope` have the images that an archive brought, `image_ids` being ids for new ones.

    An image that is there keeps its id and gains the names; names that led elsewhere lead here now.
    Raises `NotFoundError` (`scope.not_found`), `InvalidError` (`image.none`).
    """
    access_queries.at(tx, scope)
    if not found:
        raise InvalidError("image.none", "The archive holds no image.", "Save one with `docker save`, and import that.")
    images: dict[ImageId, Image] = {}
    moved: list[Json] = []
    for one, image_id in zip(found, image_ids, strict=True):
        image = queries.same_image(tx, scope, one.config.digest)
        if image is None:
            image = Image(image_id, scope, replace(one, names=()), act.actor.id, act.at)
            writes.add_image(tx, image)
        for name in dict.fromkeys(one.names):
            moved += [{"from": before, "name": name} for before in queries.leads(tx, image, name)]
            writes.name_image(tx, image, name, act.at)
        images[image.id] = image
    after = [queries.image(tx, image_id) for image_id in images]
    facts: dict[str, Json] = {"images": [_image(image) for image in after], "moved": moved}
    audit_writes.record(tx, act, "image.import", f"image:{after[0].id}", scope, facts)
    return after


def remove(tx: Tx, act: Act, image_id: ImageId) -> Image:
    """Forget an image that no release runs; its blobs go later, if nothing else needs them.

    Raises `NotFoundError` (`image.not_found`), `ConflictError` (`image.used`).
    """
    image = queries.image(tx, image_id)
    if image.used_by:
        raise ConflictError(
            "image.used",
            f"{image.used_by} release(s) run this image.",
            "It stays as long as they do; only what no release runs is removed.",
            releases=image.used_by,
        )
    writes.remove_image(tx, image_id)
    audit_writes.record(tx, act, "image.remove", f"image:{image_id}", image.scope, {"before": _image(image)})
    return image


def create(tx: Tx, act: Act, release_id: ReleaseId, draft_id: DraftId, scope: str, asked: Asked) -> Release:
    """Make a release of a compose file, and put it into the open draft, which is opened as `draft_id` if there is none.

    Raises `NotFoundError` (`scope.not_found`, `person.not_found`), `InvalidError` with the code of the first thing that
    is wrong with the file, `ConflictError` (`trust.none`, what `draft.joined` and `standing.new` raise).
    """
    maker = _person(tx, act)
    access_queries.at(tx, scope)
    publish.present(queries.anchor(tx).root)
    manifest, data = standing.right(queries.prepared(tx, scope, asked))
    line, digest = workload.line(scope, manifest.name), workload.digest(data)
    standing.new(queries.alike(tx, line, manifest.version, digest), digest)
    release = Release(
        id=release_id,
        scope=scope,
        name=manifest.name,
        version=manifest.version,
        number=queries.last_number(tx, line) + 1,
        digest=digest,
        manifest=data,
        source=asked.source,
        size=_size(manifest),
        state=State.DRAFTED,
        made_by=maker,
        made_at=act.at,
        changed_at=act.at,
    )
    writes.add_release(tx, release)
    draft = _changed(tx, act, draft_id, Change(ChangeKind.ADD, release))
    facts: dict[str, Json] = {
        **_release(release),
        **_drafted(draft),
        "after": {"state": State.DRAFTED.value},
        "images": {config: image.name for config, image in manifest.images.items()},
        "source": digests.sha256_hex(asked.source),
        **({"profiles": sorted(set(asked.profiles))} if asked.profiles else {}),
    }
    audit_writes.record(tx, act, "release.create", f"release:{release_id}", scope, facts)
    return release


def withdraw(tx: Tx, act: Act, draft_id: DraftId, release_id: ReleaseId, reason: str) -> Draft:
    """Put into the open draft that a published release may not be taken any more.

    Raises `NotFoundError` (`release.not_found`, `person.not_found`), `InvalidError` (`release.reason`), `ConflictError`
    (`release.state`, what `draft.joined` raises).
    """
    release, why = queries.release(tx, release_id), standing.reason(reason)
    standing.withdrawn(release, _open_changes(tx))
    draft = _changed(tx, act, draft_id, Change(ChangeKind.WITHDRAW, release, why))
    facts = {**_release(release), **_drafted(draft), "reason": why}
    audit_writes.record(tx, act, "release.withdraw", f"release:{release_id}", release.scope, facts)
    return draft


def floor(tx: Tx, act: Act, draft_id: DraftId, release_id: ReleaseId, reason: str) -> Draft:
    """Put into the open draft that nothing older than a published release may be taken any more.

    Raises `NotFoundError` (`release.not_found`, `person.not_found`), `InvalidError` (`release.reason`), `ConflictError`
    (`release.state`, `trust.floor`, what `draft.joined` raises).
    """
    release, why = queries.release(tx, release_id), standing.reason(reason)
    published = drafts.listed(queries.anchor(tx).targets)
    standing.floored(release, published, _open_changes(tx))
    draft = _changed(tx, act, draft_id, Change(ChangeKind.FLOOR, release, why))
    facts: dict[str, Json] = {
        **_release(release),
        **_drafted(draft),
        "after": {"floor": release.number},
        "before": {"floor": published.floors.get(release.line, 0)},
        "reason": why,
    }
    audit_writes.record(tx, act, "release.floor", f"release:{release_id}", release.scope, facts)
    return draft


def renew(tx: Tx, act: Act, draft_id: DraftId, scope: str) -> Draft:
    """Open a draft that changes nothing: the same list, signed by the keys of now, for another year.

    It belongs to the organisation of `scope`, whose people sign it. Raises `NotFoundError` (`scope.not_found`,
    `person.not_found`), `ConflictError` (`trust.none`, `draft.open`).
    """
    access_queries.at(tx, scope)
    drafts.renewed(queries.open_draft(tx))
    draft = _opened(tx, act, draft_id, scope)
    writes.open_draft(tx, draft)
    audit_writes.record(tx, act, "draft.open", f"draft:{draft_id}", draft.scope, _drafted(draft))
    return draft


def discard(tx: Tx, act: Act, draft_id: DraftId) -> Draft:
    """Give the open draft up, and the releases that it would have added.

    Raises `NotFoundError` (`draft.not_found`), `ConflictError` (`draft.closed`).
    """
    draft = queries.draft(tx, draft_id)
    drafts.still_open(draft)
    writes.close_draft(tx, draft, DraftState.DISCARDED, act.at)
    given_up = [change.release for change in draft.changes if change.kind is ChangeKind.ADD]
    for release in given_up:
        writes.move_release(tx, release, State.DISCARDED, act.at)
    after = queries.draft(tx, draft_id)
    facts: dict[str, Json] = {**_ended(draft, after), "releases": [release.ref for release in given_up]}
    audit_writes.record(tx, act, "draft.discard", f"draft:{draft_id}", draft.scope, facts)
    return after


def sign(
    tx: Tx, act: Act, draft_id: DraftId, digest: str, signature: metadata.Signature, online: keys.PrivateKey
) -> Draft:
    """Keep a signature on the draft whose payload has this `digest`; the last one needed publishes.

    Raises `NotFoundError` (`draft.not_found`, `person.not_found`), and what `signing.judge` and `publish.published` do.
    """
    person, draft, before = _person(tx, act), queries.draft(tx, draft_id), queries.anchor(tx)
    given = Signature(signature.keyid, signature.signature, person, act.at)
    complete = signing.judge(draft, before, given, digest)
    writes.add_signature(tx, draft_id, given)
    if complete is not None:
        anchor = publish.published(before, draft.payload, complete, online, act.at)
        writes.hand_out(tx, before, anchor, act.at)
        _carry_out(tx, act, draft)
    after = queries.draft(tx, draft_id)
    facts: dict[str, Json] = {
        **_ended(draft, after),
        "changes": [f"{change.kind.value} {change.release.ref}" for change in draft.changes],
        "keyid": given.keyid,
        "needed": publish.signers(before.root).threshold,
        "signed": len(after.signatures),
    }
    audit_writes.record(tx, act, "draft.sign", f"draft:{draft_id}", draft.scope, facts)
    return after


def trust_root(tx: Tx, act: Act, root: bytes, online: keys.PrivateKey) -> Anchor:
    """Give the plane its root of trust, the first one or the successor of the one there is.

    Raises what `publish.rooted` raises.
    """
    before = queries.anchor(tx)
    after = publish.rooted(before, root, online, act.at)
    writes.hand_out(tx, before, after, act.at)
    version = metadata.seen(root).version
    facts: dict[str, Json] = {
        "after": {"sha256": digests.sha256_hex(root), "version": version},
        "before": {"sha256": digests.sha256_hex(before.root), "version": version - 1} if before.root else None,
        "roles": {role.name: {"keyids": list(role.keyids), "needed": role.threshold} for role in metadata.roles(root)},
    }
    audit_writes.record(tx, act, "trust.root", f"root:{version}", ROOT, facts)
    return after


def refresh(tx: Tx, act: Act, online: keys.PrivateKey) -> Anchor:
    """Sign snapshot and timestamp anew, which runs out within days so that a plane cut off from its signers is noticed.

    Raises what `publish.refreshed` raises.
    """
    before = queries.anchor(tx)
    after = publish.refreshed(before, online, act.at)
    writes.hand_out(tx, before, after, act.at)
    files = {metadata.SNAPSHOT: after.snapshot, metadata.TIMESTAMP: after.timestamp}
    facts: dict[str, Json] = {role: metadata.seen(file).version for role, file in files.items() if file}
    audit_writes.record(tx, act, "trust.refresh", "trust:online", ROOT, {"after": facts})
    return after


def _person(tx: Tx, act: Act) -> PersonId:
    # m of n are people: a token acts as its owner, and nobody else signs.
    return access_queries.principal(tx, PersonId(act.actor.id)).person


def _size(manifest: workload.Manifest) -> int:
    blobs = {image.config: image.config_size for image in manifest.images.values()}
    blobs |= {layer.digest: layer.size for image in manifest.images.values() for layer in image.layers}
    return sum(blobs.values())


def _open_changes(tx: Tx) -> Sequence[Change]:
    draft = queries.open_draft(tx)
    return draft.changes if draft else ()


def _opened(tx: Tx, act: Act, draft_id: DraftId, scope: str, changes: Sequence[Change] = ()) -> Draft:
    anchor = queries.anchor(tx)
    publish.present(anchor.root)
    following = drafts.compose(drafts.listed(anchor.targets), changes, act.at)
    return Draft(
        id=draft_id,
        scope=drafts.scope(scope),
        state=DraftState.OPEN,
        version=following.version,
        payload=following.payload,
        expires_at=following.expires_at,
        changes=tuple(changes),
        signatures=(),
        made_by=_person(tx, act),
        made_at=act.at,
        changed_at=act.at,
    )


def _changed(tx: Tx, act: Act, draft_id: DraftId, change: Change) -> Draft:
    """Put a change into the open draft, or open one as `draft_id`; its payload is composed anew from all changes."""
    there = queries.open_draft(tx)
    drafts.joined(there, change.release.scope)
    changes = (*there.changes, change) if there else (change,)
    draft = _opened(tx, act, there.id if there else draft_id, change.release.scope, changes)
    if there is None:
        writes.open_draft(tx, draft)
    else:
        draft = replace(draft, made_by=there.made_by, made_at=there.made_at)
    writes.add_change(tx, draft, change, act.at)
    return draft


def _carry_out(tx: Tx, act: Act, draft: Draft) -> None:
    writes.close_draft(tx, draft, DraftState.PUBLISHED, act.at)
    for change in draft.changes:
        if change.kind in _BECOMES:
            writes.move_release(tx, change.release, _BECOMES[change.kind], act.at)
        else:
            writes.raise_floor(tx, change.release.line, change.release.number)


def _image(image: Image) -> dict[str, Json]:
    found = image.found
    return {"config": found.config.digest, "id": image.id, "names": list(found.names), "platform": found.platform}


def _release(release: Release) -> dict[str, Json]:
    return {"digest": release.digest, "name": release.name, "number": release.number, "version": release.version}


def _drafted(draft: Draft) -> dict[str, Json]:
    said: dict[str, Json] = {"digest": drafts.digest(draft), "id": draft.id, "list": draft.version}
    return {"draft": {**said, "expires": rfc3339(draft.expires_at)}}


def _ended(before: Draft, after: Draft) -> dict[str, Json]:
    return {**_drafted(after), "after": {"state": after.state.value}, "before": {"state": before.state.value}}
