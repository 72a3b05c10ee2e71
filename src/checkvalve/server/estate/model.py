# SPDX-License-Identifier: Apache-2.0
"""The declared estate as values: how many there are of a class at a place, and what a change of that comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checkvalve.ids import DeclarationId, PersonId

LONGEST_CLASS = 60
LONGEST_NOTE = 1_000
MOST = 1_000_000
"""Of one class at one place."""


class Kind(StrEnum):
    """DEVICE could run the agent; LEGACY stands behind a gateway and never will."""

    DEVICE = "device"
    LEGACY = "legacy"


class What(StrEnum):
    """What declaring does to a class. ENDED: it was there, and number 0 says that it is no more."""

    ADDED = "added"
    CHANGED = "changed"
    ENDED = "ended"
    UNCHANGED = "unchanged"


class Cover(StrEnum):
    """How what is managed stands to what was declared at a place."""

    NOTHING = "nothing"  # neither declared nor managed
    UNDECLARED = "undeclared"  # managed, and none declared
    NONE = "none"  # declared, and none managed
    PART = "part"
    WHOLE = "whole"
    MORE = "more"  # more managed than declared


@dataclass(frozen=True, slots=True)
class Key:
    """Which class of which place. `folded` is the form in which two spellings are one class."""

    scope: str
    kind: Kind
    folded: str


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody declares, as it was typed until `decide.clean` has seen it. `number` 0 ends the class."""

    scope: str
    kind: Kind
    class_name: str
    number: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What was declared, by whom and when. Rows stay; the newest of a class counts."""

    id: DeclarationId
    scope: str
    kind: Kind
    class_name: str
    number: int
    note: str
    made_by: PersonId
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One class before and after. `before` is None where nothing counted."""

    what: What
    after: Said
    before: Declaration | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What declaring comes to, in the order it was said."""

    items: tuple[Change, ...]

    def number(self, what: What) -> int:
        """Return how many classes are changed so."""
        return sum(one.what is what for one in self.items)

    @property
    def real(self) -> Sequence[Change]:
        """Those of which a row is written."""
        return [one for one in self.items if one.what is not What.UNCHANGED]


@dataclass(frozen=True, slots=True)
class Share:
    """What one place declares, areas included, and how many devices there are managed: enrolled and let in."""

    scope: str
    devices: int
    legacy: int
    managed: int
    cover: Cover
    reason: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over `places`, those that declare something. They are the denominators."""

    devices: int
    legacy: int
    managed: int
    places: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, as it stands there without its quotes. `number` counts from 1, the heading included."""

    number: int
    site: str
    kind: str
    class_name: str
    count: str
    note: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a line cannot be taken."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class File:
    """A file that could be read as a table: its lines, and those that hold what no line may."""

    lines: tuple[Line, ...]
    wrong: tuple[Wrong, ...] = ()
