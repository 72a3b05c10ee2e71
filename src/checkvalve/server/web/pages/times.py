# SPDX-License-Identifier: Apache-2.0
"""How does a moment read? Relative in lists, exact with its zone on hover; the plane knows UTC only."""

from datetime import UTC, datetime, timedelta

from checkvalve.server.web import texts

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def exact(moment: datetime) -> str:
    """Return `3 Nov 2026 14:02:11 UTC`."""
    there = moment.astimezone(UTC)
    return f"{there.day} {_MONTHS[there.month - 1]} {there.year} {there:%H:%M:%S} UTC"


def clock(moment: datetime, now: datetime) -> str:
    """Return `14:02:11 UTC` on the day of `now`, `3 Nov 14:02 UTC` on another, with the year in another year."""
    there, here = moment.astimezone(UTC), now.astimezone(UTC)
    if there.date() == here.date():
        return f"{there:%H:%M:%S} UTC"
    year = "" if there.year == here.year else f" {there.year}"
    return f"{there.day} {_MONTHS[there.month - 1]}{year} {there:%H:%M} UTC"


def relative(moment: datetime, now: datetime) -> str:
    """Return `12 min ago`, `in 6 days`, or `just now` within two seconds."""
    away = moment - now
    if abs(away) < timedelta(seconds=2):
        return texts.say("time.now")
    return texts.say("time.in" if away > timedelta(0) else "time.ago", span=span(abs(away)))


def span(length: timedelta) -> str:
    """Return `12 min`, `6 days`."""
    seconds = int(length.total_seconds())
    if seconds < 60:
        return texts.say("time.s", n=seconds)
    if seconds < 3_600:
        return texts.say("time.min", n=seconds // 60)
    if seconds < 48 * 3_600:
        return texts.say("time.h", n=seconds // 3_600)
    return texts.count("time.day", seconds // 86_400)


def of_clock(milliseconds: int) -> datetime | None:
    """Return the moment of Unix milliseconds by a clock, which may show any number; None if no calendar has it."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
