# SPDX-License-Identifier: Apache-2.0
"""TUF metadata (specification 1.0) as we write it, sign it and show it. `trustset` says what may be believed.

A *payload* is the canonical JSON of the signed part: exactly the bytes that people sign, at different times and places.
A *file* is a payload with its signatures. Nothing here believes anything: `seen`, `roles` and `read_targets` tell what
bytes say, and `signed_by` counts signatures under a root that the caller trusts for its own reasons.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import (
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.metadata import Role as RawRole

from checkvalve.crypto import digests, keys, metafile, strictjson
from checkvalve.crypto.metafile import (
    FLOORS,
    LARGEST,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Parsed,
    Signature,
    Target,
    malformed,
)
from checkvalve.errors import InvalidError

__all__ = [
    "FLOORS",
    "LARGEST",
    "ROOT",
    "SNAPSHOT",
    "TARGETS",
    "TIMESTAMP",
    "Role",
    "Seen",
    "Signature",
    "Target",
    "assemble",
    "following",
    "keyid",
    "new_root",
    "new_snapshot",
    "new_targets",
    "new_timestamp",
    "payload",
    "read_targets",
    "roles",
    "seen",
    "sign",
    "signatures",
    "signed_by",
    "signs",
]

_FOR_SIGNATURES = 64 << 10  # bytes that a list of targets leaves free, so that what can be drafted can be published


@dataclass(frozen=True)
class Role:
    """Whose signatures a role needs, and how many of them."""

    name: str
    threshold: int
    keyids: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What bytes say of themselves, unverified."""

    role: str
    version: int
    expires: datetime


def keyid(key: keys.PublicKey) -> str:
    """Return the TUF key id, 64 hex digits (section 4.2)."""
    return SSlibKey.from_crypto(keys.only_p256(key)).keyid


def new_root(
    *,
    version: int,
    expires: datetime,
    root: Sequence[keys.PublicKey],
    root_threshold: int,
    targets: Sequence[keys.PublicKey],
    targets_threshold: int,
    online: keys.PublicKey,
) -> bytes:
    """Return the payload of a root that names `online` for snapshot and timestamp.

    Raises `InvalidError`: `metadata.keys` for a threshold that its keys cannot reach, a key twice in a role, or an
    online key that could also decide what may run: the plane must not hold one of those.
    """
    named = {
        ROOT: (root, root_threshold),
        TARGETS: (targets, targets_threshold),
        SNAPSHOT: ((online,), 1),
        TIMESTAMP: ((online,), 1),
    }
    for role, (people, threshold) in named.items():
        held = {keyid(key) for key in people}
        if len(held) != len(people) or not 1 <= threshold <= len(held):
            raise InvalidError(
                "metadata.keys",
                f"The {role} role needs {threshold} of {len(held)} keys.",
                "Give each key once, and ask for at least one and at most all of them.",
            )
    if keyid(online) in {keyid(key) for key in (*root, *targets)}:
        raise InvalidError(
            "metadata.keys",
            "The plane's own key is also named for root or targets.",
            "Make keys of their own for people, on another machine.",
        )
    known = [SSlibKey.from_crypto(keys.only_p256(key)) for people, _ in named.values() for key in people]
    return _payload(
        Root(
            version,
            expires=_utc(expires),
            keys={key.keyid: key for key in known},
            roles={role: RawRole([keyid(key) for key in people], most) for role, (people, most) in named.items()},
            consistent_snapshot=True,
        )
    )


def new_targets(*, version: int, expires: datetime, targets: Mapping[str, Target], floors: Mapping[str, int]) -> bytes:
    """Return the payload of a list of what may run; `InvalidError` (`metadata.form`, `metadata.size`)."""
    files = {
        path: TargetFile(
            target.length,
            {"sha256": target.sha256},
            path,
            {"custom": {"name": target.name, "version": target.version, "number": target.number}},
        )
        for path, target in targets.items()
    }
    made = _payload(Targets(version, expires=_utc(expires), targets=files, unrecognized_fields={FLOORS: dict(floors)}))
    metafile.bounded(made, LARGEST - _FOR_SIGNATURES)
    return made


def new_snapshot(*, version: int, expires: datetime, targets_version: int, targets: bytes) -> bytes:
    """Return the payload of a snapshot that names this file of targets."""
    said = _said(targets_version, targets)
    return _payload(Snapshot(version, expires=_utc(expires), meta={"targets.json": said}))


