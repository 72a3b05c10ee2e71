# SPDX-License-Identifier: Apache-2.0
"""Is this the device that the last certificate was given to, or a copy of it?

Each renewal raises the generation. The plane keeps the one that the device confirmed, and the newest it issued: one
more while the device has not said that it has it, for an answer may be lost. Both may be reported. Who reports an
older one holds a disk from before: a copy that was made, or put back, while another went on.

Rules: 1. the confirmed generation is the same device, whether a newer one waits or not; 2. a newer one is confirmed by
being reported, also one that the plane does not know of: then the plane was restored from a backup, and the device
was not; 3. an older one is behind; 4. a renewal issues the one after that which is reported, so that asking again gets
the same.
"""

from dataclasses import dataclass

from checkvalve.errors import InvalidError
from checkvalve.server.fleet.model import Device, Standing

LARGEST = 2**31 - 2  # a renewal a minute would take 4,000 years


@dataclass(frozen=True, slots=True)
class Same:
    """Nothing new."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """The device has this newer generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Behind:
    """It was copied or put back: it reports `reported`, and somebody with its key has confirmed `confirmed`."""

    reported: int
    confirmed: int

    @property
    def sentence(self) -> str:
        """Return the reason to keep and to show."""
        return (
            f"It came with generation {self.reported} of its certificate, when generation {self.confirmed} was in use "
            "already: its disk was copied, or put back to an earlier state."
        )


def judge(device: Device | Standing, reported: int) -> Same | Confirm | Behind:
    """Judge the generation that a device reports (rules 1, 2, 3); `InvalidError` (`report.generation`)."""
    if not 0 <= reported <= LARGEST:
        raise InvalidError(
            "report.generation", f"There is no generation {reported}.", "Look at the agent: no plane issued it that."
        )
    if reported < device.generation:
        return Behind(reported, device.generation)
    return Same() if reported == device.generation else Confirm(reported)


def following(device: Device | Standing, reported: int) -> int | Behind:
    """Return the generation to issue to a device that asks with `reported` (rule 4), or why none is issued."""
    judged = judge(device, reported)
    return judged if isinstance(judged, Behind) else reported + 1
