# SPDX-License-Identifier: Apache-2.0
"""May this be the name of a person, or the label of a token?

Rules: 1. a plain line, see `checkvalve.lines`; 2. of 1 to 100 characters.
"""

from checkvalve import lines
from checkvalve.errors import InvalidError

LONGEST = 100


def person(text: str) -> str:
    """Return the name as it is kept; `InvalidError` (`name.empty`, `name.long`, `name.characters`)."""
    tidy = lines.tidy(text, LONGEST)
    if not tidy:
        raise InvalidError("name.empty", "A name is needed.", "Give the name colleagues know the person by.")
    if len(tidy) > LONGEST:
        raise InvalidError("name.long", f"A name has at most {LONGEST} characters.", "Shorten it.")
    if not lines.plain(tidy):
        raise InvalidError("name.characters", "A name holds no control characters.", "Type it anew, without them.")
    return tidy


def label(text: str) -> str:
    """Return the label as it is kept; `InvalidError` (`token.label`)."""
    tidy = lines.tidy(text, LONGEST)
    if not tidy or len(tidy) > LONGEST or not lines.plain(tidy):
        raise InvalidError(
            "token.label",
            f"A token's label has 1 to {LONGEST} characters, none of them a control character.",
            "Say in a few words where the token is used.",
        )
    return tidy