def new_timestamp(*, version: int, expires: datetime, snapshot_version: int, snapshot: bytes) -> bytes:
    """Return the payload of a timestamp that names this file of a snapshot."""
    said = _said(snapshot_version, snapshot)
    return _payload(Timestamp(version, expires=_utc(expires), snapshot_meta=said))


def following(last: int, now: datetime) -> int:
    """Return the version after `last` of what the plane signs by itself.

    It follows the clock, so that a plane restored from last week's copy does not look like one that rolls back.
    """
    return max(last + 1, int(now.timestamp()))


def sign(payload: bytes, key: keys.PrivateKey) -> Signature:
    """Return this key's signature on exactly these bytes."""
    return Signature(keyid(key.public_key()), keys.sign(key, payload).hex())


def assemble(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return the file of a payload and its signatures; of two by one key the later counts.

    Raises `InvalidError` (`metadata.form`, `metadata.size`) if the file would not say exactly what `payload` does.
    """
    held = {signature.keyid: signature for signature in signatures}
    file = metafile.write(payload, (held[keyid] for keyid in sorted(held)))
    if metafile.read(file).payload != payload:
        raise malformed("its bytes are not those that were signed")
    return file


def payload(file: bytes) -> bytes:
    """Return the bytes that the signatures of this file are over; `InvalidError` (`metadata.form`, `metadata.size`)."""
    return metafile.read(file).payload


def signatures(file: bytes) -> tuple[Signature, ...]:
    """Return the signatures of a file, right or wrong; `InvalidError` (`metadata.form`, `metadata.size`)."""
    return metafile.read(file).signatures


def seen(file_or_payload: bytes) -> Seen:
    """Return what a file or a payload says of itself; `InvalidError` (`metadata.form`, `metadata.size`)."""
    found = _either(file_or_payload)
    return Seen(found.signed.type, found.version, found.expires)


def roles(root_file: bytes) -> tuple[Role, ...]:
    """Return the roles of a root, by name; `InvalidError` (`metadata.role`, `metadata.form`, `metadata.size`)."""
    named = metafile.read_as(Root, root_file).signed.roles
    return tuple(Role(name, named[name].threshold, tuple(named[name].keyids)) for name in sorted(named))


def read_targets(payload: bytes) -> tuple[dict[str, Target], dict[str, int]]:
    """Return targets by path and floors by line; `InvalidError` (`metadata.form`, `metadata.role`, `metadata.size`)."""
    return metafile.targets(metafile.read_as(Targets, metafile.write(payload, ())).signed)


def signs(root_file: bytes, role: str, payload: bytes, signature: Signature) -> bool:
    """Tell whether this is a signature of these bytes by a key that the root names for the role."""
    return bool(signed_by(root_file, role, payload, (signature,)))


def signed_by(root_file: bytes, role: str, payload: bytes, signatures: Iterable[Signature]) -> tuple[str, ...]:
    """Return the ids of the keys that count: named by the root for the role, each once, with a right signature.

    Of two signatures by one key the later counts, as in `assemble`. `InvalidError`: `metadata.role` for what is no
    root or no role, `metadata.form`, `metadata.size`.
    """
    root = metafile.read_as(Root, root_file).signed
    if role not in root.roles:
        raise InvalidError("metadata.role", f"There is no role {role!r}.", "Name root, targets, snapshot or timestamp.")
    return metafile.counting(root, role, payload, signatures)


def _either(data: bytes) -> Parsed[Signed]:
    metafile.bounded(data)
    try:
        value: Any = strictjson.loads(data, raw_controls=True)
    except ValueError as error:
        raise malformed(str(error)) from error
    if isinstance(value, dict) and "signed" not in value:
        return metafile.read(metafile.write(data, ()))
    return metafile.read(data)


def _payload(signed: Signed) -> bytes:
    """Return the payload, having read it as anyone would: what cannot be read is not written."""
    made = metafile.canonical(signed.to_dict())
    metafile.read(metafile.write(made, ()))
    return made


def _said(version: int, file: bytes) -> MetaFile:
    return MetaFile(version, len(file), {"sha256": digests.sha256_hex(file)})


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        message = "expiry is given in aware time"
        raise ValueError(message)
    return moment.astimezone(UTC)
