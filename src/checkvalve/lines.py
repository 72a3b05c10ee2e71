# SPDX-License-Identifier: Apache-2.0
"""What a person types as one line: names, labels, notes, references. One rule for all of them.

Text is kept in NFC without blanks at its ends. A line holds no control, format, private or unassigned character
(Unicode category C): such could make one name look like another, or one line of a log read as two.
"""

import unicodedata


def tidy(text: str, longest: int) -> str:
    """Return `text` as it is kept.

    What is more than four times `longest` comes back as it is: no form of it is short enough, and to normalise a
    megabyte would be work for nothing.
    """
    return text if len(text) > 4 * longest else unicodedata.normalize("NFC", text).strip()


def folded(text: str) -> str:
    """Return the form in which two names are the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def plain(text: str) -> bool:
    """Tell whether `text` is one line that reads as what it is."""
    return all(visible(character) for character in text)


def visible(character: str) -> bool:
    """Tell whether one character may stand in a line."""
    return unicodedata.category(character)[0] != "C"
