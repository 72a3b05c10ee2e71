# SPDX-License-Identifier: Apache-2.0
"""May this rollout start now (walk rollout, 4)?

Rules: 1. only a proposed one starts, and once; 2. it starts without an approval only if its intent asks for none; 3. an
approval counts as it stands now, and by as many people as the intent asks for; 4. its release may still be taken: what
was withdrawn since, or fell below its floor, goes nowhere; 5. somebody is to take it: see `taking.obstacle`.
"""

from typing import assert_never

from checkvalve.server.approvals import count
from checkvalve.server.approvals.model import Approved, Expired, Rejected, Standing, Used, Waiting, Withdrawn
from checkvalve.server.rollouts.model import Go, No, Rollout, State, Verdict

_ANEW = "Cancel it, then draft and propose it anew."


def judge(rollout: Rollout, standing: Standing | None, obstacle: No | None = None) -> Verdict:
    """Return `Go` with those who approved, or `No` with the reason.

    `standing` is None where no approval was opened; `obstacle` is why its release cannot be taken, None if it can.
    """
    if rollout.state is State.DRAFT:
        return No("rollout.not_proposed", "The rollout is still a draft.", "Propose it, then have it approved.")
    return over(rollout) or obstacle or _by_approval(rollout.wanted.approvals, standing)


def over(rollout: Rollout) -> No | None:
    """Return why there is nothing left to start (rule 1); None while there is."""
    match rollout.state:
        case State.DRAFT | State.PROPOSED:
            return None
        case State.STARTED | State.PAUSED | State.DONE | State.UNDONE:
            return No("rollout.started", "The rollout was started already.", "Look how far it is.")
        case State.CANCELLED:
            return No("rollout.cancelled", "The rollout was cancelled.", "Draft it anew.")
        case _:
            assert_never(rollout.state)


def _by_approval(asked: int, standing: Standing | None) -> Verdict:
    match standing:
        case None:  # rule 2
            return Go(()) if asked == 0 else _not_approved(Waiting(0, asked))
        case Approved(by):  # rule 3
            return Go(by) if len(by) >= asked else _not_approved(Waiting(len(by), asked))
        case Waiting():
            return _not_approved(standing)
        case Rejected():
            return No("rollout.rejected", count.said(standing), _ANEW)
        case Expired():
            return No("rollout.approval_expired", count.said(standing), _ANEW)
        case Used():
            return No("rollout.approval_used", count.said(standing), _ANEW)
        case Withdrawn():
            return No("rollout.approval_withdrawn", count.said(standing), _ANEW)
        case _:
            assert_never(standing)


def _not_approved(standing: Waiting) -> No:
    return No("rollout.not_approved", count.said(standing), "Ask those who may vote there, then start it.")
