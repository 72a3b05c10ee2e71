# SPDX-License-Identifier: Apache-2.0
"""SHA-256 in the forms we write it."""

import hashlib


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


class Running:
    """The SHA-256 of what comes in pieces, and how many bytes that were."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hash.update(piece)
        self.size += len(piece)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all pieces so far as 64 lower-case hex digits."""
        return self._hash.hexdigest()
