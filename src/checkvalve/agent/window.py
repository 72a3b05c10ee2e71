# SPDX-License-Identifier: Apache-2.0
"""A window that somebody at the device opens by hand: for so many minutes, something may be switched.

Rules: 1. it is counted by the clock that never jumps, and belongs to one boot of the machine: a wall clock that is set
opens nothing, and a reboot closes it; 2. what cannot be read is closed; 3. to open it again replaces what was.
"""

from dataclasses import dataclass
from typing import Literal, cast

import msgspec
from msgspec import Struct

from checkvalve import canonical
from checkvalve.agent.ports import Clock, Disk
from checkvalve.crypto import checked
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError

FILE = "window.json"
LONGEST = 480  # minutes


@dataclass(frozen=True)
class Opened:
    """A window that is open: until when, by the wall clock at its opening (Unix ms) and by the one that never jumps."""

    until: int
    ends: float  # monotonic seconds
    by: str


class _Kept(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Times of the clock that never jumps are in milliseconds, rounded so that the window is never longer."""

    boot: str
    begins: int
    ends: int
    until: int
    by: str = ""
    v: Literal[1] = 1


def open_(disk: Disk, clock: Clock, minutes: int, by: str = "") -> Opened:
    """Open it for so many minutes from now, 1 to 480; `by` is who did.

    Raises `InvalidError` (`window.minutes`), `UnavailableError` (`window.boot`: this host does not say its boot id).
    """
    if not 1 <= minutes <= LONGEST:
        raise InvalidError("window.minutes", f"A window is open for 1 to {LONGEST} minutes.", "Say how many: 45.")
    boot = clock.boot_id()
    if not boot:
        raise UnavailableError(
            "window.boot",
            "This host does not say which boot it is in, so a window could outlive a restart.",
            "Give the agent /proc, or set the policy's window to always.",
        )
    now = int(clock.monotonic() * 1000)
    until = max(0, int(clock.now().timestamp() * 1000) + minutes * 60_000)
    kept = _Kept(boot=boot, begins=now, ends=now + minutes * 60_000, until=until, by=by[:100])
    disk.replace(FILE, checked.write(canonical.dumps(cast("canonical.Json", msgspec.to_builtins(kept)))))
    return Opened(kept.until, kept.ends / 1000, kept.by)


def close(disk: Disk) -> None:
    """Have it closed; if it is, nothing happens."""
    disk.remove(FILE)


def opened(disk: Disk, clock: Clock) -> Opened | None:
    """Return the window, None if it is closed or cannot be read. It raises for nothing."""
    try:
        kept = msgspec.convert(canonical.loads(checked.read(disk.read(FILE))), _Kept)
    except (CheckvalveError, msgspec.ValidationError):
        return None
    now = clock.monotonic()
    if not kept.boot or kept.boot != clock.boot_id() or not kept.begins / 1000 <= now < kept.ends / 1000:
        return None
    return Opened(kept.until, kept.ends / 1000, kept.by)


def until(disk: Disk, clock: Clock) -> int:
    """Return until when it is open, as Unix milliseconds of the wall clock at its opening; 0 if it is closed."""
    found = opened(disk, clock)
    return found.until if found else 0
