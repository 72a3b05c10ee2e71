# SPDX-License-Identifier: Apache-2.0
"""May this be the name of a person, or the label of a token?

Rules: 1. kept in NFC, without blanks at the ends; 2. one line of 1 to 100 characters; 3. no control, format or
unassigned characters: they would let one name look like another, or break a line of a log.
"""

import unicodedata

from checkvalve.errors import InvalidError

LONGEST = 100


def person(text: str) -> str:
    """Return the name as it is kept; `InvalidError` (`name.empty`, `name.long`, `name.characters`)."""
    tidy = _tidy(text)
    if not tidy:
        raise InvalidError("name.empty", "A name is needed.", "Give the name colleagues know the person by.")
    if len(tidy) > LONGEST:
        raise InvalidError("name.long", f"A name has at most {LONGEST} characters.", "Shorten it.")
    if not _visible(tidy):
        raise InvalidError("name.characters", "A name holds no control characters.", "Type it anew, without them.")
    return tidy


def label(text: str) -> str:
    """Return the label as it is kept; `InvalidError` (`token.label`)."""
    tidy = _tidy(text)
    if not tidy or len(tidy) > LONGEST or not _visible(tidy):
        raise InvalidError(
            "token.label",
            f"A token's label has 1 to {LONGEST} characters, none of them a control character.",
            "Say in a few words where the token is used.",
        )
    return tidy


def _tidy(text: str) -> str:
    if len(text) > 4 * LONGEST:  # no form of it is short enough: to normalise a megabyte would be work for nothing
        return text
    return unicodedata.normalize("NFC", text).strip()


def _visible(text: str) -> bool:
    return all(unicodedata.category(character)[0] != "C" for character in text)
