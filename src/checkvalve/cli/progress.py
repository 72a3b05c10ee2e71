# SPDX-License-Identifier: Apache-2.0
"""How far is it, how fast does it go, and how long will it take? One line of a terminal, written over and over."""

from collections.abc import Callable
from dataclasses import dataclass, field

from checkvalve.cli import output

EVERY = 0.2  # seconds between two lines: as often as somebody reads
WINDOW = 10.0  # seconds that the rate is taken over, so that it neither flickers nor remembers the start
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def size(count: int) -> str:
    """Return a number of bytes as people read it: `12 B`, `3.4 GiB`."""
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a length of time as people read it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    large, small, units = (whole, 60, "min s") if whole < 3600 else (whole // 60, 60, "h min")
    first, second = units.split()
    return f"{large // small} {first}" + (f" {large % small} {second}" if large % small else "")


@dataclass
class Progress:
    """The way of one file. `total` is None where nobody knows it; `clock` counts seconds."""

    name: str
    total: int | None
    clock: Callable[[], float]
    _told: float = field(default=float("-inf"), repr=False)
    _seen: list[tuple[float, int]] = field(default_factory=list, repr=False)

    def __call__(self, done: int) -> None:
        """Show that `done` bytes are there, if it is time to."""
        now = self.clock()
        if now - self._told >= EVERY or done == self.total:
            self._told = now
            output.passing(self.line(now, done))

    def line(self, now: float, done: int) -> str:
        """Return what to show at `now`."""
        self._seen = [(at, count) for at, count in self._seen if now - at <= WINDOW] + [(now, done)]
        (first, before), parts = self._seen[0], [self.name]
        rate = (done - before) / (now - first) if now > first else 0.0
        if self.total is None:
            parts.append(size(done))
        elif done >= self.total:
            parts.append(f"{size(done)} sent; the plane reads it")
        else:
            parts.append(f"{size(done)} of {size(self.total)}  {100 * done // self.total} %")
        if rate:
            parts.append(f"{size(round(rate))}/s")
        if rate and self.total is not None and done < self.total:
            parts.append(f"{duration((self.total - done) / rate)} left")
        return "  ".join(parts)
