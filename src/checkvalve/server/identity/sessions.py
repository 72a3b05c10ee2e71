# SPDX-License-Identifier: Apache-2.0
"""Does this session still count?

Rules: 1. it ends 30 minutes after its last request, and 12 hours after sign-in whatever happens, each at the moment
itself; 2. where limits differ, the shorter one holds, so that shorter limits of a later release hold for sessions that
are open. (NIST SP 800-63B, 2.2.3: AAL2 asks for at most an hour idle and a day in all.)
"""

import dataclasses
from datetime import datetime, timedelta

from checkvalve.server.identity.model import Ended, Live, Session

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
NOTED_EVERY = timedelta(minutes=1)
"""A session's last request is written down at most this often: it may end this much early, never late."""

_LONGEST_AGENT = 300
_LONGEST_ADDRESS = 64


def judge(session: Session, now: datetime) -> Live | Ended:
    """Return whether the session counts at `now`, and if so until when."""
    last = min(session.ends_at, session.made_at + ABSOLUTE)
    if now >= last:
        return Ended(f"The session ended: it lasts {_hours(ABSOLUTE)} at most. Sign in again.")
    idle = session.seen_at + IDLE
    if now >= idle:
        return Ended(f"The session ended after {_minutes(IDLE)} without a request. Sign in again.")
    return Live(min(last, idle))


def worth_noting(session: Session, now: datetime) -> bool:
    """Tell whether a request at `now` is far enough from the last one noted to write it down."""
    return now - session.seen_at >= NOTED_EVERY


def opened(session: Session) -> Session:
    """Return the session as it is kept: within the limits, and with what came from outside cut and made visible."""
    return dataclasses.replace(
        session,
        address=_line(session.address, _LONGEST_ADDRESS),
        agent=_line(session.agent, _LONGEST_AGENT),
        ends_at=min(session.ends_at, session.made_at + ABSOLUTE),
    )


def _line(text: str, longest: int) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:longest])


def _hours(span: timedelta) -> str:
    return f"{span // timedelta(hours=1)} hours"


def _minutes(span: timedelta) -> str:
    return f"{span // timedelta(minutes=1)} minutes"
