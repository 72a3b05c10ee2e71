# SPDX-License-Identifier: Apache-2.0
"""Pictures of the report, as SVG, drawn from what devices signed and wrote: nothing in them is made up.

Colour never says something alone: a legend, a shape or a word does too, and a reader that speaks gets it as a sentence.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from checkvalve.demo.rollouts import Member
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import Step

WIDTH = 900
_LEFT, _RIGHT, _ROW = 150, 110, 22
# state of a receipt's step -> how its stretch is drawn, and what it is called
_STRETCHES: dict[State, tuple[str, str]] = {
    State.OFFERED: ("fetch", "fetches and checks"),
    State.FETCHING: ("fetch", "fetches and checks"),
    State.STAGED: ("fetch", "fetches and checks"),
    State.SWITCHING: ("switch", "switches"),
    State.VERIFYING: ("watch", "is watched"),
    State.ROLLING_BACK: ("back", "goes back"),
}


@dataclass(frozen=True)
class _Scale:
    """Where a moment (Unix ms) stands, from left to right."""

    first: int
    whole: int

    def x(self, at: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (at - self.first) / self.whole


def waves(members: Sequence[Member], dark: tuple[datetime, datetime] | None = None) -> str:
    """Return when each device did what in a rollout, by the steps that it signed; `dark`: there was no plane."""
    signed = [(each, each.said.steps) for each in members if each.said is not None]
    between = [round(each.timestamp() * 1000) for each in dark or ()]
    moments = [step.at for _, steps in signed for step in steps] + between or [0]
    scale = _Scale(min(moments), max(max(moments) - min(moments), 1))
    parts, y, wave = [], 6, -1
    for member, steps in signed:
        if member.wave != wave:
            wave = member.wave
            parts.append(f'<text class="soft" x="0" y="{y + 18}">{"canary" if wave == 0 else f"wave {wave}"}</text>')
            y += 24
        parts.append(f'<text x="0" y="{y + 13}">{escape(member.agent.name)}</text>')
        parts += _stretches(scale, steps, y)
        y += _ROW
    if between:
        left, right = (scale.x(each) for each in between)
        parts.insert(0, f'<rect class="dark" x="{left:.1f}" y="4" width="{right - left:.1f}" height="{y}"/>')
        parts.append(
            f'<text class="bad" x="{left + 6:.1f}" y="20">no plane: {(between[1] - between[0]) / 1000:.1f} s</text>'
        )
    parts += [_axis(scale, y + 14), _legend(y + 48)]
    took = sum(steps[-1].state is State.COMMITTED for _, steps in signed)
    label = f"{took} of {len(signed)} devices in {wave + 1} waves committed, in {scale.whole / 1000:.0f} seconds"
    return _svg(y + 58, label, parts)


def _stretches(scale: _Scale, steps: Sequence[Step], y: int) -> list[str]:
    """Return the states of one device as stretches, and how it ended."""
    parts = []
    for one, after in itertools.pairwise(steps):
        kind = _STRETCHES.get(one.state, ("fetch", ""))[0]
        left, width = scale.x(one.at), max(scale.x(after.at) - scale.x(one.at), 1.0)
        parts.append(f'<rect class="{kind}" x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="12"/>')
    good, end = steps[-1].state is State.COMMITTED, scale.x(steps[-1].at)
    said = steps[-1].state.value.replace("_", " ")
    parts.append(_mark(end + 9, y + 9, good=good))
    parts.append(f'<text class="{"ok" if good else "bad"}" x="{end + 20:.1f}" y="{y + 13}">{said}</text>')
    return parts


def journal(events: Sequence[Event]) -> str:
    """Return lines of a device's journal as a line of time, with the gap in which it had no power."""
    parts, y = [], 14
    boots = [number for number, each in enumerate(events) if each.kind == "boot"]
    parts.append(f'<line class="rail" x1="14" y1="{y}" x2="14" y2="{y + 46 * (len(events) - 1)}"/>')
    for number, event in enumerate(events):
        if number in boots and number:
            gap = (event.at - events[number - 1].at) / 1000
            parts.append(f'<line class="gap" x1="14" y1="{y - 38}" x2="14" y2="{y - 8}"/>')
            parts.append(
                f'<text class="bad" x="34" y="{y - 19}">here the plug is pulled; {gap:.1f} s to the next line</text>'
            )
        ended = event.kind == "state" and event.state is State.ROLLED_BACK
        parts.append(_mark(14, y, good=False) if ended else _dot(14, y))
        parts.append(f'<text class="mono" x="34" y="{y + 5}">{time(event.at)}</text>')
        parts.append(f'<text class="strong" x="140" y="{y + 5}">{escape(word(event))}</text>')
        parts.append(f'<text class="soft" x="250" y="{y + 5}">{escape(event.reason)}</text>')
        y += 46
    label = "; ".join(f"{time(each.at)} {word(each)}" for each in events)
    return _svg(y - 20, label, parts)


