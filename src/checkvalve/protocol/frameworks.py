# SPDX-License-Identifier: Apache-2.0
"""Frameworks, what they ask, and checks, as the API and the CLI say them.

`state`: pass, fail, error, stale, not_enough_data, not_applicable; "" of a requirement that only people can declare.
"""

from datetime import date

from checkvalve.protocol import api


class Check(api.Answer, frozen=True):
    """One fact query and what is known."""

    id: str
    subject: str
    asks: str
    state: str
    reason: str


class Count(api.Answer, frozen=True):
    """How many requirements are in a state."""

    state: str
    number: int


class Framework(api.Answer, frozen=True):
    """One law, standard or rule. `protected`: its words are, so that rows have ids and short titles only."""

    id: str
    name: str
    version: str
    valid_from: date | None
    note: str
    protected: bool
    requirements: int
    counts: list[Count]


class Requirement(api.Answer, frozen=True):
    """One thing that is asked. `coverage`: data, partly, attested. `who`: op, mf, sp, us."""

    framework: str
    id: str
    asks: str
    who: str
    coverage: str
    checks: list[str]
    clock: list[str]
    valid_from: date | None
    reread: bool
    state: str
    reason: str
