# SPDX-License-Identifier: Apache-2.0
"""What is known of a rollout that is watched: how far it is, how fast it goes, and how old that knowledge is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from checkvalve import clock
from checkvalve.cli import rollouts
from checkvalve.cli.progress import duration
from checkvalve.protocol import rollout as forms

WINDOW = 60.0  # seconds that the rate is taken over
ENDED = frozenset({"done", "undone", "cancelled"})


@dataclass
class View:
    """What the plane last answered. `away_since` is when it first did not, in seconds of `monotonic`."""

    progress: forms.RolloutProgress
    monotonic: Callable[[], float] = clock.monotonic
    now: Callable[[], datetime] = clock.now
    away_since: float | None = None
    _ends: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.learn(self.progress)

    def learn(self, progress: forms.RolloutProgress) -> None:
        """Take an answer in."""
        now = self.monotonic()
        self.progress, self.away_since = progress, None
        ended = sum(one.committed + one.failed + one.left for one in progress.waves)
        self._ends = [(at, count) for at, count in self._ends if now - at <= WINDOW] + [(now, ended)]

    def miss(self) -> None:
        """Note that the plane did not answer."""
        if self.away_since is None:
            self.away_since = self.monotonic()

    @property
    def rollout(self) -> forms.Rollout:
        """The rollout itself."""
        return self.progress.rollout

    @property
    def over(self) -> bool:
        """Whether there is nothing more to watch, or the judge asks for somebody; a person's pause is waited out."""
        one = self.rollout
        return one.state in ENDED or (one.state == "paused" and one.code != rollouts.BY_PERSON)

    @property
    def away(self) -> float:
        """How many seconds the plane has not answered; 0 while it does."""
        return 0.0 if self.away_since is None else self.monotonic() - self.away_since

    @property
    def lasted(self) -> float | None:
        """How many seconds the rollout has gone on, or went on; None before its start. Clocks may differ: never < 0."""
        one = self.rollout
        if one.started_at is None:
            return None
        end = datetime.fromisoformat(one.ended_at) if one.ended_at else self.now()
        return max(0.0, (end - datetime.fromisoformat(one.started_at)).total_seconds())

    @property
    def rate(self) -> float:
        """How many devices ended in a minute, lately; 0 if none did, or if it is too early to say."""
        (first, before), (last, after) = self._ends[0], self._ends[-1]
        return (after - before) * 60 / (last - first) if last - first >= 1 else 0.0

    @property
    def pace(self) -> str:
        """How long it has gone on, and how fast, as far as that is known."""
        lasted, rate = self.lasted, self.rate
        said = [] if lasted is None else [duration(lasted)]
        if rate and self.rollout.state == "started":
            said.append(f"{rate:.0f} devices/min" if rate >= 1 else "less than 1 device/min")
        return ", ".join(said)

    @property
    def open(self) -> str:
        """How many of its waves are open, where there are several."""
        one = self.rollout
        return f"{one.wave + 1} of {one.waves} waves open" if one.waves > 1 else ""

    @property
    def sentence(self) -> str:
        """What it waits for, or why it stands."""
        one = self.rollout
        match one.state:
            case "draft":
                return "It is a draft; nobody has proposed it yet."
            case "proposed":
                return "It has not started yet."
            case "paused" if one.code == rollouts.BY_PERSON:
                return f"Paused by {one.reason} Go on with: checkvalve rollout resume {one.id}"
            case "paused":
                return f"Paused: {one.reason}"
            case _:
                return self.progress.reason

    @property
    def absence(self) -> str:
        """What there is to say of a plane that does not answer; nothing while it does."""
        return "" if self.away_since is None else f"No answer for {duration(self.away)}; trying again."

    def line(self) -> str:
        """Return all of it as one line, for where nobody can draw."""
        counts = ", ".join(rollouts.counts(self.progress.waves))
        steps = rollouts.steps(self.progress.waves)
        parts = [self.rollout.state, self.open, counts + (f" ({steps})" if steps else ""), self.sentence]
        return f"{self.now().strftime('%H:%M:%SZ')}  " + "  ".join(part for part in parts if part)
