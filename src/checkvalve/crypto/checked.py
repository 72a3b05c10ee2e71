# SPDX-License-Identifier: Apache-2.0
"""A file that can tell whether it is still what was written: its SHA-256 in hex, a line feed, and the data.

Against a power cut and a dying disk, which leave zeros, halves and flipped bits. It is no signature: whoever may write
the file may write another.
"""

from checkvalve.crypto import digests
from checkvalve.errors import InvalidError

_HEAD = 65  # bytes: 64 hex digits and the line feed


def write(data: bytes) -> bytes:
    """Return the file that holds `data`."""
    return digests.sha256_hex(data).encode() + b"\n" + data


def read(file: bytes) -> bytes:
    """Return what the file holds; `InvalidError` (`file.damaged`) if it is not what was written."""
    data = file[_HEAD:]
    if file[:_HEAD] != digests.sha256_hex(data).encode() + b"\n":
        raise InvalidError("file.damaged", "The file is not what was written.", "Look at the disk it is on.")
    return data
