# SPDX-License-Identifier: Apache-2.0
"""SHA-256 in the forms we write it."""

import hashlib


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()
