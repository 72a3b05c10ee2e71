# SPDX-License-Identifier: Apache-2.0
"""What a release leaves open, for values to fill: variables, files and secrets, and where a service finds them.

A variable is text of a kind, and stands in a manifest as `${NAME}`. A file or secret is a text of its own; a service
gets it at a path. A secret is never shown again to anybody; it reaches the container in a file that lies in memory.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from msgspec import Meta

from checkvalve.protocol import pattern
from checkvalve.protocol.part import NO_NUL, VARIABLE, Name, Part, Text

LARGEST_VARIABLE = 4_096  # characters
LARGEST_FILE = 64 * 1024  # bytes of UTF-8
LARGEST_SECRET = 16 * 1024
MOST = 200  # of each
SECRETS = "/run/secrets/"  # where a secret without a target is found (compose)

VariableText = Annotated[str, Meta(max_length=LARGEST_VARIABLE, pattern=NO_NUL)]
FileText = Annotated[str, Meta(max_length=LARGEST_FILE, pattern=NO_NUL)]
VariableName = Annotated[str, Meta(pattern=VARIABLE)]
Kind = Literal["text", "number", "boolean", "address", "network", "port", "choice"]


class Variable(Part, frozen=True):
    """A text of a kind. Without a default it must be given a value everywhere; `pattern` as in `protocol.pattern`."""

    name: VariableName
    kind: Kind = "text"
    default: VariableText | None = None
    pattern: Text = ""
    choices: tuple[Text, ...] = ()
    help: Text = ""


class File(Part, frozen=True):
    """A whole text file, as a configuration; without a default it must be given a value everywhere."""

    name: Name
    default: FileText | None = None
    help: Text = ""


class Secret(Part, frozen=True):
    """A text that nobody reads again; it has no default."""

    name: Name
    help: Text = ""


class Placed(Part, frozen=True):
    """A file or secret inside a container. `mode` is as in chmod, 0o444 in decimal; `uid`, `gid` are its owner's."""

    name: Name
    target: Text
    mode: Annotated[int, Meta(ge=0, le=0o777)] = 0o444
    uid: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    gid: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


def misfit(variable: Variable, value: str) -> str:
    """Return why `value` is none for the variable, as a sentence; empty if it is one."""
    if len(value) > LARGEST_VARIABLE or "\0" in value:
        return f"It has at most {LARGEST_VARIABLE} characters, and no U+0000."
    if variable.kind == "choice" and value not in variable.choices:
        return f"It is one of: {', '.join(variable.choices)}."
    checked = _KINDS.get(variable.kind)
    if checked is not None and not checked[0](value):
        return f"It is {checked[1]}."
    if variable.pattern and not _formed(variable.pattern, value):
        return f"It has the form {variable.pattern}."
    return ""


def _formed(form: str, value: str) -> bool:
    try:
        return pattern.read(form).fits(value)
    except pattern.PatternError:  # nothing fits what is no pattern; `release create` refuses it
        return False


def _number(value: str) -> bool:
    return re.fullmatch(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?", value) is not None


def _port(value: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,4}", value) is not None and int(value) < 65_536


def _address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _network(value: str) -> bool:
    try:
        ip_network(value)
    except ValueError:
        return False
    return "/" in value


_KINDS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "number": (_number, "a number, as 12 or -0.5"),
    "boolean": (lambda value: value in ("true", "false"), "true or false"),
    "address": (_address, "an IP address, as 10.20.0.5 or fd00::5"),
    "network": (_network, "a network, as 10.20.0.0/24"),
    "port": (_port, "a port, from 1 to 65535"),
}
