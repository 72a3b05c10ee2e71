# SPDX-License-Identifier: Apache-2.0
"""What does this archive hold, and under which names?

Rules: 1. an outer gzip or zstd is undone first, into a second file and never beyond the limit; 2. a name is taken
lexically: absolute, climbing, with a NUL, or used twice for different content it is refused; 3. links lead to members
and are followed by name only; a circle, or a link to nothing, is refused; 4. nothing is ever written under a member's
name: a text stays in memory, all else goes into the blobs as it is read; 5. what an OCI layout names by a digest has
that digest; 6. members, their names, their bytes and the texts have limits.
"""

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from checkvalve.crypto.digests import sha256_hex
from checkvalve.errors import InvalidError
from checkvalve.server.blobs import packing, tar
from checkvalve.server.blobs.contents import Contents, Item, Limits
from checkvalve.server.blobs.store import PIECE, Blobs, failures

LONGEST_NAME = 1024
_OCI = "blobs/sha256/"
_ANEW = "Make the archive anew, with docker save or as an OCI layout in a plain tar."


def unpack(spooled: BinaryIO, blobs: Blobs, limits: Limits) -> Contents:
    """Return what the archive in `spooled` holds. Blobs of a refused archive stay until a sweep.

    Raises `InvalidError` (`archive.*`) for what cannot be an archive of images, and `UnavailableError` (`blobs.full`,
    `blobs.failed`).
    """
    with failures(), _without_packing(spooled, blobs, limits) as plain:
        taken = _Taken(plain, blobs, limits)
        for member in tar.members(plain):
            taken.take(member)
        return Contents(_followed(taken.items, taken.links), taken.texts)


@contextlib.contextmanager
def _without_packing(spooled: BinaryIO, blobs: Blobs, limits: Limits) -> Iterator[BinaryIO]:
    spooled.seek(0)
    outer = packing.kind(spooled.read(8))
    spooled.seek(0)
    if not outer:
        yield spooled
        return
    with blobs.spool() as second:  # rule 1
        for piece in packing.plain(spooled, outer, limits.total):
            second.write(piece)
        second.flush()
        yield second  # type: ignore[misc] # an IO[bytes] is what BinaryIO says of it


class _Taken:
    """The members so far."""

    def __init__(self, file: BinaryIO, blobs: Blobs, limits: Limits) -> None:
        self.items: dict[str, Item] = {}
        self.links: dict[str, str] = {}
        self.texts: dict[str, bytes] = {}
        self._file, self._blobs, self._limits = file, blobs, limits
        self._members = self._total = self._texts = 0

    def take(self, member: tar.Member) -> None:
        """Take one more member, in the limits of rule 6."""
        self._members += 1
        self._total += member.size
        if self._members > self._limits.members:
            raise InvalidError("archive.members", f"The archive has more than {self._limits.members} members.", _ANEW)
        if self._total > self._limits.total:
            raise packing.too_large(self._limits.total)
        name = normal(member.name)
        match member.kind:
            case tar.Kind.FILE:
                item = self._content(name, member)
                if self.items.setdefault(name, item).digest != item.digest:
                    raise _name(member.name, "is there twice, with different content")
            case tar.Kind.SOFT | tar.Kind.HARD:
                folder = name.rpartition("/")[0] if member.kind is tar.Kind.SOFT else ""
                target = normal(member.link, folder)
                if self.links.setdefault(name, target) != target:
                    raise _name(member.name, "is there twice, with different content")
            case tar.Kind.FOLDER:
                pass

    def _content(self, name: str, member: tar.Member) -> Item:
        self._file.seek(member.offset)
        source = _Part(self._file, member.size)
        first = source.read(PIECE)
        if member.size <= self._limits.text and first.lstrip()[:1] in {b"{", b"["}:
            item = self._text(first + b"".join(iter(lambda: source.read(PIECE), b"")))
        else:
            self._file.seek(member.offset)
            stored = self._blobs.put(_Part(self._file, member.size))  # type: ignore[arg-type] # only read is asked of it
            item = Item(stored.digest, stored.size, packing.kind(first), stored.added)
        return _as_named(name, item)

    def _text(self, data: bytes) -> Item:
        digest = "sha256:" + sha256_hex(data)
        if digest not in self.texts:
            self._texts += len(data)
            if self._texts > self._limits.texts:
                raise InvalidError(
                    "archive.texts", f"The texts of the archive are more than {self._limits.texts} bytes.", _ANEW
                )
            self.texts[digest] = data
        return Item(digest, len(data))


class _Part:
    """A member's content as a file to read from its beginning to its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        piece = self._file.read(wanted)
        if len(piece) < wanted:
            raise tar.cut()
        self._left -= wanted
        return piece


def normal(name: str, folder: str = "") -> str:
    """Return `name`, as seen from `folder`, without `.` and `..`; `InvalidError` (`archive.path`) by rule 2."""
    if len(name) > LONGEST_NAME:
        raise _name(name, f"is longer than {LONGEST_NAME} characters")
    if name.startswith("/") or "\0" in name:
        raise _name(name, "is absolute" if name.startswith("/") else "holds a NUL")
    parts: list[str] = []
    for part in [*folder.split("/"), *name.split("/")]:
        if part == "..":
            if not parts:
                raise _name(name, "leads out of the archive")
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _followed(items: dict[str, Item], links: dict[str, str]) -> dict[str, Item]:
    """Return the items with those that links lead to (rule 3). Each link is walked once, however long the chain."""
    found = dict(items)
    for name in links:
        if name in items:
            raise _name(name, "is there twice, with different content")
        walked: dict[str, None] = {}
        at = name
        while at not in found:
            if at in walked or at not in links:
                what = "leads in a circle" if at in walked else "leads to nothing that the archive holds"
                raise InvalidError("archive.link", f"The link {name[:100]!a} {what}.", _ANEW)
            walked[at] = None
            at = links[at]
        found.update({step: _as_named(step, found[at]) for step in walked})
    return found


def _as_named(name: str, item: Item) -> Item:
    """Return the item if it is what an OCI layout calls it (rule 5)."""
    called = "sha256:" + name.removeprefix(_OCI)
    if name.startswith(_OCI) and called != item.digest:
        raise InvalidError("archive.digest", f"What the archive calls {called[:80]!a} is {item.digest}.", _ANEW)
    return item


def _name(name: str, what: str) -> InvalidError:
    return InvalidError("archive.path", f"A member's name {what}: {name[:100]!a}.", _ANEW)
