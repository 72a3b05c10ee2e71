# SPDX-License-Identifier: Apache-2.0
"""Passwords as they are kept: `pbkdf2-sha256$<iterations>$<salt>$<hash>`, salt and hash in base 64 (NIST SP 800-132).

One derivation takes some tenths of a second of one core and holds no lock: call it from a thread, and only behind a
throttle.
"""

import base64
import hashlib
import hmac
import unicodedata
from typing import NamedTuple

from checkvalve.errors import InvalidError

ITERATIONS = 600_000
SALT_SIZE = 16
LONGEST = 1024
"""Bytes of UTF-8, counted before hashing: longer ones cost work and protect nothing."""

_ALGORITHM = "pbkdf2-sha256"
_HASH_SIZE = 32
_MOST_ITERATIONS = 10_000_000  # a damaged row must not hold a thread for an hour

NOBODY = f"{_ALGORITHM}${ITERATIONS}${'A' * 22}==${'A' * 43}="
"""A stored form no password fits: verified when there is no such person, so that the answer takes as long."""


class _Stored(NamedTuple):
    iterations: int
    salt: bytes
    hash: bytes


def store(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return the form to keep. `salt`: 16 bytes or more of fresh entropy.

    Raises `InvalidError`: `password.long`, `password.text` (a lone surrogate).
    """
    if len(salt) < SALT_SIZE or not 0 < iterations <= _MOST_ITERATIONS:
        message = f"a password takes {SALT_SIZE} bytes of salt and 1 to {_MOST_ITERATIONS} iterations"
        raise ValueError(message)
    derived = _derive(_plain(password), salt, iterations)
    return "$".join((_ALGORITHM, str(iterations), base64.b64encode(salt).decode(), base64.b64encode(derived).decode()))


def verify(password: str, stored: str) -> bool:
    """Tell whether `password` is the one kept as `stored`; a damaged `stored` fits no password, and raises nothing."""
    parts = _parse(stored)
    if parts is None:
        return False
    try:
        plain = _plain(password)
    except InvalidError:
        return False
    return hmac.compare_digest(_derive(plain, parts.salt, parts.iterations), parts.hash)


def needs_rehash(stored: str, iterations: int = ITERATIONS) -> bool:
    """Tell whether `stored` is weaker than what we make today (or damaged): store anew at the next good sign-in."""
    parts = _parse(stored)
    return parts is None or parts.iterations < iterations


def _plain(password: str) -> bytes:
    # NIST SP 800-63B, 3.1.1.2: normalised, so that two keyboards that compose an accent differently give one password.
    try:
        plain = unicodedata.normalize("NFKC", password[: LONGEST + 1]).encode()
    except UnicodeEncodeError as error:
        raise InvalidError("password.text", "The password holds a character that cannot be stored.") from error
    if len(password) > LONGEST or len(plain) > LONGEST:
        raise InvalidError("password.long", f"The password is longer than {LONGEST} bytes.", "Choose a shorter one.")
    return plain


def _derive(plain: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", plain, salt, iterations, _HASH_SIZE)


def _parse(stored: str) -> _Stored | None:
    match stored.split("$"):
        case [algorithm, iterations, salt, derived] if algorithm == _ALGORITHM:
            pass
        case _:
            return None
    if not (iterations.isascii() and iterations.isdigit() and len(iterations) <= len(str(_MOST_ITERATIONS))):
        return None
    try:
        parts = _Stored(
            int(iterations), base64.b64decode(salt, validate=True), base64.b64decode(derived, validate=True)
        )
    except ValueError:
        return None
    sound = 0 < parts.iterations <= _MOST_ITERATIONS and len(parts.salt) >= SALT_SIZE and len(parts.hash) == _HASH_SIZE
    return parts if sound else None
