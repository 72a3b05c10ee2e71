# SPDX-License-Identifier: Apache-2.0
"""Which file did this small order bring, and if none is there, why? How long it is kept: `ending`, rule 7."""

from datetime import datetime

from checkvalve.errors import NotFoundError
from checkvalve.server.errands import ending
from checkvalve.server.errands.model import BRINGS, KEPT, Errand, State


def digest(errand: Errand, now: datetime) -> str:
    """Return the digest of the file that an errand brought; `NotFoundError` (`errand.no_content`) with the reason."""
    if ending.kept(errand, now):
        return errand.content
    raise NotFoundError("errand.no_content", *_why(errand))


def _why(errand: Errand) -> tuple[str, str]:
    if errand.kind not in BRINGS:
        return f"A {errand.kind.value} brings no file.", "Read how it ended."
    if errand.state is State.WAITING:
        return "The device has brought nothing yet.", "Wait until it has ended."
    if errand.content and errand.digest:
        return f"What it brought was kept for {KEPT.days} days, and is gone.", "Order it again."
    return "It ended without a file.", "Read how it ended; then order it again."
