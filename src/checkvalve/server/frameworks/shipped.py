# SPDX-License-Identifier: Apache-2.0
"""The frameworks that come with the program."""

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from checkvalve.server.frameworks.model import Coverage, Framework, Requirement


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[framework.requirement]]`."""

    id: str
    asks: str
    who: str
    coverage: Coverage
    checks: list[str]
    clock: str = ""
    valid_from: date | None = None
    reread: bool = True


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[clock]]`: deadlines as sentences."""

    id: str
    stages: list[str]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[framework]]`."""

    id: str
    name: str
    version: str
    text: str
    note: str
    requirement: list[Row]
    valid_from: date | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """frameworks.toml."""

    version: str
    clock: list[Clock]
    framework: list[Rules]


@cache
def shipped() -> tuple[Framework, ...]:
    """Return every framework, in the order of the file."""
    content = files(__package__).joinpath("data", "frameworks.toml").read_bytes()
    found = msgspec.convert(tomllib.loads(content.decode()), File)
    clocks = {each.id: tuple(each.stages) for each in found.clock}
    return tuple(
        Framework(
            id=each.id,
            name=each.name,
            version=each.version,
            text=each.text,
            valid_from=each.valid_from,
            note=each.note,
            requirements=tuple(
                Requirement(
                    framework=each.id,
                    id=row.id,
                    asks=row.asks,
                    who=row.who,
                    coverage=row.coverage,
                    checks=tuple(row.checks),
                    clock=clocks[row.clock] if row.clock else (),
                    valid_from=row.valid_from,
                    reread=row.reread,
                )
                for row in each.requirement
            ),
        )
        for each in found.framework
    )
