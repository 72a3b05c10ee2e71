# SPDX-License-Identifier: Apache-2.0
"""Which words is a command written as one line?

Rules: 1. a line is divided as compose divides it: at blanks, with quotes and backslashes; no shell sees it; 2. where
compose and a shell divide it differently, or compose would cut it short without a word (`;`, `|`, `&`, `<`, `>`), it
is refused: whoever wrote it meant a shell, and must name one.
"""

import re
from collections.abc import Callable

from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place

LIST = 'Write a list of words; with a shell: ["sh", "-c", "…"].'
# One piece of a word, or what lies between two: 'quoted', "quoted", \x, plain, blanks.
_PIECE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\["\\])*)"|\\([^tn\r\n])|([^ \t\r\n'"\\;&|<>`()]+)|([ \t\r\n]+)""")
_ESCAPED = re.compile(r"\\([\"\\])")
_WRONG = {
    "'": "A quote in it is never closed.",
    '"': "A quote in it is never closed, or holds a backslash that compose and a shell read differently.",
    "\\": "It holds a backslash that compose and a shell read differently.",
}


def command(place: Place | None) -> tuple[str, ...] | None:
    """Return a command's words, each a template; None if nothing is written there, or if it is refused.

    A variable stays within its word, whatever its value: the line is divided before it is filled.
    """
    return _words(place, Place.template)


def literal(place: Place | None) -> tuple[str, ...] | None:
    """Return a command's words as `command` does, where no variable may stand."""
    return _words(place, Place.text)


def _words(place: Place | None, read: Callable[[Place], str | None]) -> tuple[str, ...] | None:
    if place is None or not place.is_a(Kind.LIST, Kind.TEXT, instead=LIST):
        return None
    if place.node.kind is Kind.LIST:
        texts = place.each(read)
        return None if texts is None else tuple(texts)
    line = read(place)
    if line is None:
        return None
    words = divided(line)
    if isinstance(words, str):
        place.refuse("value", words, LIST)
        return None
    return words


def divided(line: str) -> tuple[str, ...] | str:
    """Return the words of `line`, or a sentence on why it has none."""
    words: list[str] = []
    begun = False
    at = 0
    while at < len(line):
        piece = _PIECE.match(line, at)
        if piece is None:  # rule 2
            return _WRONG.get(line[at], f"No shell reads this line, so {line[at]} means nothing in it.")
        at = piece.end()
        single, double, escaped, plain, blank = piece.groups()
        if blank is not None:
            begun = False
            continue
        text = single or _ESCAPED.sub(r"\1", double or "") or escaped or plain or ""
        words[-1:] = [words[-1] + text] if begun else [*words[-1:], text]
        begun = True
    return tuple(words)
