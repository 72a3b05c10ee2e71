# SPDX-License-Identifier: Apache-2.0
"""Is this text a login, and which one?

Rules: 1. upper and lower case, and blanks at the ends, make no difference; 2. 2 to 64 of `a-z 0-9 . _ @ + -`, so that
no two logins look alike; 3. the first is a letter or a digit, so that a login is no option of a command.
"""

import re

from checkvalve.errors import InvalidError

SHORTEST = 2
LONGEST = 64
_FORM = re.compile(rf"[a-z0-9][a-z0-9._@+-]{{{SHORTEST - 1},{LONGEST - 1}}}")


def check(text: str) -> str:
    """Return the login as it is kept; `InvalidError` (`login.short`, `login.long`, `login.characters`)."""
    tidy = text.strip().casefold()
    if len(tidy) < SHORTEST:
        raise InvalidError("login.short", f"A login has at least {SHORTEST} characters.", "Give a longer one.")
    if len(tidy) > LONGEST:
        raise InvalidError("login.long", f"A login has at most {LONGEST} characters.", "Give a shorter one.")
    if not _FORM.fullmatch(tidy):
        raise InvalidError(
            "login.characters",
            "A login holds letters from a to z, digits and . _ @ + - only, and begins with a letter or a digit.",
            "Spell it with these; the person's name may hold any letter.",
        )
    return tidy


def known_as(text: str) -> str | None:
    """Return the login that somebody who types `text` means; None if nobody can have it."""
    try:
        return check(text)
    except InvalidError:
        return None
