# SPDX-License-Identifier: Apache-2.0
"""What people say beside what data say: neither ever overwrites the other.

Nothing is measured yet; the rules are here so that a declared answer says from the first day what it stands on.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from checkvalve.server.scorecard.model import Said

PATIENCE = timedelta(days=90)  # so long a high answer may stand without data
HIGH = 3  # points; also the most that an answer without data is worth to somebody who doubts
APART = 2  # points between the two that are no matter of taste


class Kind(StrEnum):
    """What an answer is worth beside its measurement."""

    UNANSWERED = "unanswered"
    DECLARED_ONLY = "declared_only"
    UNPROVEN = "unproven"
    AGREE = "agree"
    CONTRADICTED = "contradicted"
    UNDERSTATED = "understated"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Claim:
    """The kind, and why in a sentence."""

    kind: Kind
    reason: str


def judge(said: Said | None, measured: int | None, age: timedelta = timedelta()) -> Claim:
    """Return how an answer of this `age` stands to what was measured (0 to 4; None: not enough data)."""
    if said is None:
        return Claim(Kind.UNANSWERED, "Nobody answered this yet.")
    if said is Said.NOT_APPLICABLE:
        return Claim(Kind.DECLARED_ONLY, "It was said not to apply; data do not judge that.")
    if measured is None:
        return _unmeasured(said, age)
    if said.points is None:
        return Claim(Kind.BLIND, f"Not Sure, and it can be measured: data say {measured}.")
    return _beside(said.points, measured)


def defensible(said: Said | None, measured: int | None) -> Said | None:
    """Return what the answer is worth to somebody who doubts: the lesser of both, and 3 at most without data."""
    if said is None or said.points is None:
        return said
    return Said(str(min(said.points, HIGH if measured is None else measured)))


def _unmeasured(said: Said, age: timedelta) -> Claim:
    if said.points is not None and said.points >= HIGH and age > PATIENCE:
        return Claim(Kind.UNPROVEN, f"{said.points} was said {age.days} days ago, and there are still no data on it.")
    return Claim(Kind.DECLARED_ONLY, "There are not enough data to say more.")


def _beside(said: int, measured: int) -> Claim:
    if said - measured >= APART:
        return Claim(Kind.CONTRADICTED, f"{said} was said, and data say {measured}.")
    if measured - said >= APART:
        return Claim(Kind.UNDERSTATED, f"It is better than was said: {said} was said, and data say {measured}.")
    if said > measured:
        return Claim(Kind.AGREE, f"Said and measured agree, a little on the bright side: data say {measured}.")
    return Claim(Kind.AGREE, f"Said and measured agree: data say {measured}.")
