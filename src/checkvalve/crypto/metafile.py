# SPDX-License-Identifier: Apache-2.0
"""Are these bytes a file of TUF metadata (specification 1.0, section 4) in the form that we write and take?

Nothing is verified here. Rules: 1. size before anything else; 2. JSON is strict (`strictjson`); 3. the signed part
means the same to python-tuf as to us: both make the same canonical bytes of it, so what was signed is what was read;
4. keys are ECDSA P-256, in the one form of PEM that we write, under the one key id that is theirs: so one key cannot
count twice; 5. a file says of another its version, length and SHA-256, always; 6. the snapshot lists targets.json and
nothing else; 7. no delegations; 8. a target is the manifest of a release: its path, hash and custom fields agree;
9. floors are numbers of lines. Fields that nobody knows may stand anywhere else, and are signed with the rest
(section 4.1).
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar, cast

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, SSlibKey
from securesystemslib.signer import Signature as RawSignature
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from checkvalve.crypto import keys, strictjson
from checkvalve.errors import CheckvalveError, InvalidError

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = "root", "timestamp", "snapshot", "targets"
LARGEST = 4 << 20
FLOORS = "x-checkvalve-floors"
MOST_KEYS = 256  # of a root: each costs a curve operation to read

_NAME = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_LINE = rf"(?:[A-Za-z0-9_-]{{1,64}}/)?{_NAME}"
_HEX = r"[0-9a-f]{64}"
_PATH = re.compile(rf"({_LINE})/({_HEX})\.json")
_FLOOR = re.compile(_LINE)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?")
_DIGEST = re.compile(_HEX)
_SIGNATURE = re.compile(r"[0-9a-fA-F]{0,512}")  # empty: a place kept for one who has not signed yet

S_co = TypeVar("S_co", bound=Signed, covariant=True)
S = TypeVar("S", bound=Signed)


@dataclass(frozen=True)
class Target:
    """A manifest that may be taken. `name`, `version` and `number` are those of its release."""

    length: int
    sha256: str
    name: str
    version: str
    number: int


@dataclass(frozen=True)
class Signature:
    """A signature as a file holds it: DER, in hex."""

    keyid: str
    signature: str


@dataclass(frozen=True)
class Parsed(Generic[S_co]):
    """A file that has the form. `payload` is what its signatures are over."""

    signed: S_co
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def version(self) -> int:
        """Return its version."""
        return self.signed.version

    @property
    def expires(self) -> datetime:
        """Return when it expires."""
        return self.signed.expires


@functools.lru_cache(maxsize=8)  # one act asks the same few files a dozen things; nothing changes what was read
def read(data: bytes) -> Parsed[Signed]:
    """Return what the file says; `InvalidError` (`metadata.size`, `metadata.form`), and nothing else, if it is none."""
    signed, signatures = _parts(data)
    payload = canonical(signed)
    try:
        metadata: Metadata[Root] = Metadata.from_bytes(data)
        same = metadata.signed_bytes == payload
    except RepositoryError as error:
        raise malformed("a field is missing or holds what it must not") from error
    if not same:  # rule 3
        raise malformed("a field is written in another way than the specification has it")
    found: Signed = metadata.signed
    _judge(found)
    return Parsed(found, payload, signatures)


def read_as(kind: type[S], data: bytes) -> Parsed[S]:
    """Return what a file of this role says; `InvalidError` as `read`, and `metadata.role` for another role."""
    parsed = read(data)
    if not isinstance(parsed.signed, kind):
        raise InvalidError(
            "metadata.role",
            f"This is {parsed.signed.type} metadata, where {kind.type} is due.",
            f"Give the file {kind.type}.json.",
        )
    return Parsed(parsed.signed, parsed.payload, parsed.signatures)


def write(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return a file of these parts; `InvalidError` (`metadata.size`, `metadata.form`) if `payload` is not canonical."""
    bounded(payload)
    try:
        value = strictjson.loads(payload, raw_controls=True)
    except ValueError as error:
        raise malformed(str(error)) from error
    if not isinstance(value, dict) or canonical(value) != payload:
        raise malformed("the signed part is not in canonical form")
    outer = {"signatures": [{"keyid": one.keyid, "sig": one.signature} for one in signatures], "signed": value}
    data = json.dumps(outer, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    bounded(data)
    return data


def canonical(value: Mapping[str, object]) -> bytes:
    """Return the bytes that are signed: OLPC canonical JSON (section 4.2.1) of what `strictjson` gave."""
    return cast("str", encode_canonical(dict(value))).encode()


def targets(signed: Targets) -> tuple[dict[str, Target], dict[str, int]]:
    """Return the targets by path and the floors by line (rules 8 and 9); `InvalidError` (`metadata.form`)."""
    floors = signed.unrecognized_fields.get(FLOORS, {})
    if not isinstance(floors, dict) or not all(_FLOOR.fullmatch(line) and _number(at) for line, at in floors.items()):
        raise malformed("floors are not numbers of lines")
    return {path: _target(path, file) for path, file in signed.targets.items()}, floors


def counting(root: Root, role: str, payload: bytes, signatures: Iterable[Signature]) -> tuple[str, ...]:
    """Return the ids of the keys that sign `payload` for `role` (section 5.3.4 and its like): each at most once."""
    given = {one.keyid: RawSignature(one.keyid, one.signature) for one in signatures}
    right = root.get_verification_result(role, payload, given).signed
    return tuple(keyid for keyid in root.roles[role].keyids if keyid in right)


def bounded(data: bytes, most: int = LARGEST) -> None:
    """Raise `InvalidError` (`metadata.size`) for more bytes than any of us reads (rule 1)."""
    if len(data) > most:
        raise InvalidError(
            "metadata.size",
            f"The metadata is {len(data)} bytes; {most} is the most.",
            "Withdraw releases that nothing runs any more.",
        )


def malformed(why: str) -> InvalidError:
    """Return the refusal of bytes that have not the form."""
    return InvalidError(
        "metadata.form", f"This is not metadata in the form we take: {why}.", "Fetch the file anew, or make it anew."
    )


def _parts(data: bytes) -> tuple[dict[str, object], tuple[Signature, ...]]:
    bounded(data)
    try:
        value = strictjson.loads(data)
    except ValueError as error:
        raise malformed(str(error)) from error
    match value:
        case {"signed": dict() as signed, "signatures": list() as listed}:
            return signed, tuple(_signature(item) for item in listed)
        case _:
            raise malformed("it has no signed part, or no signatures")


def _signature(item: object) -> Signature:
    match item:
        case {"keyid": str() as keyid, "sig": str() as text} if _DIGEST.fullmatch(keyid) and _SIGNATURE.fullmatch(text):
            return Signature(keyid, text)
        case _:
            raise malformed("a signature is not a key id and hex digits")


def _judge(signed: Signed) -> None:
    # python-tuf takes `true` for 1, and compares before it asks for a type.
    if not _number(signed.version):
        raise malformed("the version is not a number")
    if isinstance(signed, Root):
        _judge_root(signed)
    elif isinstance(signed, Timestamp):
        _judge_said(signed.snapshot_meta)
    elif isinstance(signed, Snapshot):
        if set(signed.meta) != {"targets.json"}:  # rule 6
            raise malformed("the snapshot lists other files than targets.json")
        _judge_said(signed.meta["targets.json"])
    elif isinstance(signed, Targets):
        if signed.delegations is not None:  # rule 7
            raise malformed("it delegates to others")
        targets(signed)


def _judge_root(root: Root) -> None:
    if len(root.keys) > MOST_KEYS:
        raise malformed(f"it names more than {MOST_KEYS} keys")
    for keyid, key in root.keys.items():
        _judge_key(keyid, key)
    for role in root.roles.values():
        match role.keyids, role.threshold:
            case [*keyids], threshold if all(type(keyid) is str for keyid in keyids) and _number(threshold):
                pass
            case _:
                raise malformed("a role is not a list of key ids and a threshold")


def _judge_key(keyid: str, key: Key) -> None:
    """Hold rule 4: section 4.2 lets a key id stand for one key only, and ours lets a key have one id only."""
    if not isinstance(key, SSlibKey) or (key.keytype, key.scheme) != ("ecdsa", "ecdsa-sha2-nistp256"):
        raise malformed("a key is not an ECDSA key on curve P-256")
    pem = cast("str", key.keyval["public"]).encode()
    try:
        public = keys.load_public(pem)
    except CheckvalveError as error:
        raise malformed("a key is not an ECDSA key on curve P-256") from error
    if keys.dump_public(public) != pem or SSlibKey.from_crypto(public).keyid != keyid:
        raise malformed("a key does not stand under its own id")


def _judge_said(said: MetaFile) -> None:
    sound = _number(said.version) and _length(said.length) and _sha256(said.hashes)
    if not sound:  # rule 5
        raise malformed("it does not say the version, length and SHA-256 of the file it names")


def _target(path: str, file: TargetFile) -> Target:
    found, sha256 = _PATH.fullmatch(path), _sha256(file.hashes)
    match file.custom:
        case {"name": str() as name, "version": str() as version, "number": int() as number, **rest} if not rest:
            pass
        case _:
            raise malformed("a target does not say the name, version and number of its release, and nothing else")
    sound = found and found[2] == sha256 and found[1].rpartition("/")[2] == name
    if not sound or not _length(file.length) or not _LABEL.fullmatch(version) or not _number(number):
        raise malformed("a target's path, hash and release do not agree")
    return Target(file.length, sha256, name, version, number)


def _sha256(hashes: object) -> str:
    """Return the hash of `{"sha256": 64 hex digits}`, and nothing for any other value."""
    match hashes:
        case {"sha256": str() as text, **rest} if not rest and _DIGEST.fullmatch(text):
            return text
        case _:
            return ""


def _number(value: object) -> bool:
    return type(value) is int and value >= 1


def _length(value: object) -> bool:
    return type(value) is int and value >= 0
