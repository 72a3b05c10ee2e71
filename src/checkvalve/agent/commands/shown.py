# SPDX-License-Identifier: Apache-2.0
"""How the device's state reads at a terminal: one sentence first, then what there is to look up."""

from datetime import UTC, datetime
from typing import Any

from checkvalve.agent import asides
from checkvalve.agent.budget import CLOSE_MS, MIB
from checkvalve.agent.commands import line
from checkvalve.agent.summary import Summary

_MARKS = {"well": "ok", "odd": "odd", "bad": "BAD"}


def summary(told: Summary) -> None:
    """Print where a device stands."""
    line.tell(f"device {told.device} of plane {told.plane!r}: {' / '.join(told.place) or 'above all sites'}")
    line.facts(
        {
            "state": told.state + (f", attempt {told.attempt}" if told.attempt else ""),
            "waits for": safe(told.waits),
            "runs": _release(told, told.active) or "nothing",
            "values": told.values,
            "before it": _release(told, told.previous),
            "release": _release(told, told.release),
            "why": safe(f"{told.reason}  [{told.code}]") if told.code and told.waits != told.reason else "",
            "permit": safe(told.permit),
            "fetches": _fetches(told),
            "window": f"open for {-(-told.window // 60)} minutes" if told.window else "",
        }
    )
    for each in told.aside:
        said = f"volume {each.volume}, {asides.words(each.size)}, {utc(each.at)}"
        line.facts({"set aside": f"{said}: checkvalve-agent volume list"})
    for tag in told.held:
        where = (
            "at this device" if tag.by == "device" else f"on the plane, at {tag.where}" if tag.where else "on the plane"
        )
        number = f" (number {tag.number})" if tag.number else ""
        line.facts({"HELD": safe(f"{tag.name}: {tag.reason}{number}, since {utc(tag.at)}, hung {where}; {tag.id}")})
    if told.live is None:
        line.facts({"agent": "does not run"})
    else:
        _live(told)
    line.facts(
        {
            "plane at": ", ".join(told.addresses),
            "certificate": f"generation {told.generation}, until {told.certificate_until}",
            "observes": "yes: it reports, and refuses every change" if told.observe else "",
        }
    )


def findings(said: dict[str, Any]) -> None:
    """Print what the doctor found: the verdict, and what it is made of."""
    line.tell(safe(str(said["verdict"])))
    for each in said["findings"]:
        line.tell(f"  {_MARKS.get(each['grade'], '?'):<5}{each['layer']:<9}{safe(each['sentence'])}")


def safe(text: str) -> str:
    """Return the text without what a terminal obeys: containers and strangers write what they like."""
    return "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _release(told: Summary, digest: str) -> str:
    """Return a release as people call it, and as it is known."""
    name = told.names.get(digest, "")
    return f"{name}  ({digest})" if name else digest


def _fetches(told: Summary) -> str:
    spent = f"{told.fetched / MIB:.0f} MiB so far this month" if told.fetched else ""
    return "; ".join(filter(None, (told.fetches, spent)))


def _clock(offset: int | None) -> str:
    """Return how far the clock is off, if it is by more than anything that goes by it allows."""
    if offset is None or abs(offset) <= CLOSE_MS:
        return ""
    return f"{_span(abs(offset) // 1000)} {'ahead of' if offset > 0 else 'behind'} the plane's"


def _live(told: Summary) -> None:
    live = told.live
    if live is None:
        return
    contact = "not since this start" if live.contact is None else f"{_span(live.contact)} ago"
    due = "" if live.due is None else f", again in {_span(live.due)}"
    line.facts({"engine": live.engine or "does not answer", "last contact": contact + due, "plane": safe(live.silent)})
    line.facts({"clock": _clock(live.offset)})
    for each in live.services:
        health = f", {each.health}" if each.health else ""
        restarts = f", {each.restarts} restarts" if each.restarts else ""
        restarts += f", crashed {each.crashes} times" if each.crashes else ""
        slot = "" if each.slot == "active" else f"  [{each.slot}]"
        line.facts({each.service: f"{each.state}{health}{restarts}{slot}"})


def _span(seconds: int) -> str:
    if seconds >= 7_200:
        return f"{seconds // 3_600} h"
    return f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"


def utc(milliseconds: int) -> str:
    """Return a moment of Unix milliseconds for people."""
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
