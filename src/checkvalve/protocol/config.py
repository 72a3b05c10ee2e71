# SPDX-License-Identifier: Apache-2.0
"""Requests and answers about values and secrets of releases; the rules are those of `protocol.api`.

A *place* is a scope's path, or the id of a device; a request may also write the latter as pages do, `device:ID`. What a
secret holds is in no answer, ever.
"""

from typing import Annotated, Literal

from msgspec import Meta

from checkvalve.protocol.api import Answer, Request, Text, Time, Word
from checkvalve.protocol.declared import LARGEST_FILE

MOST = 100  # changes at once

Kind = Literal["variable", "file", "secret"]
Place = Annotated[
    str,
    Meta(
        max_length=400,
        pattern=r"^(/([0-9a-z]{26}/)*|(device:)?[0-9a-z]{26})\Z",
        description="A scope's path, or the id of a device, also as `device:ID`.",
    ),
]


class ValueChange(Request, frozen=True):
    """What is to be set, or taken away with `content` null. `line` is the name of releases; empty is all of them."""

    kind: Kind
    name: Word
    content: Annotated[str, Meta(max_length=LARGEST_FILE)] | None
    line: Word = ""


class SetValues(Request, frozen=True):
    """Changes at one place. `dry_run` changes nothing; a secret then always counts as changed."""

    place: Place
    changes: Annotated[list[ValueChange], Meta(min_length=1, max_length=MOST)]
    note: Text = ""
    dry_run: bool = False


class ChangedValue(Answer, frozen=True):
    """What is set now. `before` and `after` are digests of texts, `set` for secrets, null for nothing."""

    kind: Kind
    name: str
    line: str
    before: str | None
    after: str | None


class ValueUse(Answer, frozen=True):
    """A release that declares what was changed, and how many devices there run it now."""

    name: str
    version: str
    devices: int


class ChangedValues(Answer, frozen=True):
    """What was changed, or would be; what was so already is not here."""

    changed: list[ChangedValue]
    uses: list[ValueUse]
    dry_run: bool


class Value(Answer, frozen=True):
    """What somebody set, or took away (`taken`). `content` is null of a secret, and of what was taken away.

    `place` is a scope's path or the id of a device, `where` the same in words, `line` empty for all releases.
    """

    id: str
    place: str
    where: str
    kind: Kind
    name: str
    line: str
    content: str | None
    taken: bool
    current: bool
    made_by: str
    made_at: Time
    note: str
    made_by_name: str = ""  # what that person is called


class DeviceValue(Answer, frozen=True):
    """What a declared name gets on a device. `origin` is a place in words, `default`, or `missing`.

    `value` is what a rollout would bring, `runs` what is there now: null of secrets, and for nothing. `differs` says
    whether a rollout would change it. `lack` is why a rollout is refused, empty if it is not.
    """

    kind: Kind
    name: str
    value: str | None
    runs: str | None
    origin: str
    place: str
    line: str
    differs: bool
    lack: str
    made_by: str
    made_at: Time | None
    made_by_name: str = ""  # what that person is called


class DeviceValues(Answer, frozen=True):
    """What a release gets on a device: all that it declares, or only what a rollout would change or is refused for.

    `lacks` are the reasons for which it is refused, as sentences; also those that are of no single name.
    """

    device: str
    device_name: str
    scope: str
    release: str
    version: str
    digest: str
    values: list[DeviceValue]
    lacks: list[str]
