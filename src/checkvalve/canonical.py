# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON (RFC 8785): one value, one sequence of bytes, so that bytes can be signed and hashed.

Of numbers only integers within +-(2**53 - 1) are written: the clause on ECMAScript doubles (RFC 8785, 3.2.2.3) is where
implementations differ, and nothing we sign needs a fraction. Reading is strict: what is not in canonical form already,
repeated names included, is refused.
"""

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as _quoted  # its escapes are those of RFC 8785, 3.2.2.2

from checkvalve.errors import InvalidError

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]

LARGEST = 2**53 - 1
_WORDS: dict[bool | None, str] = {None: "null", True: "true", False: "false"}
DEPTH = 64


def dumps(value: Json) -> bytes:
    """Return the canonical bytes of `value`.

    Raises `InvalidError` (`canonical.value`) for a fraction, an integer beyond 2**53 - 1, a lone surrogate, a name that
    is not text, or nesting beyond 64.
    """
    out: list[str] = []
    _write(value, out, 0)
    try:
        return "".join(out).encode()
    except UnicodeEncodeError as error:
        raise _refused("text holds a lone surrogate") from error


def loads(data: bytes) -> Json:
    """Return the value of canonical `data`; `InvalidError` (`canonical.form`) if they are not its canonical bytes."""
    try:
        value: Json = json.loads(data.decode())
        same = dumps(value) == data
    except (ValueError, RecursionError, InvalidError) as error:
        raise InvalidError(
            "canonical.form", "The text is not canonical JSON.", "Send it as RFC 8785 has it."
        ) from error
    if not same:
        raise InvalidError(
            "canonical.form", "The JSON is well formed, but not canonical.", "Send it as RFC 8785 has it."
        )
    return value


def _write(value: Json, out: list[str], depth: int) -> None:
    if depth > DEPTH:
        raise _refused(f"nesting goes deeper than {DEPTH}")
    match value:
        case str():
            out.append(_quoted(value))
        case None | bool():
            out.append(_WORDS[value])
        case int():
            if abs(value) > LARGEST:
                raise _refused("an integer is beyond 2**53 - 1")
            out.append(str(value))
        case Mapping():
            _write_object(value, out, depth)
        case list() | tuple():
            out.append("[")
            for index, item in enumerate(value):
                if index:
                    out.append(",")
                _write(item, out, depth + 1)
            out.append("]")
        case _:
            raise _refused(f"{type(value).__name__} has no canonical form")


def _write_object(value: Mapping[str, Json], out: list[str], depth: int) -> None:
    try:
        plain = "".join(value).isascii()
    except TypeError as error:
        raise _refused("a name is not text") from error
    out.append("{")
    # RFC 8785, 3.2.3: names are ordered by their UTF-16 code units, which for ASCII is the order of text.
    for index, name in enumerate(sorted(value) if plain else sorted(value, key=_utf16)):
        out.append(("," if index else "") + _quoted(name) + ":")
        _write(value[name], out, depth + 1)
    out.append("}")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _refused(why: str) -> InvalidError:
    return InvalidError("canonical.value", f"This value cannot be signed: {why}.")
