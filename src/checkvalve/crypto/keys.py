# SPDX-License-Identifier: Apache-2.0
"""ECDSA P-256 keys: the only kind the plane and its devices sign with.

A signature is the DER sequence of r and s over SHA-256 of the message (FIPS 186-5, RFC 3279 section 2.2.3).
"""

import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from checkvalve.errors import InvalidError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


def make() -> PrivateKey:
    """Return a fresh key; its entropy is that of the crypto library's own generator."""
    return ec.generate_private_key(ec.SECP256R1())


def dump(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS #8 PEM: write it to a file of mode 0600, and nowhere else."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(pem: bytes) -> PrivateKey:
    """Return the key of an unencrypted PEM; `InvalidError` (`key.form`, `key.kind`) if it holds none we use."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except _UNREADABLE as error:
        raise InvalidError(
            "key.form", "This is not an unencrypted private key in PEM.", "Give the file of the key itself."
        ) from error
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _wrong_kind()
    return key


def dump_public(key: PublicKey) -> bytes:
    """Return the key as PEM SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_public(pem: bytes) -> PublicKey:
    """Return the key of a PEM SubjectPublicKeyInfo; `InvalidError` (`key.form`, `key.kind`) if it holds none we use."""
    try:
        key = serialization.load_pem_public_key(pem)
    except _UNREADABLE as error:
        raise InvalidError(
            "key.form", "This is not a public key in PEM.", "Give the file of the key itself."
        ) from error
    return only_p256(key)


def only_p256(key: object) -> PublicKey:
    """Return `key` if it is a public key on P-256; `InvalidError` (`key.kind`) if not."""
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _wrong_kind()
    return key


def spki(key: PublicKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: PublicKey) -> str:
    """Return `sha256:<64 hex digits>` of the DER SubjectPublicKeyInfo: what people compare, and what a pin holds."""
    return "sha256:" + hashlib.sha256(spki(key)).hexdigest()


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Return the DER signature of `message`."""
    return key.sign(message, _ALGORITHM)


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` (DER) is this key's over `message`; bytes of any other form are just not one."""
    try:
        key.verify(signature, message, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _wrong_kind() -> InvalidError:
    return InvalidError("key.kind", "The key is not an ECDSA key on curve P-256.", "Make a P-256 key.")
