# SPDX-License-Identifier: Apache-2.0
"""How is a word of somebody's file quoted in a sentence? Short, on one line, and as what it is.

A name may be a hundred kilobytes of control characters; a sentence and a path stay one line that can be read.
"""

import difflib
from collections.abc import Iterable

LONGEST = 60


def brief(text: str, longest: int = LONGEST) -> str:
    """Return `text` in at most `longest` characters, with nothing in it that could make a line read differently."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return short if short.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)


def joined(path: str, name: str) -> str:
    """Return the path of `name` below `path`."""
    return f"{path}.{brief(name)}" if path else brief(name)


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str:
    """Return `Did you mean …?` for the known word nearest to `word`, or nothing."""
    folded = {one.lower(): one for one in sorted(known)}
    near = difflib.get_close_matches(word[:LONGEST].lower(), folded, 1, alike)
    return f"Did you mean `{folded[near[0]]}`?" if near else ""
