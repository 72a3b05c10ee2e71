# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the operators' API about small orders; what devices hear of them is `protocol.errand`.

The rules are those of `protocol.api`.
"""

from typing import Annotated, Literal

from msgspec import Meta

from checkvalve.protocol.api import Answer, Request, Text, Time, Word
from checkvalve.protocol.errand import LONGEST, MOST_LINES, Kind

LONGEST_WAIT = 7 * 24 * 60  # minutes that an errand may be begun in, at most
LARGEST_TEXT = 64 << 20  # bytes of logs, unpacked; more is a defect of the device, or malice

State = Literal["waiting", "done", "refused", "failed", "cancelled", "lost"]


class NewErrand(Request, frozen=True):
    """A small order to one device.

    `service` is what to restart, or whose logs; empty for all logs. `since` counts seconds back, 0: all there is;
    `lines` are of each container. It is not begun after `minutes`; left out, that goes by the device's link. `why` is
    needed for `restart` and `reboot`.
    """

    kind: Kind
    service: Word = ""
    since: Annotated[int, Meta(ge=0, le=LONGEST)] = 0
    lines: Annotated[int, Meta(ge=1, le=MOST_LINES)] = 200
    minutes: Annotated[int, Meta(ge=1, le=LONGEST_WAIT)] | None = None
    why: Text = ""


class Cancelling(Request, frozen=True):
    """Why a small order is taken back; may be empty."""

    why: Text = ""


class Brought(Answer, frozen=True):
    """The file that came of a small order: logs as text, or a support bundle. `size` is what is kept, packed."""

    digest: str
    size: int
    until: Time | None  # it is kept so long


class Errand(Answer, frozen=True):
    """A small order and what came of it.

    `given_at` is when it was first put into orders for the device. A device that has them may do it even after it was
    cancelled, and what it says of it counts. `code` and `reason` say what came of it; `content` is the file, while it
    is kept: `/api/v1/errands/{id}/content`. `digest` names what the device signed about it.
    """

    id: str
    device: str
    scope: str
    kind: Kind
    service: str
    since: int
    lines: int
    why: str
    made_by: str
    made_at: Time
    until: Time
    state: State
    given_at: Time | None
    ended_at: Time | None
    code: str
    reason: str
    content: Brought | None
    digest: str
