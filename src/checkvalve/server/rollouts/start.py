# SPDX-License-Identifier: Apache-2.0
"""May this rollout start now?

Rules: 1. only a proposed one starts, and once; 2. it starts without an approval only if its intent asks for none; 3. an
approval counts as it stands now, and by as many people as the intent asks for; 4. its release may still be taken: what
was withdrawn since, or fell below its floor, goes nowhere.
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
    match rollout.state:  # rule 1
        case State.DRAFT:
            return No("rollout.not_proposed", "The rollout is still a draft.", "Propose it, then have it approved.")
        case State.STARTED:
            return No("rollout.started", "The rollout has started already.", "Nothing is left to do.")
        case State.CANCELLED:
            return No("rollout.cancelled", "The rollout was cancelled.", "Draft it anew.")
        case State.PROPOSED if obstacle is not None:  # rule 4
            return obstacle
        case State.PROPOSED:
            return _by_approval(rollout.wanted.approvals, standing)
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