def estate(sites: Mapping[str, Sequence[tuple[str, str, str]]]) -> str:
    """Return the devices by site: the name of each, the release that it runs, and what it signed in all."""
    parts, y = [], 6
    for site, devices in sites.items():
        parts.append(f'<text class="soft" x="0" y="{y + 12}">{escape(site)}</text>')
        for number, (name, runs, signed) in enumerate(devices):
            left = number * 226
            parts.append(f'<rect class="card" x="{left}" y="{y + 20}" width="216" height="68" rx="6"/>')
            parts.append(_mark(left + 16, y + 38, good=bool(runs)))
            parts.append(f'<text class="strong" x="{left + 30}" y="{y + 43}">{escape(name)}</text>')
            parts.append(f'<text x="{left + 30}" y="{y + 61}">{escape(runs or "nothing runs")}</text>')
            parts.append(f'<text class="soft" x="{left + 30}" y="{y + 78}">{escape(signed)}</text>')
        y += 104
    count = sum(len(devices) for devices in sites.values())
    return _svg(y, f"{count} devices at {len(sites)} sites, and what each runs", parts)


def time(at: int) -> str:
    """Return the time of the day of Unix milliseconds, UTC."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S.%f}"[:-3]


def word(event: Event) -> str:
    """Return what a line of a journal says happened."""
    return event.state.value.replace("_", " ") if event.kind == "state" else event.kind


def _axis(scale: _Scale, y: int) -> str:
    step = next(each for each in (1, 2, 5, 10, 20, 60, 600, 10**9) if scale.whole / 1000 / each <= 10)
    marks = []
    for second in range(0, scale.whole // 1000 + 1, step):
        at = scale.x(scale.first + second * 1000)
        marks.append(f'<line class="tick" x1="{at:.1f}" y1="{y - 8}" x2="{at:.1f}" y2="{y - 3}"/>')
        marks.append(f'<text class="soft" text-anchor="middle" x="{at:.1f}" y="{y + 10}">{second} s</text>')
    return "".join(marks)


def _legend(y: int) -> str:
    parts, left = [], _LEFT
    for kind, said in dict(_STRETCHES.values()).items():
        parts.append(f'<rect class="{kind}" x="{left}" y="{y - 10}" width="18" height="12"/>')
        parts.append(f'<text class="soft" x="{left + 24}" y="{y}">{said}</text>')
        left += 44 + 7 * len(said)
    return "".join(parts)


def _mark(x: float, y: float, *, good: bool) -> str:
    """Return a dot for what is well, a square for what went back."""
    if good:
        return f'<circle class="okmark" cx="{x:.1f}" cy="{y}" r="5"/>'
    return f'<rect class="badmark" x="{x - 4.5:.1f}" y="{y - 4.5}" width="9" height="9"/>'


def _dot(x: float, y: float) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="5"/>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">{body}</svg>'
