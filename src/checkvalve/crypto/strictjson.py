# SPDX-License-Identifier: Apache-2.0
"""JSON from a stranger, read without leniency: one text, one meaning, and no way to make the reader work or fail.

Rules: 1. UTF-8, without a byte order mark; 2. no name twice in an object; 3. numbers are integers within +-(2**53 - 1):
no fraction, no NaN; 4. nesting goes no deeper than 32; 5. text holds no lone surrogate. The caller bounds the size.
"""

import json

from checkvalve.canonical import LARGEST

DEPTH = 32


def loads(data: bytes, *, raw_controls: bool = False) -> object:
    """Return the value of `data`; `ValueError`, and nothing else, if a rule is broken.

    `raw_controls`: control characters may stand in text as they are, as in the canonical JSON that TUF signs.
    """
    try:
        value: object = json.loads(
            data.decode(),
            strict=not raw_controls,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except RecursionError as error:
        message = "nesting is too deep"
        raise ValueError(message) from error
    _walk(value)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):  # rule 2
        message = "a name stands twice in one object"
        raise ValueError(message)
    return names


def _integer(text: str) -> int:
    # Rule 3; the length first, as turning a long text into a number takes quadratic time.
    if len(text) > 17 or abs(int(text)) > LARGEST:
        message = "an integer is beyond 2**53 - 1"
        raise ValueError(message)
    return int(text)


def _refuse(text: str) -> None:
    message = f"{text[:20]} is not an integer"
    raise ValueError(message)


def _walk(value: object) -> None:
    """Hold rules 4 and 5, without recursion."""
    level = [value]
    for _ in range(DEPTH + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                item.encode()  # rule 5: a UnicodeEncodeError is a ValueError
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item
                below += item.values()
        level = below
        if not level:
            return
    message = f"nesting goes deeper than {DEPTH}"
    raise ValueError(message)
