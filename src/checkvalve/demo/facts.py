# SPDX-License-Identifier: Apache-2.0
"""What an act of the demo found: claims with what was measured, and pictures of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the closing table. `held` was computed from what was measured, never set by hand."""

    claim: str
    measured: str
    target: str
    check: str
    held: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG drawn from what was measured, and a sentence that says what it shows."""

    title: str
    sentence: str
    svg: str
