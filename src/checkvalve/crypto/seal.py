# SPDX-License-Identifier: Apache-2.0
"""Sealing to a P-256 key, so that only its holder opens; and locking with a key of 32 bytes, for what lies at rest.

Sealing (ECIES): a fresh key pair, ECDH with the recipient's key (SP 800-56A), HKDF-SHA-256 over the shared secret with
both public points (SP 800-56C), AES-256-GCM. Each message has a key of its own, so its nonce may follow from it too.
Locking: AES-256-GCM with a nonce that the caller draws. Both bind a context, which is not in the result.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from checkvalve.crypto import keys
from checkvalve.errors import InvalidError

KEY_SIZE = 32  # bytes
NONCE_SIZE = 12
_POINT = 65  # bytes of an uncompressed point on P-256
_SEALED, _LOCKED = b"\x01", b"\x02"  # form and version of what follows
_TAG = 16  # bytes
SEAL_ADDS = 1 + _POINT + _TAG  # bytes to a message
LOCK_ADDS = 1 + NONCE_SIZE + _TAG
_INFO = b"checkvalve seal v1"


def seal(recipient: keys.PublicKey, message: bytes, context: bytes) -> bytes:
    """Return `message` so that only the recipient's private key opens it, with the same `context`."""
    fresh = keys.make()
    own, theirs = _point(fresh.public_key()), _point(recipient)
    key, nonce = _derived(fresh.exchange(ec.ECDH(), recipient), own, theirs)
    return _SEALED + own + AESGCM(key).encrypt(nonce, message, context)


def open_(private: keys.PrivateKey, sealed: bytes, context: bytes) -> bytes:
    """Return what was sealed; `InvalidError` (`seal.closed`): for another key or context, changed, or cut short."""
    own, rest = sealed[1 : 1 + _POINT], sealed[1 + _POINT :]
    try:
        if sealed[:1] != _SEALED:
            raise _closed()
        fresh = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), own)
        key, nonce = _derived(private.exchange(ec.ECDH(), fresh), own, _point(private.public_key()))
        return AESGCM(key).decrypt(nonce, rest, context)
    except (ValueError, InvalidTag) as error:
        raise _closed() from error


def lock(key: bytes, nonce: bytes, message: bytes, context: bytes) -> bytes:
    """Return `message` locked; `nonce` are 12 bytes that were never used with this key (fresh entropy)."""
    return _LOCKED + nonce + AESGCM(key).encrypt(nonce, message, context)


def unlock(key: bytes, locked: bytes, context: bytes) -> bytes:
    """Return what was locked; `InvalidError` (`seal.closed`): another key or context, changed, or cut short."""
    nonce, rest = locked[1 : 1 + NONCE_SIZE], locked[1 + NONCE_SIZE :]
    try:
        if locked[:1] != _LOCKED:
            raise _closed()
        return AESGCM(key).decrypt(nonce, rest, context)
    except (ValueError, InvalidTag) as error:
        raise _closed() from error


def _derived(shared: bytes, fresh: bytes, recipient: bytes) -> tuple[bytes, bytes]:
    made = HKDF(hashes.SHA256(), KEY_SIZE + NONCE_SIZE, salt=None, info=_INFO + fresh + recipient).derive(shared)
    return made[:KEY_SIZE], made[KEY_SIZE:]


def _point(key: keys.PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _closed() -> InvalidError:
    return InvalidError("seal.closed", "This was sealed for another key or place, or was changed.", "Set it again.")
