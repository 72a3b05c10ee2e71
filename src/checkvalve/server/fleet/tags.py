# SPDX-License-Identifier: Apache-2.0
"""May these be the tags of a device?

Rules: 1. a tag is a word, or `word=word`, of lower-case letters, digits, `_`, `.` and `-`, that begins and ends with a
letter or digit and has at most 40 characters; 2. a device has at most 32; 3. they are kept in order, each once.
"""

import re
from collections.abc import Iterable

from checkvalve.errors import InvalidError

MOST = 32
_WORD = "[a-z0-9](?:[a-z0-9_.-]{0,38}[a-z0-9])?"
_LETTERS = re.compile("[a-z0-9_.=-]+")
_FORM = re.compile(f"{_WORD}(?:={_WORD})?")


def well_formed(text: str) -> bool:
    """Tell whether `text` has the form of a tag (rule 1)."""
    return _FORM.fullmatch(text) is not None


def of_letters(text: str) -> bool:
    """Tell whether `text` holds nothing that no tag holds, so that it may be a part of one."""
    return _LETTERS.fullmatch(text) is not None


def check(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags as they are kept (rule 3); `InvalidError` (`tag.form`, `tag.many`)."""
    kept = tuple(sorted(set(tags)))
    for tag in kept:
        if not well_formed(tag):
            raise InvalidError(
                "tag.form",
                f"{tag[:90]!r} is not a tag.",
                "Use lower-case letters, digits, `_`, `.` and `-`, as in `pump` or `line=3`.",
            )
    if len(kept) > MOST:
        raise InvalidError("tag.many", f"A device has at most {MOST} tags.", "Leave out what nothing selects by.")
    return kept
