# SPDX-License-Identifier: Apache-2.0
"""What may back an answer, under which name, and what it is worth on a day.

A name comes from outside and ends in a header, a page and somebody's file system: what is left of it is harmless in all
three, and what pretends to be another name is refused.
"""

import re
from dataclasses import replace
from datetime import date
from enum import StrEnum

from checkvalve import lines
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.server.scorecard.model import (
    LARGEST,
    LONGEST_LINK,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_EVIDENCE,
    Evidence,
)

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LINK = re.compile(r"(https?|smb)://([\w.-]+|\[[0-9a-f:]+\])(:\d{1,5})?([/?#]\S*)?|file:///\S+", re.IGNORECASE)
UNSAFE = re.compile(r'[<>:"|?*;%\\/\x00-\x1f]')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows


class Worth(StrEnum):
    """What evidence is worth.

    HELD: its bytes are here; LINKED: elsewhere, we know their digest only; DAMAGED: they should be here, and are not.
    """

    HELD = "held"
    LINKED = "linked"
    EXPIRED = "expired"
    REMOVED = "removed"
    DAMAGED = "damaged"


def added(wanted: Evidence, there: int) -> Evidence:
    """Return evidence as it is kept beside `there` others.

    Raises `InvalidError` (`evidence.name`, `evidence.link`, `evidence.digest`, `evidence.dates`, `evidence.size`),
    `ConflictError` (`evidence.many`).
    """
    if there >= MOST_EVIDENCE:
        raise ConflictError(
            "evidence.many",
            f"{there} pieces back this answer already.",
            "Remove what is not needed, or put them in one file.",
        )
    if not DIGEST.fullmatch(wanted.digest):
        raise InvalidError("evidence.digest", "A digest is sha256: and 64 hex digits.", "Compute it with sha256sum.")
    if not wanted.link and not 0 < wanted.size <= LARGEST:
        raise too_large() if wanted.size else empty()
    _dates(wanted.period_from, wanted.period_to, wanted.expires)
    return replace(
        wanted,
        name=name(wanted.name),
        link=_link(wanted.link),
        owner=_line("evidence.name", "An owner", wanted.owner, LONGEST_NAME),
        note=_line("evidence.name", "A note", wanted.note, LONGEST_TEXT),
    )


def name(text: str) -> str:
    """Return the last part of a file's name, harmless everywhere; `InvalidError` (`evidence.name`)."""
    tidy = _line("evidence.name", "A file name", text, LONGEST_NAME)
    last = re.split(r"[/\\]", tidy)[-1]
    safe = UNSAFE.sub("_", last).strip(" .")
    if not safe:
        raise InvalidError("evidence.name", "A file has a name.", "Give it one that says what it shows.")
    return f"_{safe}" if RESERVED.fullmatch(safe) else safe


def same(stated: str, computed: str) -> None:
    """Refuse bytes that are not what was announced; `InvalidError` (`evidence.digest`)."""
    if stated and stated != computed:
        raise InvalidError(
            "evidence.digest",
            f"The file that came is not the one that was announced: its digest is {computed}.",
            "Send it again; if it is the right file, send its own digest.",
        )


def empty() -> InvalidError:
    """Return the refusal of a file in which there is nothing."""
    return InvalidError("evidence.size", "The file is empty.", "Choose another one.")


def too_large() -> InvalidError:
    """Return the refusal of a file that is too large."""
    return InvalidError(
        "evidence.size",
        f"A file of evidence has at most {LARGEST >> 20} MiB.",
        "Keep it where it is, and add its address and digest instead.",
    )


def file_of(evidence: Evidence) -> str:
    """Return the digest of the file that is kept here; `ConflictError` (`evidence.elsewhere`) for a link."""
    if evidence.link:
        raise ConflictError(
            "evidence.elsewhere",
            "This document is kept elsewhere; the plane knows its address and its digest.",
            f"Open {evidence.link}, and compare the digest with sha256sum.",
        )
    return evidence.digest


def damaged(evidence: Evidence) -> ConflictError:
    """Return the refusal of a file whose bytes are not what was added."""
    return ConflictError(
        "evidence.damaged",
        f"The plane's disk has lost or damaged {evidence.name}: its bytes are not what was added.",
        f"Bring it back from a backup, or add the same file again: its digest is {evidence.digest}.",
    )


def worth(evidence: Evidence, today: date, *, there: bool = True) -> Worth:
    """Return what evidence is worth on a day; it is good on the day on which it expires.

    `there` tells whether the bytes of a file are on the plane's disk.
    """
    if evidence.removed_at is not None:
        return Worth.REMOVED
    if not evidence.link and not there:
        return Worth.DAMAGED
    if evidence.expires is not None and evidence.expires < today:
        return Worth.EXPIRED
    return Worth.LINKED if evidence.link else Worth.HELD


def removing(evidence: Evidence, why: str) -> str:
    """Return why evidence is removed, as it is kept.

    Raises `ConflictError` (`evidence.removed`), `InvalidError` (`evidence.name`).
    """
    if evidence.removed_at is not None:
        raise ConflictError("evidence.removed", "This was removed already.", "Nothing is left to do.")
    tidy = _line("evidence.name", "A reason", why, LONGEST_TEXT)
    if not tidy:
        raise InvalidError("evidence.name", "Whoever removes evidence says why.", "Say why in a sentence.")
    return tidy


def _dates(begins: date | None, ends: date | None, expires: date | None) -> None:
    if begins and ends and ends < begins:
        raise InvalidError("evidence.dates", "The period ends before it begins.", "Turn the two dates around.")
    if expires and begins and expires < begins:
        raise InvalidError("evidence.dates", "It expires before its period begins.", "Look at the years of the dates.")


def _link(text: str) -> str:
    """Return an address as it is kept: one that people open, and that holds no credentials."""
    tidy = _line("evidence.link", "An address", text, LONGEST_LINK)
    if not tidy:
        return ""
    if not LINK.fullmatch(tidy):
        raise InvalidError(
            "evidence.link",
            "That is no address of a document: https, http, file or smb, without a password in it.",
            "Copy the address from where the document is kept.",
        )
    return tidy


def _line(code: str, what: str, text: str, longest: int) -> str:
    tidy = lines.tidy(text, longest)
    if len(tidy) > longest or not lines.plain(tidy):
        raise InvalidError(
            code,
            f"{what} is one line of at most {longest} characters, without control characters.",
            "Say it in a few words.",
        )
    return tidy
