# SPDX-License-Identifier: Apache-2.0
"""May this release be made, withdrawn, made a floor, or taken?

Rules: 1. in a line each release and each version is there once, those discarded aside; 2. only what is published can be
withdrawn or be a floor; 3. a floor only rises, over what is published and over what the open draft has already; 4. only
what is published and not below its floor is taken; 5. whoever takes something away says why, in a line for signers;
6. a compose file in which anything is wrong makes no release.
"""

from collections.abc import Sequence
from typing import assert_never

from checkvalve import lines
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.protocol import workload
from checkvalve.server.supply.composed import Prepared
from checkvalve.server.supply.model import Change, ChangeKind, Listed, Release, State

LONGEST_REASON = 2_000


def right(prepared: Prepared) -> tuple[workload.Manifest, bytes]:
    """Return the manifest and its bytes; `InvalidError` with the code of the first thing that is wrong (rule 6)."""
    for problem in prepared.problems:
        where = f" (line {problem.line}, {problem.path})" if problem.path else f" (line {problem.line})"
        raise InvalidError(
            problem.code,
            problem.sentence.removesuffix(".") + where + ".",
            problem.instead or "Correct the file, then check it again.",
            line=problem.line,
            problems=len(prepared.problems),
        )
    if prepared.manifest is None:
        raise TypeError(prepared)
    return workload.read(prepared.manifest), prepared.manifest


def new(there: Sequence[Release], digest: str) -> None:
    """Judge a new release beside those of its line that have its version or are the very same (rule 1).

    Raises `ConflictError` (`release.same`, `release.version_taken`).
    """
    for release in there:
        if release.digest == digest:
            raise ConflictError(
                "release.same",
                f"This is {release.name} {release.version} already, as it is there ({release.state.value}).",
                "Take that one; to make it anew, give it another version.",
                release=release.id,
            )
    for release in there:
        raise ConflictError(
            "release.version_taken",
            f"{release.name} {release.version} is there with another content ({release.state.value}).",
            "Give this one another version.",
            release=release.id,
        )


def warned(there: Sequence[Release], digest: str) -> tuple[str, ...]:
    """Return what whoever only checks a compose file is told of a version that is taken."""
    return tuple(
        f"{one.name} {one.version} is there with another content: give this one another version."
        for one in there
        if one.digest != digest
    )


def withdrawn(release: Release, changes: Sequence[Change]) -> None:
    """Judge a withdrawal beside the `changes` of the open draft (rule 2); `ConflictError` (`release.state`)."""
    _published(release, "withdrawn")
    if any(one.kind is ChangeKind.WITHDRAW and one.release.id == release.id for one in changes):
        raise ConflictError(
            "release.state", "The open draft withdraws this release already.", "Sign the draft, or discard it."
        )


def floored(release: Release, listed: Listed, changes: Sequence[Change]) -> None:
    """Judge a new floor (rules 2, 3); `ConflictError` (`release.state`, `trust.floor`)."""
    _published(release, "made a floor")
    asked = [one.release.number for one in changes if one.kind is ChangeKind.FLOOR and one.release.line == release.line]
    highest = max([listed.floors.get(release.line, 0), *asked])
    if release.number <= highest:
        raise ConflictError(
            "trust.floor",
            f"Nothing below number {highest} of {release.name} may be taken already; this is number {release.number}.",
            "A floor only rises: choose a later release.",
            floor=highest,
        )


def reason(text: str) -> str:
    """Return the reason as it is kept (rule 5); `InvalidError` (`release.reason`)."""
    tidy = lines.tidy(text, LONGEST_REASON)
    if not tidy:
        raise InvalidError("release.reason", "The reason is missing.", "Say why in a few words: signers read it.")
    if len(tidy) > LONGEST_REASON or not lines.plain(tidy):
        raise InvalidError(
            "release.reason",
            f"A reason is one line of at most {LONGEST_REASON} characters, without control characters.",
            "Shorten it, or type it anew.",
        )
    return tidy


def taken(release: Release | None, text: str) -> Release:
    """Return `release`, which `text` names, if it may be taken (rule 4).

    Raises `InvalidError` (`release.unknown`), `ConflictError` (`release.not_published`, `release.withdrawn`,
    `release.below_floor`).
    """
    if release is None or release.state is State.DISCARDED:
        raise InvalidError(
            "release.unknown",
            f"There is no release {text[:200]!r} here.",
            "Name one as `name@version` or `name@sha256:…`; `checkvalve release list` shows them.",
        )
    said = f"{release.name} {release.version}"
    match release.state:
        case State.DRAFTED:
            raise ConflictError(
                "release.not_published",
                f"{said} waits for signatures.",
                "It may run once its draft is signed: `checkvalve release sign`.",
            )
        case State.WITHDRAWN:
            raise ConflictError("release.withdrawn", f"{said} was withdrawn.", "Choose another release.")
        case State.PUBLISHED if release.below_floor:
            raise ConflictError(
                "release.below_floor", f"{said} is older than its line allows now.", "Choose a later release."
            )
        case State.PUBLISHED:
            return release
        case _:
            assert_never(release.state)


def _published(release: Release, what: str) -> None:
    if release.state is not State.PUBLISHED:
        raise ConflictError(
            "release.state",
            f"{release.name} {release.version} is {release.state.value}: only what is published can be {what}.",
            "Look at the release again; what waits for signatures is discarded with its draft.",
        )
