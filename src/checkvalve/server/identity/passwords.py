# SPDX-License-Identifier: Apache-2.0
"""May this be somebody's password?

Rules (NIST SP 800-63B, 3.1.1.2: length counts, not kinds of characters): 1. 12 characters or more; 2. at most 1024
bytes, which bounds the work of hashing; 3. not the login, nor a word everybody tries first, with a few characters
around it; 4. not a few characters over and over, nor a run along the alphabet, the digits or a row of keys. Judged in
the form that is hashed (NFKC).
"""

import unicodedata

from checkvalve.crypto import passwords as stored_passwords
from checkvalve.errors import InvalidError

SHORTEST = 12
LONGEST = stored_passwords.LONGEST
_OWN = 6  # characters that must be left without the login and the words everybody tries
_PERIOD = 7  # the longest piece whose repetition is no password
_DISTINCT = 5
_WORDS = ("password", "passwort", "administrator", "checkvalve", "changeme", "welcome", "letmein", "qwerty", "admin")
_ROWS = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")


def check(password: str, login: str) -> None:
    """Raise `InvalidError` unless `login` may have this password.

    Codes: `password.short`, `password.long`, `password.text`, `password.login`, `password.common`, `password.simple`.
    """
    plain = _plain(password)
    if len(plain) < SHORTEST:
        raise InvalidError(
            "password.short",
            f"A password has at least {SHORTEST} characters.",
            "Use several words, or a password manager.",
        )
    folded = plain.casefold()
    own = folded.replace(login.casefold(), "") if login else folded
    if len(own) < _OWN:
        raise InvalidError(
            "password.login",
            "The password is little more than the login.",
            "Choose one that has nothing to do with it.",
        )
    for word in _WORDS:
        own = own.replace(word, "")
    if len(own) < _OWN:
        raise InvalidError(
            "password.common", "The password is among the first that anybody tries.", "Use several words of your own."
        )
    if _repeats(folded) or _runs(folded):
        raise InvalidError(
            "password.simple",
            "The password repeats a few characters, or follows the alphabet or a row of keys.",
            "Use several words, or a password manager.",
        )


def _plain(password: str) -> str:
    too_long = InvalidError(
        "password.long", f"A password has at most {LONGEST} bytes.", "Choose a shorter one; 20 characters are plenty."
    )
    if len(password) > LONGEST:
        raise too_long
    plain = unicodedata.normalize("NFKC", password)
    try:
        size = len(plain.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(
            "password.text", "The password holds a character that cannot be stored.", "Type it anew, without it."
        ) from error
    if size > LONGEST:
        raise too_long
    return plain


def _repeats(text: str) -> bool:
    if len(set(text)) < _DISTINCT:
        return True
    return any(text == (text[:period] * len(text))[: len(text)] for period in range(1, _PERIOD + 1))


def _runs(text: str) -> bool:
    # Rows are laid end to end, so that a run may go around: 890123, xyzabc.
    around = [row * (len(text) // len(row) + 2) for row in ("0123456789", *_ROWS)]
    return any(text in row or text[::-1] in row for row in around)
