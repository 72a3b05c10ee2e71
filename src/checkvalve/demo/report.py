# SPDX-License-Identifier: Apache-2.0
"""The demo's report: one self-contained page that prints well, its picture drawn from what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

from checkvalve import __version__
from checkvalve.demo.facts import Fact

STYLE = files("checkvalve.demo").joinpath("report.css").read_text()


@dataclass(frozen=True)
class Played:
    """One act: its title, how long it took in seconds, and what it found."""

    title: str
    seconds: float
    facts: tuple[Fact, ...]


def write(file: Path, played: Sequence[Played], at: datetime) -> Path:
    """Write the page and return its path."""
    facts = [fact for act in played for fact in act.facts]
    held = sum(fact.held for fact in facts)
    sections = "".join(_section(number, act) for number, act in enumerate(played, 1))
    headline = f"{held} of {len(facts)} facts held"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Checkvalve demo: {headline}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{headline}</h1><p>Checkvalve {__version__}, {at:%-d %B %Y %H:%M} UTC, real processes on one machine. "
        "Each line says what was measured, what was aimed at, and how to check it without this page.</p>"
        f"{_picture(played)}{sections}</body></html>\n"
    )
    return file


def _section(number: int, act: Played) -> str:
    rows = "".join(
        f'<tr><td class="{"held" if fact.held else "not"}">{"● held" if fact.held else "■ not held"}</td>'
        f"<td>{escape(fact.claim)}</td><td>{escape(fact.measured)}</td><td>{escape(fact.target)}</td>"
        f"<td><code>{escape(fact.check)}</code></td></tr>"
        for fact in act.facts
    )
    columns = '<col class="state"><col class="claim"><col><col class="target"><col>'
    head = "<tr><th></th><th>Claim</th><th>Measured</th><th>Target</th><th>Check it yourself</th></tr>"
    return f"<section><h2>{number}. {escape(act.title)}</h2><table>{columns}{head}{rows}</table></section>"


def _picture(played: Sequence[Played]) -> str:
    """Return the acts as bars on one time line, as SVG."""
    whole = sum(act.seconds for act in played) or 1.0
    bars, began = [], 0.0
    for row, act in enumerate(played):
        left, width = 20 + 860 * began / whole, max(3.0, 860 * act.seconds / whole)
        y = 12 + row * 34
        bars.append(
            f'<text x="20" y="{y + 9}">{escape(act.title)}: {act.seconds:.1f} s</text>'
            f'<rect class="bar" x="{left:.1f}" y="{y + 14}" width="{width:.1f}" height="8" rx="2"/>'
        )
        began += act.seconds
    height = 24 + 34 * len(played)
    label = f"The acts on one time line of {whole:.0f} seconds"
    return f'<svg viewBox="0 0 900 {height}" role="img" aria-label="{label}">{"".join(bars)}</svg>'
