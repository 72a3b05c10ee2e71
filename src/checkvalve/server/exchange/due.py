# SPDX-License-Identifier: Apache-2.0
"""Does this report ask for a visit, and which orders is the device to be given now?

Rules: 1. a report that says only what is known already asks for nothing; one whose journal is shorter than what is kept
of it says nothing new either; 2. orders are due while the attempt that the device is assigned is not the one it
reports; 3. those signed before are given again, the same bytes, until they run out or another attempt is wanted; then
new ones are signed, with the next number; 4. a device that has accepted their number is not given them again: it
brings another attempt to its end first; 5. orders that a device does not take are repeated, not at each of its
reports, for it comes back at once, but after some seconds, then later and later up to a minute: they were lost with
their connection, or the device does not want them.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Report
from checkvalve.server.fleet.model import Signed, Standing

SOONEST, AGAIN = 2.0, 60.0  # seconds: after the first time, and at most
LIFETIMES = {LinkClass.REMOTE: timedelta(hours=1), LinkClass.ASYNC: timedelta(days=7)}
"""How long orders may be taken. A device that comes once per interval may be late by days."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Orders that were signed, and the monotonic moment (seconds) at which the device was last given them."""

    attempt: str
    number: tuple[int, int]  # epoch, counter
    ends_at: datetime
    given_at: float
    times: int = 1  # that it was given


def news(report: Report, standing: Standing) -> bool:
    """Tell whether the report says what is not known (rule 1)."""
    return not (
        report.state == standing.status_digest
        and report.seq <= standing.known
        and report.journal == standing.journal
        and report.generation == standing.generation
        and report.counter == standing.counter
        and report.epoch == standing.epoch
        and not report.events
        and not report.receipts
    )


def wanted(attempt: str, taken: str) -> bool:
    """Tell whether there is something to order (rule 2)."""
    return attempt not in {"", taken}


def usable(signed: Signed | Offer | None, attempt: str, now: datetime) -> bool:
    """Tell whether these orders are still the ones to give (rule 3)."""
    return signed is not None and signed.attempt == attempt and now < signed.ends_at


def accepted(report: Report, number: tuple[int, int]) -> bool:
    """Tell whether the device has taken orders of this number, or later ones (rule 4)."""
    return (report.epoch, report.counter) >= number


def repeatable(offer: Offer | None, attempt: str, monotonic: float) -> bool:
    """Tell whether the device may be given orders for `attempt` now (rule 5)."""
    return offer is None or offer.attempt != attempt or monotonic - offer.given_at >= _pause(offer)


def again(report: Report, standing: Standing, offer: Offer | None, monotonic: float) -> float:
    """Return in how many seconds orders that it has not taken are due once more; infinity if there are none."""
    if offer is None or offer.attempt != standing.wanted or not wanted(standing.wanted, standing.taken):
        return math.inf
    return math.inf if accepted(report, offer.number) else offer.given_at + _pause(offer) - monotonic


def orders(report: Report, standing: Standing, offer: Offer | None, now: datetime, monotonic: float) -> bool:
    """Tell whether the device is to be given orders now (rules 2 to 5), by what memory knows."""
    if not wanted(standing.wanted, standing.taken) or not repeatable(offer, standing.wanted, monotonic):
        return False
    return offer is None or not usable(offer, standing.wanted, now) or not accepted(report, offer.number)


def _pause(offer: Offer) -> float:
    """Return for how many seconds these orders are not given again (rule 5)."""
    return float(min(AGAIN, SOONEST * 2 ** min(offer.times - 1, 10)))
