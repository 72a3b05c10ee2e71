# SPDX-License-Identifier: Apache-2.0
"""Bearer secrets: API tokens, join tokens, session secrets, and the tokens that tie a form to its session.

An API token is `cvt_`, 43 digits of base 62 (256 bits), and 6 digits of CRC-32 over all before them: a scanner finds it
in a leaked file, and a typing mistake is told apart from a token that is wrong. A token that lets devices join has the
same form behind `cvj_`, so that neither is ever taken for the other. Only `digest`s are stored; a secret of 256 bits
needs no slow hash.
"""

import hashlib
import hmac
import string
import zlib

PREFIX = "cvt_"
JOIN_PREFIX = "cvj_"
ENTROPY = 32

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 43  # 62**43 > 2**256
_CHECK_LENGTH = 6  # 62**6 > 2**32
_CSRF_LABEL = b"checkvalve csrf 1"


def api_token(entropy: bytes) -> str:
    """Return the API token of these 32 bytes. It is shown once; keep its `digest`."""
    return _token(PREFIX, entropy)


def join_token(entropy: bytes) -> str:
    """Return the join token of these 32 bytes: what a device shows to become known. Keep its `digest` only."""
    return _token(JOIN_PREFIX, entropy)


def well_formed(text: str) -> bool:
    """Tell whether `text` is an API token without a typing mistake; it says nothing of existence.

    What starts with `PREFIX` and is not well formed was mistyped or cut.
    """
    return _well_formed(PREFIX, text)


def join_well_formed(text: str) -> bool:
    """Tell whether `text` is a join token without a typing mistake; it says nothing of existence."""
    return _well_formed(JOIN_PREFIX, text)


def session_secret(entropy: bytes) -> str:
    """Return 43 letters and digits that hold these 32 bytes. It lives in a cookie; keep its `digest`."""
    if len(entropy) != ENTROPY:
        message = f"a secret takes {ENTROPY} bytes of entropy"
        raise ValueError(message)
    return _base62(int.from_bytes(entropy), _SECRET_LENGTH)


def digest(secret: str) -> str:
    """Return what is stored and looked up in place of the secret: SHA-256 in 64 hex digits."""
    return hashlib.sha256(_bytes(secret)).hexdigest()


def csrf_token(session_secret: str) -> str:
    """Return the token a form of this session carries, 64 hex digits: knowing it does not give the secret."""
    return hmac.new(_bytes(session_secret), _CSRF_LABEL, hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Tell whether two secrets are equal, in a time that does not say where they differ."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _token(prefix: str, entropy: bytes) -> str:
    body = prefix + session_secret(entropy)
    return body + _check(body)


def _well_formed(prefix: str, text: str) -> bool:
    body, check = text[:-_CHECK_LENGTH], text[-_CHECK_LENGTH:]
    secret = body.removeprefix(prefix)
    return (
        text.startswith(prefix)
        and len(secret) == _SECRET_LENGTH
        and all(char in _DIGITS for char in secret)
        and check == _check(body)
    )


def _bytes(secret: str) -> bytes:
    # What comes from a header or a form may hold anything, and must compare unequal, not raise.
    return secret.encode("utf-8", "surrogatepass")


def _check(body: str) -> str:
    return _base62(zlib.crc32(_bytes(body)), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
