# SPDX-License-Identifier: Apache-2.0
"""People, sessions and API tokens, as values. None of them holds a password, a secret or a digest."""

from dataclasses import dataclass
from datetime import datetime

from checkvalve.ids import PersonId, SessionId, TokenId


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in, unless disabled. `login` is unique on the plane, `home` the scope they belong to."""

    id: PersonId
    login: str
    name: str
    home: str
    made_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of a browser or CLI; `agent` is what the program calls itself, `ends_at` the end at the latest."""

    id: SessionId
    person: PersonId
    address: str
    agent: str
    made_at: datetime
    seen_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """An API token: its owner's rights at each use, cut to `scope` and `permissions` (None: all the owner has)."""

    id: TokenId
    person: PersonId
    label: str
    scope: str
    permissions: tuple[str, ...] | None
    made_at: datetime
    ends_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """It counts now, and at the latest until `until` if it is not used again."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """It no longer counts; `reason` is the sentence to show."""

    reason: str
