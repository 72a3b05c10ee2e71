# SPDX-License-Identifier: Apache-2.0
"""Have enough people approved this, now?

Rules: 1. an approval that was used or withdrawn is over, whatever the votes say; 2. the requester never counts, neither
for nor against; 3. one no ends it, and still does when its voter has lost the right since: a right taken away lets
nothing through; 4. it is over at the moment of its expiry itself; 5. a yes counts only if its voter is entitled now,
once a person; 6. at least one person is needed, whatever the row says.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from checkvalve.ids import PersonId
from checkvalve.server.approvals.model import (
    Approval,
    Approved,
    Choice,
    Expired,
    Rejected,
    Standing,
    Used,
    Vote,
    Waiting,
    Withdrawn,
)
from checkvalve.server.audit.compose import rfc3339


def judge(approval: Approval, votes: Iterable[Vote], entitled: frozenset[PersonId], now: datetime) -> Standing:
    """Return where `approval` stands; `entitled` are those voters who hold the right at its scope now."""
    if approval.used_at is not None:  # rule 1
        return Used(approval.used_at)
    if approval.withdrawn_at is not None:
        return Withdrawn(approval.withdrawn_at)
    ordered = sorted(votes, key=lambda vote: (vote.at, vote.person))
    others = [vote for vote in ordered if vote.person != approval.requester]  # rule 2
    for vote in others:
        if vote.choice is Choice.REJECT:  # rule 3
            return Rejected(vote.person, vote.note)
    if now >= approval.expires_at:  # rule 4
        return Expired(approval.expires_at)
    by = tuple(dict.fromkeys(vote.person for vote in others if vote.person in entitled))  # rule 5
    needed = max(approval.needed, 1)  # rule 6
    return Approved(by) if len(by) >= needed else Waiting(len(by), needed)


def is_open(standing: Standing) -> bool:
    """Tell whether a vote or a withdrawal can still change it."""
    return isinstance(standing, Waiting | Approved)


def said(standing: Standing) -> str:
    """Return where it stands, as a sentence."""
    match standing:
        case Waiting(have, needed):
            return f"It has {have} of {needed} approvals."
        case Approved():
            return "It is approved."
        case Rejected(note=""):
            return "It was rejected."
        case Rejected(note=note):
            return f"It was rejected: {note}"
        case Expired(at):
            return f"The request for approval expired at {rfc3339(at)}."
        case Used(at):
            return f"Its approval was used at {rfc3339(at)}; it holds for one use."
        case Withdrawn(at):
            return f"The request for approval was withdrawn at {rfc3339(at)}."
        case _:
            assert_never(standing)
