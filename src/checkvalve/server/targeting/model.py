# SPDX-License-Identifier: Apache-2.0
"""What a selector is made of, and what it asks of a device."""

from dataclasses import dataclass
from enum import StrEnum


class Key(StrEnum):
    """What a term asks for."""

    SITE = "site"
    AREA = "area"
    TAG = "tag"
    DEVICE = "device"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Every:
    """`all`: any device."""


@dataclass(frozen=True, slots=True)
class Term:
    """`site:Visby`: the device's `key` is `value`; `at` is where it stands in the text, from 0."""

    key: Key
    value: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Not:
    """None of those that `of` means."""

    of: "Expr"


@dataclass(frozen=True, slots=True)
class And:
    """Those that both mean."""

    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class Or:
    """Those that either means."""

    left: "Expr"
    right: "Expr"


Expr = Every | Term | Not | And | Or


@dataclass(frozen=True, slots=True)
class Facts:
    """What a selector may ask of one device; names are folded (`lines.folded`)."""

    id: str
    name: str
    sites: frozenset[str]
    areas: frozenset[str]
    tags: frozenset[str]
    runs: frozenset[str] = frozenset()  # the release that is active, as NAME and as NAME@VERSION
