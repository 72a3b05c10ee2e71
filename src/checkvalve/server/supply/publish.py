# SPDX-License-Identifier: Apache-2.0
"""Which files of metadata are handed out next?

Rules: 1. a root of trust for this plane names exactly the plane's own key for snapshot and timestamp; 2. it begins by
itself, or follows the one there is, and has not run out; 3. with each new list, with a new root, and daily, snapshot
and timestamp are signed anew; 4. a plane never hands out what a device would refuse: every new file passes the trust
set that devices use before it is kept; 5. a list that the root's keys no longer sign stays where it is until the next
one is signed: keys must be replaceable at once.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from checkvalve.crypto import keys, metadata, trustset
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.server.supply.model import Anchor, Signature

SNAPSHOT_LASTS = timedelta(days=30)
TIMESTAMP_LASTS = timedelta(days=7)
REFRESHED = timedelta(days=1)


def rooted(before: Anchor, root: bytes, online: keys.PrivateKey, now: datetime) -> Anchor:
    """Return what is handed out with `root`, the first one or the successor of the one there is.

    Raises `InvalidError` (`metadata.*`: what the trust set says of it), `ConflictError` (`trust.same`, `trust.expired`,
    `trust.not_this_plane`).
    """
    if root == before.root:
        raise ConflictError("trust.same", "The plane has this root of trust already.", "Nothing is left to do.")
    if before.root is None:  # rule 2
        trustset.begin(root)
    else:
        trustset.with_root(trustset.begin(before.root), root)
    valid(root, now)
    _ours(root, online)
    after = replace(before, root=root, first_root=before.first_root or root)
    return _signed_anew(after, online, now) if after.targets is not None else after


def published(
    before: Anchor, payload: bytes, signatures: Iterable[Signature], online: keys.PrivateKey, now: datetime
) -> Anchor:
    """Return what is handed out with the list `payload`, which enough people signed.

    Raises `ConflictError` (`trust.none`, `trust.expired`, `trust.not_this_plane`); `RuntimeError` if a device would
    refuse it (rule 4), which is a defect.
    """
    given = [metadata.Signature(keyid=one.keyid, signature=one.signature) for one in signatures]
    return _signed_anew(replace(before, targets=metadata.assemble(payload, given)), online, now, known=before)


def refreshed(before: Anchor, online: keys.PrivateKey, now: datetime) -> Anchor:
    """Return the same with snapshot and timestamp signed anew.

    Raises `ConflictError` (`trust.none`, `trust.expired`, `trust.not_this_plane`, `trust.empty`).
    """
    if before.root is not None and before.targets is None:
        raise ConflictError(
            "trust.empty", "No list of what may run has been published yet.", "Make a release, and sign it."
        )
    return _signed_anew(before, online, now)


def signers(root: bytes | None) -> metadata.Role:
    """Return who signs lists; `ConflictError` (`trust.none`)."""
    return next(role for role in metadata.roles(present(root)) if role.name == metadata.TARGETS)


def present(root: bytes | None) -> bytes:
    """Return the root of trust; `ConflictError` (`trust.none`) if the plane has none."""
    if root is None:
        raise ConflictError(
            "trust.none",
            "The plane has no root of trust yet, so nobody could sign.",
            "Make one where your keys are (`checkvalve keys init`), then bring it: `checkvalve trust install`.",
        )
    return root


def valid(root: bytes | None, now: datetime) -> bytes:
    """Return the root of trust; `ConflictError` (`trust.none`, `trust.expired`) if there is none that still holds."""
    there = present(root)
    if metadata.seen(there).expires <= now:
        raise ConflictError(
            "trust.expired",
            "The root of trust has run out, and devices believe nothing that follows from it.",
            "Have its people sign the next one (`checkvalve keys init`), then bring it: `checkvalve trust install`.",
        )
    return there


def _signed_anew(after: Anchor, online: keys.PrivateKey, now: datetime, known: Anchor | None = None) -> Anchor:
    root = valid(after.root, now)
    _ours(root, online)
    targets, moment = after.targets, now.replace(microsecond=0)  # TUF writes whole seconds
    if targets is None:
        raise TypeError("there is no list to sign for")
    snapshot_version = metadata.following(version(after.snapshot), now)
    snapshot = metadata.new_snapshot(
        version=snapshot_version,
        expires=moment + SNAPSHOT_LASTS,
        targets_version=version(targets),
        targets=targets,
    )
    snapshot_file = metadata.assemble(snapshot, [metadata.sign(snapshot, online)])
    timestamp = metadata.new_timestamp(
        version=metadata.following(version(after.timestamp), now),
        expires=moment + TIMESTAMP_LASTS,
        snapshot_version=snapshot_version,
        snapshot=snapshot_file,
    )
    timestamp_file = metadata.assemble(timestamp, [metadata.sign(timestamp, online)])
    signed = replace(after, snapshot=snapshot_file, timestamp=timestamp_file)
    _judged(known or after, signed, now)
    return signed


def _judged(before: Anchor, after: Anchor, now: datetime) -> None:  # rule 4
    try:
        trusted = _trusted(replace(before, root=after.root))
        trusted = trustset.with_timestamp(trusted, after.timestamp or b"", now)
        trusted = trustset.with_snapshot(trusted, after.snapshot or b"", now)
        if after.targets != before.targets:
            trustset.with_targets(trusted, after.targets or b"", now)
    except InvalidError as error:
        raise RuntimeError(f"a device would refuse what was to be handed out: {error}") from error


def _trusted(anchor: Anchor) -> trustset.Trusted:
    """Return what a device believes that has this root, and had the files before: those that the root still signs."""
    root = present(anchor.root)
    files = {role.name: _still_signed(role, root, getattr(anchor, role.name)) for role in metadata.roles(root)}
    return trustset.restore(root, files[metadata.TIMESTAMP], files[metadata.SNAPSHOT], files[metadata.TARGETS])


def _still_signed(role: metadata.Role, root: bytes, file: bytes | None) -> bytes | None:  # rule 5
    if file is None:
        return None
    by = metadata.signed_by(root, role.name, metadata.payload(file), metadata.signatures(file))
    return file if len(by) >= role.threshold else None


def _ours(root: bytes, online: keys.PrivateKey) -> None:  # rule 1
    ours = metadata.keyid(online.public_key())
    for role in metadata.roles(root):
        if role.name in {metadata.SNAPSHOT, metadata.TIMESTAMP} and (role.threshold, role.keyids) != (1, (ours,)):
            named = ", ".join(role.keyids)
            raise ConflictError(
                "trust.not_this_plane",
                f"This root of trust does not leave the {role.name} to this plane's key alone.",
                f"It names {named} (needed: {role.threshold}); this plane's key is {ours}. Make a root with that key.",
            )


def version(file: bytes | None) -> int:
    """Return the version of a file; 0 if there is none."""
    return 0 if file is None else metadata.seen(file).version
