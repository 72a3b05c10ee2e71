# SPDX-License-Identifier: Apache-2.0
"""How many bytes is `64m`, and how are they written?

Rules: 1. a size is a number, and b, k, m, g or t after it, as `64m`, `1.5gb` or `64MiB`: each is 1024 of the one
before, as engines count; a number alone is bytes; 2. it is a whole number of bytes.
"""

import re
from fractions import Fraction

from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

KIB = 1_024
MIB = 1_024 * KIB
TIB = MIB * MIB
_FORM = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,3}))? ?([kmgt]?)(?:i?b)?\Z", re.IGNORECASE)
_UNITS = ("", "k", "m", "g", "t")


def read(text: str) -> int | None:
    """Return the bytes of `text`, or None if it is no size."""
    parts = _FORM.match(text)
    if parts is None:
        return None
    count = Fraction(f"{parts[1]}.{parts[2] or 0}") * 1_024 ** _UNITS.index(parts[3].lower())
    return int(count) if count.denominator == 1 else None  # rule 2


def shown(count: int) -> str:
    """Return the bytes in the largest unit that they are a whole number of: `64m`."""
    unit = 0
    while count and count % 1_024 == 0 and unit < len(_UNITS) - 1:
        count, unit = count // 1_024, unit + 1
    return f"{count}{_UNITS[unit]}"


def at(place: Place | None, low: int = 1, high: int = TIB) -> int:
    """Return the bytes that stand at a place, between `low` and `high`; 0 if there is nothing, or if it is refused."""
    if place is None:
        return 0
    between = f"Write a size with its unit, from {shown(low)} to {shown(high)}; for example 64m."
    if not place.is_a(Kind.NUMBER, Kind.TEXT, instead=between):
        return 0
    text = place.node.text if place.node.kind is Kind.NUMBER else place.text()
    if text is None:
        return 0
    count = read(text)
    if count is None or not low <= count <= high:
        place.refuse("value", f"{brief(text) or 'Empty text'} is no size that is taken here.", between)
        return 0
    return count
