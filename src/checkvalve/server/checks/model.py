# SPDX-License-Identifier: Apache-2.0
"""Checks, their runs and their states as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """What is known. Unknown is never zero and never a pass: NOT_ENOUGH_DATA and STALE are states of their own."""

    FAIL = "fail"
    ERROR = "error"
    STALE = "stale"
    NOT_ENOUGH_DATA = "not_enough_data"
    PASS = "pass"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Check:
    """One fact query. `asks` is what it counts; `waits` says what is still to come where nothing measures it."""

    id: str
    subject: str
    title: str  # of the subject
    asks: str
    waits: str


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. `outcome` is what it found when it ran; `reason` says so in a sentence."""

    check: str
    at: datetime
    outcome: State
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a check at a moment, and why that is said."""

    state: State
    reason: str
