# SPDX-License-Identifier: Apache-2.0
"""What somebody set where, and what of it a release gets on a device.

A *place* is a scope's path (`/ORG/`, `/ORG/SITE/`, `/ORG/SITE/AREA/`) or a device (`device:<id>`). A *line* is the name
of releases that a value is for, or empty: for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from checkvalve.ids import DeviceId, ValueId
from checkvalve.protocol import values
from checkvalve.server.fleet.model import Device
from checkvalve.server.supply.model import Release

DEVICE = "device:"


class Kind(StrEnum):
    """What a value fills."""

    VARIABLE = "variable"
    FILE = "file"
    SECRET = "secret"


@dataclass(frozen=True, slots=True)
class Key:
    """What a value is for."""

    line: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting, or taking away (`content` None). A secret's content is locked, and means nothing without the key."""

    id: ValueId
    place: str
    scope: str  # where rights on it are judged
    key: Key
    content: bytes | None
    current: bool
    made_by: str
    made_at: datetime
    note: str = ""

    @property
    def mark(self) -> str:
        """What stands for it in the identity of values: `protocol.values`."""
        return self.id if self.key.kind is Kind.SECRET else values.mark(self.content or b"")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A change: `content` is text, None takes the value away at this place."""

    key: Key
    content: str | None = field(repr=False)  # it may be a secret


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted where something else is set, or nothing."""

    wanted: Wanted
    before: Entry | None


@dataclass(frozen=True, slots=True)
class Use:
    """A release that declares what is set, and how many devices run it."""

    name: str
    version: str
    devices: int


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a release cannot be filled on a device: what is missing or does not fit, with its code and a sentence."""

    kind: Kind
    name: str
    code: str  # values.missing, values.misfit, values.path, values.address
    sentence: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What a release gets on one device: `kind/name` -> entry, only of what it declares and somebody set.

    What is not in it and not lacking has the release's own default. Complete if nothing is lacking.
    """

    entries: Mapping[str, Entry]
    lacks: tuple[Lack, ...] = ()

    @property
    def binding(self) -> dict[str, str]:
        """Return what is kept of it: `kind/name` -> the entry's id."""
        return {name: entry.id for name, entry in sorted(self.entries.items())}

    @property
    def identity(self) -> str:
        """Return what it means, comparable with `Document.identity`; empty if nothing is set."""
        return values.meaning({name: entry.mark for name, entry in self.entries.items()})


@dataclass(frozen=True, slots=True)
class Document:
    """What a device was given, as final bytes."""

    device: DeviceId
    digest: str
    attempt: str
    identity: str
    document: bytes
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Custody:
    """Which key secrets are locked with: its fingerprint, empty if none was noted yet, and one of those secrets."""

    fingerprint: str = ""
    secret: Entry | None = None


@dataclass(frozen=True, slots=True)
class Effective:
    """What one name of a release gets on one device, and what it has there now.

    `value` and `runs` are texts, of a secret the versions (ids of entries); None: nothing. `place` is where the value
    is set, `default` says that it is the release's own. `lack` is why it cannot be filled, empty if it can.
    """

    kind: Kind
    name: str
    value: str | None
    runs: str | None
    place: str = ""
    entry: Entry | None = None
    default: bool = False
    lack: str = ""

    @property
    def differs(self) -> bool:
        """Whether a rollout would change it."""
        return self.value != self.runs


@dataclass(frozen=True, slots=True)
class Filled:
    """What a release gets on a device, beside what that has now."""

    device: Device
    release: Release
    rows: Sequence[Effective]
    lacks: tuple[Lack, ...] = ()

    @property
    def matters(self) -> bool:
        """Whether a rollout would change anything, or is refused."""
        return bool(self.lacks) or any(row.differs for row in self.rows)
