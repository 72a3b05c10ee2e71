# SPDX-License-Identifier: Apache-2.0
"""The checks that come with the program."""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from checkvalve.server.checks.model import Check


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[subject.check]]`."""

    id: str
    asks: str


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[subject]]`."""

    id: str
    title: str
    waits: str
    check: list[Row]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """checks.toml."""

    version: str
    subject: list[Subject]


@cache
def shipped() -> tuple[Check, ...]:
    """Return every check, in the order of the file."""
    content = files(__package__).joinpath("data", "checks.toml").read_bytes()
    found = msgspec.convert(tomllib.loads(content.decode()), File)
    return tuple(
        Check(row.id, each.id, each.title, row.asks, each.waits) for each in found.subject for row in each.check
    )
