# SPDX-License-Identifier: Apache-2.0
"""What may be believed of a repository: the client's side of TUF (specification 1.0, section 5), as pure functions.

`Trusted` holds what was accepted; each `with_…` returns a new one, or raises and has changed nothing. Time is an
argument: the plane's clock, or a device's time floor. Fetching and storing are the caller's (5.3.3, 5.3.8 and the
like).

Rules, each with its clause:

1. A root is believed because it was pinned, and signed by its own threshold (5.2).
2. The next root is signed by the threshold of the one before and by its own (5.3.4), and its version is the next one
   (5.3.5). It may be expired: only the last one may not, which is asked before anything that follows it (5.3.10).
3. What a new root's keys no longer sign is forgotten, file by file: that is how one recovers from an attacker who
   had keys and ran versions far ahead (5.3.11). What they still sign goes on protecting from rollback.
4. A timestamp is signed as the root says (5.4.2). Its version is higher than that of the one before, expired or not;
   the same version again changes nothing (5.4.3.1). The snapshot it names is not older (5.4.3.2). It is not expired
   (5.4.4).
5. A snapshot is the file that the timestamp names by length, hash and version (5.5.2, 5.5.4), and signed (5.5.3). The
   targets it names are there and not older than in the one before, expired or not (5.5.5). It is not expired (5.5.6).
6. Targets are the file that the snapshot names (5.6.2, 5.6.4), signed (5.6.3) and not expired (5.6.5).
7. Each needs the one above it in place and unexpired, as that one's own check would find it now (5.4 to 5.6).
8. Ours: a floor that trusted targets set is never lowered or dropped by the next.
9. What was accepted once can be loaded at any later time: `restore` asks who signed, never when it expires.

Left out on purpose: delegations (5.6.7), of which we have none and take none; the download of targets (5.7), which
are blobs with digests; a limit on the number of roots in one go (5.3.3), which is the fetcher's.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from checkvalve.crypto import metafile
from checkvalve.crypto.metafile import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Parsed, S
from checkvalve.errors import InvalidError


@dataclass(frozen=True)
class Trusted:
    """Files that were accepted, as they came, and their versions (0: there is none). Store what a step returns whole.

    A file below another may lag behind it, when the step that would replace it has not been made: `wanted` tells.
    """

    root: bytes
    root_version: int
    timestamp: bytes | None = None
    timestamp_version: int = 0
    snapshot: bytes | None = None
    snapshot_version: int = 0
    targets: bytes | None = None
    targets_version: int = 0


def begin(root: bytes) -> Trusted:
    """Trust a pinned root (rule 1).

    Raises `InvalidError`: `metadata.size`, `metadata.form`, `metadata.role`, `metadata.signature`.
    """
    parsed = metafile.read_as(Root, root)
    _must_sign(parsed.signed, parsed)
    return Trusted(root, parsed.version)


def with_root(trusted: Trusted, data: bytes) -> Trusted:
    """Trust the next root (rules 2 and 3).

    Raises `InvalidError`: `metadata.gap`, and those of `begin`.
    """
    new = metafile.read_as(Root, data)
    _must_sign(_root(trusted), new)
    if new.version != trusted.root_version + 1:
        raise InvalidError(
            "metadata.gap",
            f"This is root {new.version}, and root {trusted.root_version + 1} is due.",
            "Give the roots one by one, in their order.",
        )
    _must_sign(new.signed, new)
    kept = replace(trusted, root=data, root_version=new.version)
    if not _still_signs(new.signed, Timestamp, trusted.timestamp):
        kept = replace(kept, timestamp=None, timestamp_version=0)
    if not _still_signs(new.signed, Snapshot, trusted.snapshot):
        kept = replace(kept, snapshot=None, snapshot_version=0)
    if not _still_signs(new.signed, Targets, trusted.targets):
        kept = replace(kept, targets=None, targets_version=0)
    return kept


def with_timestamp(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Trust a timestamp (rule 4). The same version as before returns `trusted` itself.

    Raises `InvalidError`: `metadata.expired`, `metadata.rollback`, and those of `begin`.
    """
    root = _root(trusted)
    _must_be_fresh(root, now)
    new = metafile.read_as(Timestamp, data)
    _must_sign(root, new)
    if trusted.timestamp is not None:
        old = metafile.read_as(Timestamp, trusted.timestamp)
        _must_not_be_older(TIMESTAMP, new.version, old.version)
        if new.version == old.version:
            _must_be_fresh(old.signed, now)
            return trusted
        _must_not_be_older(SNAPSHOT, new.signed.snapshot_meta.version, old.signed.snapshot_meta.version)
    _must_be_fresh(new.signed, now)
    return replace(trusted, timestamp=data, timestamp_version=new.version)


