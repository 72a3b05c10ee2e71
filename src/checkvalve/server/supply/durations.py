# SPDX-License-Identifier: Apache-2.0
"""How long is `1m30s`, and how is it written?

Rules: 1. a duration is one or more numbers, each with its unit: h, m, s, ms or us, as compose has it; `0` alone needs
none; 2. it is a whole number of milliseconds, since a manifest holds no other; 3. what `shown` writes, `read` reads.
"""

import re
from fractions import Fraction

LONGEST = 32  # characters
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|us|µs|m|s)"
_WHOLE = re.compile(f"(?:{_PART})+")
_UNITS = {
    "h": Fraction(HOUR),
    "m": Fraction(MINUTE),
    "s": Fraction(SECOND),
    "ms": Fraction(1),
    "us": Fraction(1, 1_000),
    "µs": Fraction(1, 1_000),
}


def read(text: str) -> int | None:
    """Return the milliseconds of `text`, or None if it is no duration."""
    if text == "0":
        return 0
    if len(text) > LONGEST or _WHOLE.fullmatch(text) is None:  # rule 1
        return None
    total = sum((Fraction(number.rstrip(".")) * _UNITS[unit] for number, unit in re.findall(_PART, text)), Fraction())
    return int(total) if total.denominator == 1 else None  # rule 2


def shown(milliseconds: int) -> str:
    """Return the duration as people write it: `2m`, `1m30s`, `500ms`."""
    parts, rest = [], milliseconds
    for unit, size in (("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
