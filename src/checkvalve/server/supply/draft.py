# SPDX-License-Identifier: Apache-2.0
"""What does the next list of what may run say, and what may still be put into it?

Rules: 1. a draft is made of the published list and all of its changes, anew with each change; 2. its version is the
next one, and it lasts a year from its last change; 3. a withdrawn release leaves the list, a floor only rises; 4. there
is one draft for the plane, and it belongs to one organisation, or to the plane itself; 5. with its first signature it
takes no more changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve.crypto import digests, metadata
from checkvalve.errors import ConflictError
from checkvalve.server.access.model import ROOT
from checkvalve.server.supply.model import Change, ChangeKind, Draft, DraftState, Listed

LASTS = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Next:
    """The next list: `payload` are the bytes to sign."""

    version: int
    payload: bytes
    expires_at: datetime


def listed(file: bytes | None) -> Listed:
    """Return what a published file of targets says; nothing published is an empty list of version 0."""
    if file is None:
        return Listed(0, {}, {})
    targets, floors = metadata.read_targets(metadata.payload(file))
    return Listed(metadata.seen(file).version, targets, floors)


def compose(published: Listed, changes: Sequence[Change], now: datetime) -> Next:
    """Return the list that follows the published one (rules 1, 2, 3)."""
    targets, floors = dict(published.targets), dict(published.floors)
    for change in changes:
        release = change.release
        match change.kind:
            case ChangeKind.ADD:
                targets[release.target] = metadata.Target(
                    length=len(release.manifest),
                    sha256=release.digest.removeprefix("sha256:"),
                    name=release.name,
                    version=release.version,
                    number=release.number,
                )
            case ChangeKind.WITHDRAW:
                targets.pop(release.target, None)
            case ChangeKind.FLOOR:
                floors[release.line] = max(floors.get(release.line, 0), release.number)
    expires_at = now.replace(microsecond=0) + LASTS  # TUF writes whole seconds
    version = published.version + 1
    payload = metadata.new_targets(version=version, expires=expires_at, targets=targets, floors=floors)
    return Next(version, payload, expires_at)


def digest(draft: Draft) -> str:
    """Return what people compare and sign: SHA-256, in hex, of the payload."""
    return digests.sha256_hex(draft.payload)


def scope(of: str) -> str:
    """Return the path of the organisation in which `of` lies; the plane's own is `/` (rule 4)."""
    organisation = of.strip("/").split("/")[0]
    return f"/{organisation}/" if organisation else ROOT


def joined(draft: Draft | None, of: str) -> None:
    """Judge a change for a release made in `of` beside the open draft (rules 4, 5).

    Raises `ConflictError` (`draft.elsewhere`, `draft.signed`).
    """
    if draft is None:
        return
    if draft.scope != scope(of):
        raise ConflictError(
            "draft.elsewhere",
            "The open draft belongs to another organisation, or to the plane itself.",
            "Wait until it is published or discarded; there is one list, and one draft of it at a time.",
        )
    if draft.signatures:
        raise ConflictError(
            "draft.signed",
            f"The open draft has {len(draft.signatures)} signature(s) and takes no more changes.",
            "Let it be signed to the end, or discard it: `checkvalve release discard`.",
            draft=draft.id,
        )


def renewed(draft: Draft | None) -> None:
    """Judge a draft without changes: any other one renews the list too; `ConflictError` (`draft.open`)."""
    if draft is not None:
        raise ConflictError(
            "draft.open",
            "A draft is open already; when it is published the list is new again.",
            "Sign that one, or discard it first.",
        )


def still_open(draft: Draft) -> None:
    """Refuse what can be done to an open draft only; `ConflictError` (`draft.closed`)."""
    if draft.state is not DraftState.OPEN:
        raise ConflictError(
            "draft.closed",
            f"The draft is {draft.state.value} already.",
            "`checkvalve release draft` shows the open one.",
        )
