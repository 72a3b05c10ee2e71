# SPDX-License-Identifier: Apache-2.0
"""Requests and answers about images, releases, drafts and trust; the rules are those of `protocol.api`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from checkvalve.protocol import rights, workload
from checkvalve.protocol.api import Answer, Path, Request, Text, Time, Word

LARGEST_METADATA = 4 << 20  # bytes of one file of TUF metadata

Source = Annotated[str, Meta(max_length=workload.LARGEST, description="A compose file.")]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{8,200}\Z")]


class NewRelease(Request, frozen=True):
    """A release to make of a compose file; `name` and `version` count more than what the file says.

    A service with `profiles` is in it if one of them is among these. What `engine`, that of the devices, cannot do is
    refused.
    """

    scope: Path
    source: Source
    name: Word = ""
    version: Word = ""
    profiles: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    engine: Literal["docker", "podman"] = "docker"


class NewFloor(Request, frozen=True):
    """Nothing older than this release may be taken any more by a device that heard of it."""

    reason: Text


class NewWithdrawal(Request, frozen=True):
    """Take a release off the list of what may run."""

    reason: Text


class NewDraft(Request, frozen=True):
    """A draft that changes nothing but how long the list is good. It belongs to the organisation of `scope`."""

    scope: Path


class NewSignature(Request, frozen=True):
    """A signature on exactly the bytes whose SHA-256 is `digest`."""

    digest: Hex
    keyid: Hex
    signature: Hex


class NewRoot(Request, frozen=True):
    """A root of trust, as `checkvalve keys` wrote it: the text of root.json."""

    root: Annotated[str, Meta(max_length=LARGEST_METADATA)]


class Image(Answer, frozen=True):
    """An image the plane holds. `config` is its identity, `size` the bytes of all its blobs."""

    id: str
    scope: str
    names: list[str]
    config: str
    manifest: str
    platform: str
    size: int
    layers: int
    used_by: int  # releases
    made_by: str
    made_at: Time


class Imported(Answer, frozen=True):
    """What an archive brought; `added` bytes are new, `known` were here already."""

    images: list[Image]
    added: int
    known: int
    skipped: list[str]  # what was in the archive and is no image, in a few words each


class Problem(Answer, frozen=True):
    """What is wrong at one place of a compose file, and what to write instead."""

    line: int
    path: str
    code: str
    sentence: str
    instead: str


class Difference(Answer, frozen=True):
    """One thing that differs from the release before; a side is empty where it has nothing."""

    path: str
    before: str
    after: str


class Checked(Answer, frozen=True):
    """What a compose file would become. `manifest` is there if nothing is wrong.

    `same` names the release that it already is.
    """

    problems: list[Problem]
    notes: list[str]
    name: str
    version: str
    digest: str
    manifest: dict[str, Any] | None
    previous: str  # `name@version` of the release that `differences` compares with; empty if it is the first
    differences: list[Difference]
    same: str


class Right(Answer, frozen=True):
    """What a release may do on a device beyond its containers. `grave`: it hands the device over, or could.

    `what` is as compose writes it; without a `service` any of them may, if a value says so.
    """

    kind: rights.Kind
    what: str
    service: str
    grave: bool


class Release(Answer, frozen=True):
    """A release; `ref` is `name@sha256:…`, its name for ever. `state`: drafted, published, withdrawn, discarded.

    A published one below the floor of its line cannot be taken any more.
    """

    id: str
    scope: str
    name: str
    version: str
    number: int
    digest: str
    ref: str
    state: Literal["drafted", "published", "withdrawn", "discarded"]
    below_floor: bool
    images: list[str]
    services: list[str]
    size: int  # bytes a device without any of it fetches
    made_by: str
    made_at: Time
    changed_at: Time
    rights: list[Right] = msgspec.field(default_factory=list)  # the grave first
    exclusive: list[str] = msgspec.field(default_factory=list)  # sentences: why old and new cannot run side by side


class Change(Answer, frozen=True):
    """One thing a draft changes: add, withdraw or floor, of one release."""

    kind: Literal["add", "withdraw", "floor"]
    release: str  # id
    name: str
    version: str
    digest: str
    sentence: str
    reason: str


class Signed(Answer, frozen=True):
    """A signature that was given."""

    keyid: str
    person: str
    at: Time


class Draft(Answer, frozen=True):
    """The one list of what may run that waits for signatures. `digest` is the SHA-256, in hex, of the bytes to sign."""

    id: str
    scope: str
    state: Literal["open", "published", "discarded"]
    version: int
    digest: str
    expires: Time
    changes: list[Change]
    signatures: list[Signed]
    needed: int
    keyids: list[str]  # who may sign
    made_by: str
    made_at: Time


class Role(Answer, frozen=True):
    """Who must sign what."""

    name: str
    threshold: int
    keyids: list[str]


class Metadata(Answer, frozen=True):
    """One file of TUF metadata as it is now."""

    role: str
    version: int
    expires: Time
    expired: bool


class Trust(Answer, frozen=True):
    """Whom devices believe. Without `root` the plane holds none yet, and no release can be made.

    `plane_key` is what a root of trust for this plane must name for snapshot and timestamp (PEM).
    """

    plane_key: str
    plane_keyid: str
    root: str  # SHA-256, in hex, of the first root: all later ones are signed over from it
    roles: list[Role]
    metadata: list[Metadata]
