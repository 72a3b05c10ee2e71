# SPDX-License-Identifier: Apache-2.0
"""The signed time that every answer to a device carries: made once a second, and the same for all of them."""

from collections.abc import Callable
from datetime import datetime

from checkvalve.crypto import keys
from checkvalve.protocol import time

HEADER = time.HEADER.encode()


class Stamp:
    """Of one plane. `now` is its clock, `key` the one that signs orders."""

    def __init__(self, key: keys.PrivateKey, now: Callable[[], datetime]) -> None:
        self._key = key
        self._now = now
        self._second = -1
        self._header = (HEADER, b"")

    def header(self) -> tuple[bytes, bytes]:
        """Return the header of an answer that leaves now."""
        milliseconds = int(self._now().timestamp() * 1000)
        if milliseconds // 1000 != self._second:
            self._second = milliseconds // 1000
            self._header = (HEADER, time.write(self._key, milliseconds).encode())
        return self._header
