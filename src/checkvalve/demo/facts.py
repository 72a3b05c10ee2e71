# SPDX-License-Identifier: Apache-2.0
"""What an act of the demo found: a claim, what was measured, what was aimed at, and how to check it yourself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the closing table. `held` was computed from what was measured, never set by hand."""

    claim: str
    measured: str
    target: str
    check: str
    held: bool
