# SPDX-License-Identifier: Apache-2.0
"""How a secret lies in the database: locked with the plane's key, bound to its entry (walk values, 4).

The nonce follows from the entry's id, which holds 80 bits of fresh entropy and a time, and is never used twice.
"""

from checkvalve.crypto import digests, seal
from checkvalve.errors import InvalidError
from checkvalve.server.values.model import Entry


def locked(key: bytes, ident: str, content: bytes) -> bytes:
    """Return what the row of the entry `ident` keeps of a secret."""
    nonce = bytes.fromhex(digests.sha256_hex(ident.encode()))[: seal.NONCE_SIZE]
    return seal.lock(key, nonce, content, _context(ident))


def unlocked(key: bytes, entry: Entry) -> bytes:
    """Return the secret that an entry keeps; `InvalidError` (`seal.closed`): it was locked with another key."""
    try:
        return seal.unlock(key, entry.content or b"", _context(entry.id))
    except InvalidError as error:
        raise InvalidError(
            error.code,
            f"The secret {entry.key.name} does not open with this plane's key.",
            "Bring keys/values.key back from the backup of this plane, or set the secret again.",
        ) from error


def holds(key: bytes, entry: Entry, content: bytes) -> bool:
    """Tell whether an entry keeps exactly this secret; what no longer opens does not."""
    try:
        return unlocked(key, entry) == content
    except InvalidError:
        return False


def opens(key: bytes, entry: Entry) -> bool:
    """Tell whether this is the key that an entry was locked with."""
    try:
        unlocked(key, entry)
    except InvalidError:
        return False
    return True


def fingerprint(key: bytes) -> str:
    """Return what names a key and tells nothing of it: it is 256 random bits."""
    return digests.sha256_hex(b"checkvalve values key:" + key)


def _context(ident: str) -> bytes:
    return f"value:{ident}".encode()
