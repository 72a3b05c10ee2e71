# SPDX-License-Identifier: Apache-2.0
"""Frameworks and requirements as values."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from checkvalve.server.checks.model import State


class Coverage(StrEnum):
    """How far data can show it. ATTESTED: only people can say so, and the plane keeps what they said."""

    DATA = "d"
    PARTLY = "p"
    ATTESTED = "a"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that is asked. `clock` are its deadlines as sentences; `reread` False: not compared again."""

    framework: str
    id: str
    asks: str
    who: str  # op, mf, sp or us
    coverage: Coverage
    checks: tuple[str, ...]
    clock: tuple[str, ...]
    valid_from: date | None
    reread: bool


@dataclass(frozen=True, slots=True)
class Framework:
    """One law, standard or rule in one version. `text`: title_only where its words are protected."""

    id: str
    name: str
    version: str
    text: str
    valid_from: date | None
    note: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a requirement; `state` None: no check answers it, only what people declare."""

    state: State | None
    reason: str
