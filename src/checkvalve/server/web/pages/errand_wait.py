# SPDX-License-Identifier: Apache-2.0
"""When does a device hear of what was ordered of it?

Rules: 1. one with a link that stands hears at once, one that calls at its interval is expected an interval after it was
last heard; 2. of one that is silent nothing is expected: what was ordered waits for it, until its time is over; 3. it
is said as a time of day, not as how long that is.
"""

from datetime import timedelta

from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.fleet.model import Device
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, times
from checkvalve.server.web.pages.view import View


def waits(view: View, device: Device, until: str) -> tuple[str, str]:
    """Return the name of the text that says what to do, and a sentence that says why."""
    how, said = _when(view, device)
    name = "errand.next_silent" if how in {"silent", "never"} else "errand.next_waiting"
    why = {"silent": "errand.next_silent_why", "never": "errand.next_silent_never"}.get(
        how, f"errand.next_waiting_{how}"
    )
    return name, texts.say(why, until=until, **said)


def hears(view: View, device: Device) -> str:
    """Return when the device would hear of what is ordered now, as a sentence."""
    how, said = _when(view, device)
    return texts.say(f"errands.when_{how}", **said)


def _when(view: View, device: Device) -> tuple[str, dict[str, str]]:
    if device.seen_at is None:
        return "never", {}
    if not fleet_view.is_heard(view, device):
        return "silent", {"when": times.clock(device.seen_at, view.now)}  # rule 2
    if device.link is LinkClass.REMOTE:
        return "now", {}
    every = timedelta(seconds=device.interval)
    expected, said = device.seen_at + every, {"every": times.span(every)}
    if expected <= view.now:
        return "soon", said
    return "at", said | {"when": times.clock(expected, view.now)}
