# SPDX-License-Identifier: Apache-2.0
"""The demo's report: one self-contained page that prints well, its pictures drawn from what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

from checkvalve import __version__
from checkvalve.demo.facts import Fact, Picture

STYLE = files("checkvalve.demo").joinpath("report.css").read_text()


@dataclass(frozen=True)
class Played:
    """One act: its title, how long it took in seconds, and what it found."""

    title: str
    seconds: float
    facts: tuple[Fact, ...]


def write(
    file: Path, played: Sequence[Played], at: datetime, pictures: Sequence[Picture] = (), remark: str = ""
) -> Path:
    """Write the page and return its path; `remark` says what it was played on."""
    facts = [fact for act in played for fact in act.facts]
    held = sum(fact.held for fact in facts)
    drawn = "".join(
        f"<section><h2>{escape(one.title)}</h2><p>{escape(one.sentence)}</p>{one.svg}</section>" for one in pictures
    )
    whole = sum(act.seconds for act in played)
    sections = "".join(_section(number, act) for number, act in enumerate(played, 1))
    headline = f"{held} of {len(facts)} facts held"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Checkvalve demo: {headline}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{headline}</h1><p>Checkvalve {__version__}, {at:%-d %B %Y %H:%M} UTC, played in {whole:.0f} seconds by "
        f"real processes on one machine. {escape(remark)}</p><p>A check valve lets flow pass one way only. Checkvalve "
        "is a management plane for plants, substations and vessels that one runs oneself: devices dial out, nothing "
        "dials in, what may run is signed by people, and a device that fails goes back by itself.</p>"
        f"{drawn}<h2>What held, measured</h2><p>Each line says what was measured, what was aimed at, and how to check "
        f"it without this page.</p>{sections}<section><h2>How long it took</h2>{_bars(played)}</section>"
        "</body></html>\n"
    )
    return file


def _section(number: int, act: Played) -> str:
    rows = "".join(
        f'<tr><td class="{"held" if fact.held else "not"}">{"● held" if fact.held else "■ not held"}</td>'
        f'<td data-is="">{escape(fact.claim)}</td><td data-is="measured">{escape(fact.measured)}</td>'
        f'<td data-is="target">{escape(fact.target)}</td>'
        f'<td data-is="check"><code>{escape(fact.check)}</code></td></tr>'
        for fact in act.facts
    )
    columns = '<col class="state"><col class="claim"><col><col class="target"><col>'
    head = "<tr><th></th><th>Claim</th><th>Measured</th><th>Target</th><th>Check it yourself</th></tr>"
    title = f"{number}. {escape(act.title)}"
    return f"<section><h3>{title}</h3><table>{columns}<thead>{head}</thead><tbody>{rows}</tbody></table></section>"


def _bars(played: Sequence[Played]) -> str:
    """Return the acts as bars on one time line, as SVG."""
    whole = sum(act.seconds for act in played) or 1.0
    bars, began = [], 0.0
    for row, act in enumerate(played):
        left, width = 60 + 840 * began / whole, max(3.0, 840 * act.seconds / whole)
        y = 4 + row * 40
        bars.append(f'<text x="0" y="{y + 11}">{escape(act.title)}</text>')
        bars.append(f'<text class="soft" text-anchor="end" x="50" y="{y + 28}">{act.seconds:.1f} s</text>')
        bars.append(f'<rect class="bar" x="{left:.1f}" y="{y + 18}" width="{width:.1f}" height="11" rx="2"/>')
        began += act.seconds
    height = 10 + 40 * len(played)
    label = f"The acts on one time line of {whole:.0f} seconds"
    return f'<svg viewBox="0 0 900 {height}" role="img" aria-label="{label}">{"".join(bars)}</svg>'
