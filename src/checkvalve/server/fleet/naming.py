# SPDX-License-Identifier: Apache-2.0
"""What is a device called?

Rules: 1. a name is a plain line (`checkvalve.lines`) of 1 to 100 characters; 2. in a site or area no two devices have
the same folded name, those retired aside: a new machine may take the name of the one that it replaces; 3. who joins
brings the name of its host, which refuses nobody: what no line may hold is left out, and a name that is taken becomes
`name-2`, `name-3`, and so on.
"""

import itertools
from collections.abc import Collection

from checkvalve import lines
from checkvalve.errors import ConflictError, InvalidError

LONGEST = 100
ROOT = 90  # of a host's name: leaves room for a number
NAMELESS = "device"


def given(text: str) -> str:
    """Return the name that a person gives, as it is kept (rule 1); `InvalidError` (`device.name`)."""
    tidy = lines.tidy(text, LONGEST)
    if not tidy or len(tidy) > LONGEST or not lines.plain(tidy):
        raise InvalidError(
            "device.name",
            f"A device's name has 1 to {LONGEST} characters, none of them a control character.",
            "Give the name people on site use.",
        )
    return tidy


def of_host(text: str) -> str:
    """Return the name that a host's name becomes (rule 3), before others are asked for."""
    visible = "".join(character for character in text[: 4 * LONGEST] if lines.visible(character))
    return lines.tidy(visible, LONGEST)[:ROOT].strip() or NAMELESS


def free(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, or the first `wanted-N` that is not among the folded names `taken` (rules 2, 3)."""
    numbered = (f"{wanted}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([wanted], numbered) if lines.folded(name) not in taken)


def still_free(wanted: str, taken: Collection[str]) -> None:
    """Refuse a name that another device of the place has (rule 2); `ConflictError` (`device.name_taken`)."""
    if lines.folded(wanted) in taken:
        raise ConflictError(
            "device.name_taken", f"There is a device {wanted!r} in this place already.", "Choose another name."
        )
