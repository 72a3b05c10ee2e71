# SPDX-License-Identifier: Apache-2.0
"""Moments as people type and read them on a terminal: always with their zone, and that is UTC."""

import re
from datetime import UTC, datetime, timedelta

from checkvalve.cli.failures import UsageError

_SPAN = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta:
    """Return a length of time such as 30m, 12h, 7d or 2w; `UsageError` (`cli.time`)."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError("cli.time", f"{text!r} is no length of time.", "Write 30m, 12h, 7d or 2w.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def before(text: str, now: datetime) -> datetime:
    """Return the moment that `text` names: itself, or that long ago."""
    return _moment(text, now, -1)


def after(text: str, now: datetime) -> datetime:
    """Return the moment that `text` names: itself, or that long from now."""
    return _moment(text, now, 1)


def short(text: str | None) -> str:
    """Return a moment of the plane (RFC 3339, UTC) for a list: to the minute, `-` where there is none."""
    return f"{text[:10]} {text[11:16]}Z" if text else "-"


def of_clock(milliseconds: int) -> str:
    """Return what a device's clock (Unix milliseconds) showed, to the second: it may be any date, or none there is."""
    try:
        return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds} ms since 1970"


def _moment(text: str, now: datetime, direction: int) -> datetime:
    if _SPAN.fullmatch(text.strip().lower()):
        try:
            return now + direction * span(text)
        except OverflowError:
            raise _wrong(text) from None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _wrong(text) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _wrong(text: str) -> UsageError:
    remedy = "Write 2026-11-03, 2026-11-03T14:00Z, or a length such as 12h or 7d. Without a zone it is UTC."
    return UsageError("cli.time", f"{text!r} is no moment.", remedy)
