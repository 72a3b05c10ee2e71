# SPDX-License-Identifier: Apache-2.0
"""Which members does this tar hold?

`tarfile` believes what a header says of its own length, searches it with expressions that a hostile one makes slow, and
takes damage after the first member for the end. Here: 1. at most 64 KiB of an extended header (PAX, GNU) are read, and
only its path, its link and its size are taken; 2. every header has a right checksum; 3. an archive ends with a block of
zeros, so that a cut one is known; 4. what is neither file, folder nor link is refused, sparse files too; 5. a position
only ever moves forward. Nothing is read of a member's content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from checkvalve.errors import InvalidError

BLOCK = 512
EXTENDED = 64 << 10
_EXTENDED = frozenset({b"x", b"g", b"L", b"K"})
_IN_A_ROW = 4  # one of each is all that has a meaning
_OCTAL = frozenset(b"01234567")
_ANEW = "Make the archive anew, with docker save or as an OCI layout in a plain tar."


class Kind(Enum):
    """What a member is; the values are the flags of POSIX (pax, ustar interchange format)."""

    FILE = b"0"
    HARD = b"1"
    SOFT = b"2"
    FOLDER = b"5"


_KINDS = {b"\0": Kind.FILE, b"7": Kind.FILE, **{kind.value: kind for kind in Kind}}


@dataclass(frozen=True, slots=True)
class Member:
    """One member, named as the archive has it; a file's content stands at `offset`."""

    name: str
    kind: Kind
    link: str
    size: int
    offset: int


def members(file: BinaryIO) -> Iterator[Member]:
    """Yield the members in order; the caller may move `file` between two of them.

    Raises `InvalidError`: `archive.empty`, `archive.form` (not a tar), `archive.truncated`, `archive.header`,
    `archive.member`.
    """
    at = 0
    while block := _header(file, at):
        said: dict[str, str] = {}
        for count in range(_IN_A_ROW + 1):
            if block[156:157] not in _EXTENDED:
                break
            if count == _IN_A_ROW:
                raise _damaged(f"too many extended headers stand before byte {at}")
            at += BLOCK + _take(file, block, at, said)
            block = _header(file, at)
            if not block:
                raise cut()
        member = _member(block, at + BLOCK, said)
        yield member
        at = member.offset + _padded(member.size)  # rule 5


def cut() -> InvalidError:
    """Return what to raise for an archive that ends too early."""
    return InvalidError("archive.truncated", "The archive ends too early: a part of it is missing.", _ANEW)


def _header(file: BinaryIO, at: int) -> bytes:
    """Return the header at `at`, or nothing at the end of the archive."""
    file.seek(at)
    block = file.read(BLOCK)
    if len(block) == BLOCK and any(block):
        if _octal(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * 0x20:  # rule 2; its own field is blanks
            return block
        if at:
            raise _damaged(f"the header at byte {at} has a wrong checksum")
    if at and len(block) < BLOCK:
        raise cut()  # rule 3
    if not at and any(block):
        raise InvalidError("archive.form", "This is no tar archive.", _ANEW)
    if not at:
        raise InvalidError("archive.empty", "The archive is empty.", _ANEW)
    return b""


def _take(file: BinaryIO, block: bytes, at: int, said: dict[str, str]) -> int:
    """Note what an extended header says in `said`, and return how many bytes it takes."""
    size = _number(block[124:136], at)
    if size > EXTENDED:  # rule 1
        raise _damaged(f"the extended header at byte {at} is {size} bytes long")
    data = file.read(_padded(size))
    if len(data) < size:
        raise cut()
    match block[156:157]:
        case b"L":
            said.setdefault("path", _text(data[:size]))
        case b"K":
            said.setdefault("linkpath", _text(data[:size]))
        case b"x":
            said.update(_records(data[:size], at))
        case _:
            pass  # what one says of all members (a comment, mostly) names none of them
    return _padded(size)


def _records(data: bytes, at: int) -> Iterator[tuple[str, str]]:
    """Yield the records of a PAX header: its length in decimal, a blank, name=value, a line's end."""
    at_record = 0
    while at_record < len(data):
        digits, blank, _ = data[at_record : at_record + 8].partition(b" ")
        end = at_record + (int(digits) if digits.isdigit() else 0)
        name, equals, value = data[at_record + len(digits) + 1 : max(end - 1, 0)].partition(b"=")
        if not blank or not equals or data[end - 1 : end] != b"\n":
            raise _damaged(f"the extended header at byte {at} has no right form")
        if name.startswith(b"GNU.sparse."):
            raise _refused("a sparse file")
        if name in {b"path", b"linkpath", b"size"}:
            yield name.decode(), value.decode(errors="surrogateescape")
        at_record = end


def _member(block: bytes, offset: int, said: dict[str, str]) -> Member:
    flag = block[156:157]
    kind = _KINDS.get(flag)
    if kind is None:  # rule 4
        raise _refused(
            {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}.get(flag, ascii(flag))
        )
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = _text(block[345:500]) + "/" + name
    name = said.get("path", name)
    size = 0
    if kind is Kind.FILE:
        size = _number(block[124:136], offset)
        if "size" in said:
            size = _decimal(said["size"], offset)
        if name.endswith("/") and not size:
            kind = Kind.FOLDER  # as it was before there was a flag for it
    return Member(name, kind, said.get("linkpath", _text(block[157:257])), size, offset)


def _number(field: bytes, at: int) -> int:
    """Return a number of a header: octal, or as GNU has it for large ones, binary after a byte 0x80."""
    number = int.from_bytes(field[1:]) if field[0] == 0x80 else _octal(field)
    if number is None:
        raise _damaged(f"the header at byte {at} holds no right number")
    return number


def _octal(field: bytes) -> int | None:
    digits = field.lstrip(b" ").partition(b"\0")[0].rstrip(b" ")
    return int(digits or b"0", 8) if _OCTAL.issuperset(digits) else None


def _decimal(text: str, at: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _damaged(f"the header before byte {at} holds no right number")
    return int(text)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _damaged(what: str) -> InvalidError:
    return InvalidError("archive.header", f"The archive is damaged: {what}.", _ANEW)


def _refused(what: str) -> InvalidError:
    return InvalidError("archive.member", f"The archive holds {what}; no archive of images does.", _ANEW)
