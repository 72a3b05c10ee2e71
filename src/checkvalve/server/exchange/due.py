# SPDX-License-Identifier: Apache-2.0
"""Does this report ask for a visit, and which orders is the device to be given now?

Rules: 1. a report that says only what is known already asks for nothing; one whose journal is shorter than what is kept
of it says nothing new either; 2. orders are due while the attempt that the device is assigned is not the one it
reports, while the tags that hang for it are not those it reports, and while there are errands for it; one paper says
all; 3. those signed before are given again, the same bytes, until they run out or something else is wanted; then new
ones are signed, with the next number; 4. a device that has accepted their number is not given them again: it brings
another attempt to its end first; 5. orders that a device does not take are repeated, not at each of its reports, for it
comes back at once, but after some seconds, then later and later up to a minute: they were lost with their connection,
or the device does not want them; 6. tags that a device took and that it does not report after ten minutes were lost
there: it is told of them anew, with the next number; 7. errands that it took are not told anew for themselves, however
old the paper is: one of which nothing is heard has an end of its own.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Report
from checkvalve.server.fleet import holds
from checkvalve.server.fleet.model import Signed, Standing

SOONEST, AGAIN = 2.0, 60.0  # seconds: after the first time, and at most
LOST = timedelta(minutes=10)  # after which tags that were taken and are not reported are told anew
LIFETIMES = {LinkClass.REMOTE: timedelta(hours=1), LinkClass.ASYNC: timedelta(days=7)}
"""How long orders may be taken. A device that comes once per interval may be late by days."""


@dataclass(frozen=True, slots=True)
class Want:
    """What is to be ordered: an attempt, tags to know of (a digest, or `holds.NONE`), errands; empty: not that."""

    attempt: str
    held: str
    errands: str = ""  # their ids, in order, with spaces between

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.attempt or self.held or self.errands)


@dataclass(frozen=True, slots=True)
class Offer:
    """Orders that were signed, and the monotonic moment (seconds) at which the device was last given them."""

    attempt: str
    number: tuple[int, int]  # epoch, counter
    ends_at: datetime
    given_at: float
    times: int = 1  # that it was given
    held: str = ""  # as `Want` has it
    errands: str = ""  # as `Want` has them


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


def wanted(standing: Standing) -> Want:
    """Return what there is to order (rule 2)."""
    attempt = "" if standing.wanted == standing.taken else standing.wanted
    return Want(attempt, "" if standing.hung == standing.held else standing.hung or holds.NONE, standing.errands)


def accepted(report: Report, number: tuple[int, int]) -> bool:
    """Tell whether the device has taken orders of this number, or later ones (rule 4)."""
    return (report.epoch, report.counter) >= number


def usable(report: Report, signed: Signed | None, want: Want, now: datetime) -> bool:
    """Tell whether these orders are still the ones to give (rule 3)."""
    if signed is None or accepted(report, (signed.epoch, signed.counter)):
        return False
    return _same(signed, want) and now < signed.ends_at


def taken(report: Report, signed: Signed | None, want: Want, now: datetime) -> bool:
    """Tell whether the device has taken orders that say all that is wanted (rules 4, 6)."""
    if signed is None or not accepted(report, (signed.epoch, signed.counter)):
        return False
    return _covers(signed, want, now) and not (want.held and now - signed.made_at >= LOST)


def repeatable(offer: Offer | None, want: Want, monotonic: float) -> bool:
    """Tell whether the device may be given orders of what is wanted now (rule 5)."""
    return offer is None or not _same(offer, want) or monotonic - offer.given_at >= _pause(offer)


def again(report: Report, standing: Standing, offer: Offer | None, monotonic: float) -> float:
    """Return in how many seconds orders that it has not taken are due once more; infinity if there are none."""
    want = wanted(standing)
    if offer is None or not want or not _same(offer, want):
        return math.inf
    return math.inf if accepted(report, offer.number) else offer.given_at + _pause(offer) - monotonic


def orders(report: Report, standing: Standing, offer: Offer | None, now: datetime, monotonic: float) -> bool:
    """Tell whether the device is to be given orders now (rules 2 to 6), by what memory knows."""
    want = wanted(standing)
    if not want or not repeatable(offer, want, monotonic):
        return False
    if offer is None or not accepted(report, offer.number) or not _covers(offer, want, now):
        return True
    return bool(want.held) and monotonic - offer.given_at >= LOST.total_seconds()


def _same(signed: Signed | Offer, want: Want) -> bool:
    return (signed.attempt, signed.held, signed.errands) == (want.attempt, want.held, want.errands)


def _covers(signed: Signed | Offer, want: Want, now: datetime) -> bool:
    """Tell whether orders that were taken say what is wanted, and maybe more, which the device has done meanwhile."""
    says = want.attempt in {"", signed.attempt} and want.held in {"", signed.held}
    errands = set(want.errands.split()) <= set(signed.errands.split())
    lasts = now < signed.ends_at or not (want.attempt or want.held)  # rule 7
    return says and errands and lasts


def _pause(offer: Offer) -> float:
    """Return for how many seconds these orders are not given again (rule 5)."""
    return float(min(AGAIN, SOONEST * 2 ** min(offer.times - 1, 10)))