def with_snapshot(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Trust the snapshot that the timestamp names (rule 5).

    Raises `InvalidError`: `metadata.order`, `metadata.mismatch`, `metadata.expired`, `metadata.rollback`, and those of
    `begin`.
    """
    root = _root(trusted)
    _must_be_fresh(root, now)
    if trusted.timestamp is None:
        raise _out_of_order(SNAPSHOT, TIMESTAMP)
    timestamp = metafile.read_as(Timestamp, trusted.timestamp).signed
    _must_be_fresh(timestamp, now)
    new = _named_file(Snapshot, timestamp.snapshot_meta, data)
    _must_sign(root, new)
    if trusted.snapshot is not None:
        old = metafile.read_as(Snapshot, trusted.snapshot).signed
        _must_not_be_older(TARGETS, _of_targets(new.signed).version, _of_targets(old).version)
    _must_be_fresh(new.signed, now)
    return replace(trusted, snapshot=data, snapshot_version=new.version)


def with_targets(trusted: Trusted, data: bytes, now: datetime) -> Trusted:
    """Trust the targets that the snapshot names (rules 6 and 8).

    Raises `InvalidError`: `metadata.order`, `metadata.mismatch`, `metadata.expired`, `metadata.floor`, and those of
    `begin`.
    """
    root = _root(trusted)
    _must_be_fresh(root, now)
    if trusted.timestamp is None or trusted.snapshot is None:
        raise _out_of_order(TARGETS, SNAPSHOT)
    timestamp = metafile.read_as(Timestamp, trusted.timestamp).signed
    snapshot = metafile.read_as(Snapshot, trusted.snapshot)
    if not _names(timestamp.snapshot_meta, snapshot, trusted.snapshot):
        raise _out_of_order(TARGETS, SNAPSHOT)
    _must_be_fresh(timestamp, now)
    _must_be_fresh(snapshot.signed, now)
    new = _named_file(Targets, _of_targets(snapshot.signed), data)
    _must_sign(root, new)
    _must_be_fresh(new.signed, now)
    if trusted.targets is not None:
        _must_keep_floors(metafile.read_as(Targets, trusted.targets).signed, new.signed)
    return replace(trusted, targets=data, targets_version=new.version)


def restore(root: bytes, timestamp: bytes | None, snapshot: bytes | None, targets: bytes | None) -> Trusted:
    """Return what was stored of a `Trusted`, however old (rule 9).

    Raises `InvalidError`: as `begin`, for a file that is damaged, or that this root's keys do not sign. Such a file is
    left out by giving None, which forgets the rollback it protected from.
    """
    begun = begin(root)
    signed = metafile.read_as(Root, root).signed
    return replace(
        begun,
        timestamp=timestamp,
        timestamp_version=_restored(signed, Timestamp, timestamp),
        snapshot=snapshot,
        snapshot_version=_restored(signed, Snapshot, snapshot),
        targets=targets,
        targets_version=_restored(signed, Targets, targets),
    )


def wanted(trusted: Trusted) -> tuple[str, int] | None:
    """Return the role and version of the file to fetch next, or None if each file is what the one above it names.

    It is about what is there: a newer root or timestamp is only found by asking for it. Version 0 is the newest.
    """
    if trusted.timestamp is None:
        return TIMESTAMP, 0
    said = metafile.read_as(Timestamp, trusted.timestamp).signed.snapshot_meta
    if trusted.snapshot is None:
        return SNAPSHOT, said.version
    snapshot = metafile.read_as(Snapshot, trusted.snapshot)
    if not _names(said, snapshot, trusted.snapshot):
        return SNAPSHOT, said.version
    named = _of_targets(snapshot.signed)
    if trusted.targets is None:
        return TARGETS, named.version
    targets = metafile.read_as(Targets, trusted.targets)
    return None if _names(named, targets, trusted.targets) else (TARGETS, named.version)


def stale(trusted: Trusted, now: datetime) -> str | None:
    """Return the role of the first file that has expired, from the root down; None if no file has."""
    files = {ROOT: trusted.root, TIMESTAMP: trusted.timestamp, SNAPSHOT: trusted.snapshot, TARGETS: trusted.targets}
    for role, data in files.items():
        if data is not None and metafile.read(data).signed.is_expired(now):
            return role
    return None


def _root(trusted: Trusted) -> Root:
    return metafile.read_as(Root, trusted.root).signed


def _of_targets(snapshot: Snapshot) -> MetaFile:
    return snapshot.meta["targets.json"]


def _must_sign(root: Root, file: Parsed[Signed]) -> None:
    role = file.signed.type
    count = len(metafile.counting(root, role, file.payload, file.signatures))
    if count < root.roles[role].threshold:
        raise InvalidError(
            "metadata.signature",
            f"The {role} metadata has {count} right signatures; root {root.version} asks for "
            f"{root.roles[role].threshold}.",
            "Give the file with the signatures of those whom the root names.",
        )


def _still_signs(root: Root, kind: type[Signed], data: bytes | None) -> bool:
    try:
        _restored(root, kind, data)
    except InvalidError:
        return False
    return True


def _restored(root: Root, kind: type[Signed], data: bytes | None) -> int:
    if data is None:
        return 0
    parsed = metafile.read_as(kind, data)
    _must_sign(root, parsed)
    return parsed.version


def _names(said: MetaFile, file: Parsed[Signed], data: bytes) -> bool:
    """Tell whether `said` is of this very file: length, hash and version."""
    try:
        said.verify_length_and_hashes(data)
    except RepositoryError:
        return False
    return said.version == file.version


def _named_file(kind: type[S], said: MetaFile, data: bytes) -> Parsed[S]:
    """Return what the file says, if it is the one that `said` names; its hash is asked before it is read."""
    metafile.bounded(data)
    try:
        said.verify_length_and_hashes(data)
    except RepositoryError as error:
        raise _mismatch(kind, said) from error
    parsed = metafile.read_as(kind, data)
    if parsed.version != said.version:
        raise _mismatch(kind, said)
    return parsed


def _mismatch(kind: type[Signed], said: MetaFile) -> InvalidError:
    return InvalidError(
        "metadata.mismatch",
        f"This is not the {kind.type} metadata, version {said.version}, that the file above it names.",
        "Fetch timestamp, snapshot and targets anew, in this order.",
    )


def _must_not_be_older(role: str, new: int, old: int) -> None:
    if new < old:
        raise InvalidError(
            "metadata.rollback",
            f"This goes back to {role} version {new}, and version {old} is known already.",
            "Ask for the newest; if this is the newest, somebody gives out old files, or the plane was restored.",
        )


def _must_be_fresh(signed: Signed, now: datetime) -> None:
    if signed.is_expired(now):
        raise InvalidError(
            "metadata.expired",
            f"The {signed.type} metadata, version {signed.version}, expired at {signed.expires:%Y-%m-%d %H:%M} UTC.",
            "Fetch a newer one; if there is none, those who sign it have to sign it anew.",
        )


def _must_keep_floors(old: Targets, new: Targets) -> None:
    (_, before), (_, after) = metafile.targets(old), metafile.targets(new)
    for line, floor in before.items():
        if after.get(line, 0) < floor:
            raise InvalidError(
                "metadata.floor",
                f"The floor of {line} is {floor}, and these targets set {after.get(line, 'none')}.",
                "A floor only rises: sign targets that keep it.",
            )


def _out_of_order(role: str, above: str) -> InvalidError:
    return InvalidError(
        "metadata.order",
        f"There is no {above} metadata yet that {role} metadata could be held against.",
        f"Fetch the {above} metadata first.",
    )
