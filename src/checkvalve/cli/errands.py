# SPDX-License-Identifier: Apache-2.0
"""Small orders in words: what was ordered, what it waits for, how it ended, and what to do next."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from checkvalve.cli import client, times
from checkvalve.cli.progress import duration, size
from checkvalve.protocol import errands as forms
from checkvalve.protocol import fleet
from checkvalve.protocol.enrol import LinkClass

_WHAT = {"logs": "logs", "restart": "restart", "bundle": "support bundle", "reboot": "reboot"}
_NEXT: Mapping[str, str] = {
    "hold.hung": "See whose tag hangs: checkvalve device show {name}. When it is lifted, order this again.",
    "errand.busy": "See what it is at: checkvalve device show {name}. When that has ended, order this again.",
    "errand.service": "See what runs there: checkvalve device show {name}",
    "errand.late": "It came too late for this one. Order it again, and leave it more time: --within 12h",
    "device.observes": "Whoever set it up to observe only can end that, at the device.",
    "disk.full": "Make room on its disk, then order this again.",
    "reboot.unable": "Its agent may not start the machine anew; the guide on small orders says what it needs.",
}
"""What to do about a refusal, by its code; `{name}` is the device's."""
_ENDS: Mapping[str, str] = {
    "refused": "Nothing was changed. What it did is in its journal: checkvalve device log {name}",
    "failed": "Look at it: checkvalve device show {name}; what it did: checkvalve device log {name}",
    "lost": "Look when it was last heard: checkvalve device show {name}. What it says of this one later counts still.",
    "cancelled": "Order it again if it is wanted after all.",
}
_OF_GROUP: Mapping[str, str] = {
    "permit": "The permit is asked at the line itself: when it says yes, order this again.",
    "window": "Open its window there, with: checkvalve-agent window open 45m. Then order this again.",
}
"""The same, by what their codes begin with."""


def at(errand: str, *more: str) -> str:
    """Return the address of a small order; `UsageError` (`cli.id`)."""
    return "/".join(("/api/v1/errands", client.reference(errand), *more))


def what(one: forms.Errand) -> str:
    """Return what was ordered: `restart of web`, `logs`."""
    return f"{_WHAT[one.kind]} of {one.service}" if one.service else _WHAT[one.kind]


def state(one: forms.Errand) -> str:
    """Return how it stands, as lists have it."""
    return "given" if one.state == "waiting" and one.given_at else one.state


def outcome(one: forms.Errand) -> str:
    """Return what came of it, as lists have it."""
    said = f"{one.reason} {_code(one)}".strip()
    return said or (size(one.content.size) if one.content else "-")


def waits(one: forms.Errand, device: fleet.Device, interval: int, now: datetime) -> tuple[str, str]:
    """Return what it waits for: the stage, which changes seldom, and the sentence, which counts.

    `interval` is the device's, in seconds.
    """
    if now >= datetime.fromisoformat(one.until):
        return "over", f"It may not be begun any more; nothing was heard of it since {times.short(one.until)}."
    if one.given_at is not None:
        return "given", f"{device.name} was given it {_ago(one.given_at, now)} ago, and has not said how it ended."
    back = f"it may begin this until {times.short(one.until)}."
    if device.seen_at is None:
        return "never", f"{device.name} was never heard; {back}"
    if device.liveness == "offline":
        return "offline", f"{device.name} is off line, last heard {_ago(device.seen_at, now)} ago; {back}"
    if device.link is not LinkClass.ASYNC:
        return "soon", f"{device.name} holds its connection and hears of it at once."
    left = (datetime.fromisoformat(device.seen_at) + timedelta(seconds=interval) - now).total_seconds()
    if left < 0:
        return "due", f"Waits for the next visit of {device.name}, which is due; {back}"
    return "visit", f"Waits for the next visit of {device.name}: about {_about(left)} at its interval; {back}"


def ended(one: forms.Errand, name: str) -> str:
    """Return how it ended, as a sentence."""
    said = f": {one.reason}" if one.reason else "."
    how = {
        "done": f"{name}: the {what(one)} is done{said}",
        "refused": f"{name} refused the {what(one)}{said}",
        "failed": f"{name}: the {what(one)} failed{said}",
        "cancelled": f"The {what(one)} for {name} was cancelled{said}",
        "lost": f"Nothing was heard of the {what(one)} that {name} was to carry out{said}",
        "waiting": f"The {what(one)} for {name} waits{said}",
    }[one.state]
    return f"{how} {_code(one)}".strip()


def following(one: forms.Errand, name: str) -> list[str]:
    """Return what to do next, a line each; `name` is the device's."""
    if one.state == "waiting":
        return [
            f"Look again with: checkvalve device errand {one.id}",
            f"Take it back with: checkvalve device cancel {one.id}",
        ]
    if one.state == "done":
        return []
    said = _NEXT.get(one.code) or _OF_GROUP.get(one.code.partition(".")[0], _ENDS[one.state])
    return [said.format(name=f'"{name}"' if " " in name else name)]


def _code(one: forms.Errand) -> str:
    """Return the code of a device's refusal or failure; what the plane ended says by its state what it is."""
    return f"[{one.code}]" if one.code and one.state in {"refused", "failed"} else ""


def _ago(moment: str, now: datetime) -> str:
    return duration((now - datetime.fromisoformat(moment)).total_seconds())


def _about(seconds: float) -> str:
    """Return a length of time without what nobody knows so exactly."""
    return duration(seconds) if seconds < 90 else duration(60 * round(seconds / 60))
