# SPDX-License-Identifier: Apache-2.0
"""What does this root.json say, who has signed it, and whose signature is missing?

Rules (TUF 5.3): 1. a root is signed by its own threshold of root keys; 2. one that follows another also by that of the
other; 3. only signatures that are right for a key named there count, each key once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from checkvalve.crypto import keys, metadata
from checkvalve.errors import InvalidError


class Asks(msgspec.Struct, frozen=True):
    """Who must sign this root, after the root of `version`, and who has."""

    version: int
    threshold: int
    keyids: tuple[str, ...]
    signed: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many signatures are still to come."""
        return max(0, self.threshold - len(self.signed))


class Role(msgspec.Struct, frozen=True):
    """Who signs what."""

    name: str
    threshold: int
    keyids: tuple[str, ...]


class Root(msgspec.Struct, frozen=True):
    """A root as its file has it. `asks` are its own keys and, if they were given, those of the root before."""

    version: int
    expires: str
    roles: tuple[Role, ...]
    asks: tuple[Asks, ...]
    complete: bool
    kind: str = "root"


class _Value(msgspec.Struct):
    public: str


class _Held(msgspec.Struct):
    keyval: _Value


class _Signed(msgspec.Struct):
    keys: dict[str, _Held]


class _File(msgspec.Struct):
    signed: _Signed


@dataclass(frozen=True)
class Keys:
    """The keys and threshold of one role."""

    public: tuple[keys.PublicKey, ...]
    threshold: int


def told(data: bytes, previous: bytes | None = None) -> Root:
    """Return what a root's file says; `InvalidError` (`metadata.form`, `metadata.role`, `metadata.gap`)."""
    seen = metadata.seen(data)
    if seen.role != metadata.ROOT:
        raise InvalidError(
            "metadata.role",
            f"This is a file of {seen.role}, and no root of trust.",
            "Give root.json, as `keys` wrote it.",
        )
    asks = [_asks(data, data)]
    if previous is not None:
        before = metadata.seen(previous)
        if before.role != metadata.ROOT or before.version + 1 != seen.version:
            raise InvalidError(
                "metadata.gap",
                f"Version {seen.version} does not follow the {before.role} of version {before.version}.",
                "Give the root of trust that is in force now as --previous.",
            )
        asks.append(_asks(previous, data))
    roles = tuple(Role(one.name, one.threshold, tuple(one.keyids)) for one in metadata.roles(data))
    known = seen.version == 1 or previous is not None  # rule 2
    expires = seen.expires.isoformat().replace("+00:00", "Z")
    return Root(seen.version, expires, roles, tuple(asks), known and not any(one.missing for one in asks))


def of_role(data: bytes) -> Mapping[str, Keys]:
    """Return the keys themselves, by role: what the root that follows keeps unless somebody says otherwise."""
    named = metadata.roles(data)
    held = msgspec.json.decode(data, type=_File).signed.keys
    return {
        one.name: Keys(
            tuple(keys.load_public(held[keyid].keyval.public.encode()) for keyid in one.keyids), one.threshold
        )
        for one in named  # of a form that `metadata` has judged: each key is there, and is one of ours
    }


def _asks(root: bytes, data: bytes) -> Asks:
    role = next(one for one in metadata.roles(root) if one.name == metadata.ROOT)
    signed = metadata.signed_by(root, metadata.ROOT, metadata.payload(data), metadata.signatures(data))  # rule 3
    return Asks(metadata.seen(root).version, role.threshold, tuple(role.keyids), tuple(signed))
