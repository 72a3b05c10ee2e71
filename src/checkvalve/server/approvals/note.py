# SPDX-License-Identifier: Apache-2.0
"""May a voter's note be kept as it is? It is shown beside the vote and stands in the record."""

from checkvalve import lines
from checkvalve.errors import InvalidError

LONGEST = 2_000


def check(text: str) -> str:
    """Return the note without blanks at its ends; `InvalidError` (`approval.note`) if too long or not plain text."""
    tidy = lines.tidy(text, LONGEST)
    if len(tidy) > LONGEST:
        raise InvalidError("approval.note", f"A note has at most {LONGEST} characters.", "Shorten it.")
    if not lines.plain(tidy):
        raise InvalidError("approval.note", "A note holds no control characters.", "Type it anew, on one line.")
    return tidy
