# SPDX-License-Identifier: Apache-2.0
"""Images, releases and drafts, as values.

compose file + images -> release (drafted) -> draft (open) -> signatures -> release (published). A published release may
be withdrawn, and a line of releases may be given a floor; both by a draft that is signed in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checkvalve.crypto import metadata
from checkvalve.ids import DraftId, ImageId, PersonId, ReleaseId
from checkvalve.protocol import workload


@dataclass(frozen=True, slots=True)
class Blob:
    """One content-addressed file, and of a layer the digest of it unpacked."""

    digest: str
    size: int
    media_type: str = ""
    diff_id: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An image as an archive holds it. `names` are in their short form, tag included (`historian:2.4`)."""

    names: tuple[str, ...]
    platform: str  # os/architecture[/variant]
    config: Blob
    manifest: Blob
    layers: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all its blobs; a layer that is there twice counts once."""
        return sum({blob.digest: blob.size for blob in (self.config, self.manifest, *self.layers)}.values())


@dataclass(frozen=True, slots=True)
class Image:
    """An image the plane holds for one scope."""

    id: ImageId
    scope: str
    found: Found  # with the names that lead to it now
    made_by: str
    made_at: datetime
    used_by: int = 0  # releases that are not discarded


class State(StrEnum):
    """drafted -> published -> withdrawn; a drafted one whose draft is given up is discarded."""

    DRAFTED = "drafted"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Release:
    """A release. `manifest` are the final bytes that its digest and every device go by."""

    id: ReleaseId
    scope: str
    name: str
    version: str
    number: int
    digest: str
    manifest: bytes
    source: bytes
    size: int
    state: State
    made_by: PersonId
    made_at: datetime
    changed_at: datetime
    below_floor: bool = False

    @property
    def ref(self) -> str:
        """Its name for ever."""
        return f"{self.name}@{self.digest}"

    @property
    def line(self) -> str:
        """What its number is counted in."""
        return workload.line(self.scope, self.name)

    @property
    def target(self) -> str:
        """Its path in TUF's targets."""
        return workload.target(self.scope, self.name, self.digest)


@dataclass(frozen=True, slots=True)
class Title:
    """What a release is called, without what is in it."""

    id: ReleaseId
    name: str
    version: str


class DraftState(StrEnum):
    """An open draft is published by its last signature, or discarded."""

    OPEN = "open"
    PUBLISHED = "published"
    DISCARDED = "discarded"


class ChangeKind(StrEnum):
    """What a draft does with a release."""

    ADD = "add"
    WITHDRAW = "withdraw"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing a draft changes."""

    kind: ChangeKind
    release: Release
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What a signer reads."""
        named = f"{self.release.name} {self.release.version}"
        match self.kind:
            case ChangeKind.ADD:
                return f"{named} may run."
            case ChangeKind.WITHDRAW:
                return f"{named} may not be taken any more."
            case ChangeKind.FLOOR:
                return f"Nothing older than {named} may be taken any more."


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was given: hex of the DER signature over the draft's payload."""

    keyid: str
    signature: str
    person: PersonId
    at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """The next list of what may run. `payload` are exactly the bytes to sign (TUF's signed part of targets)."""

    id: DraftId
    scope: str
    state: DraftState
    version: int
    payload: bytes
    expires_at: datetime
    changes: tuple[Change, ...]
    signatures: tuple[Signature, ...]
    made_by: PersonId
    made_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What the published list says: target paths, and of each line the lowest number that may be taken."""

    version: int
    targets: Mapping[str, metadata.Target]
    floors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The files of metadata that are handed out now; None is what there is not yet. A device that joins pins `root`."""

    first_root: bytes | None = None
    root: bytes | None = None
    targets: bytes | None = None
    snapshot: bytes | None = None
    timestamp: bytes | None = None
