# SPDX-License-Identifier: Apache-2.0
"""What did the containers say? The end of the logs that a small order brought, as a page shows it.

Rules: 1. what is cut off begins with a whole line; 2. colours that a program gives its words are taken away, and all
else that cannot be seen is spelled out: the file has it all.
"""

import re
from dataclasses import dataclass

from checkvalve.server.blobs.store import Blobs
from checkvalve.server.web import contents
from checkvalve.server.web.pages.release_view import plainly

SHOWN = 512 << 10  # bytes
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a text; `cut` if there is more before it."""

    text: str
    cut: bool


def tail(blobs: Blobs, digest: str, most: int = SHOWN) -> Tail:
    """Return the end of the logs in a file; raises as `contents.size` does."""
    total, kept = contents.size(blobs, digest, unpacked=True), bytearray()
    for piece in contents.read(blobs, digest, unpacked=True):
        kept += piece
        del kept[:-most]
    return Tail(_shown(bytes(kept), cut=total > most), cut=total > most)


def _shown(data: bytes, *, cut: bool) -> str:
    text = data.decode(errors="replace").replace("\r\n", "\n")
    if cut and "\n" in text:
        text = text.partition("\n")[2]  # rule 1
    text = _COLOURS.sub("", text)
    return "\n".join(line if line.isprintable() else plainly(line) for line in text.split("\n")).rstrip("\n")
