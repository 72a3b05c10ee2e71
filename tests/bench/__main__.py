# SPDX-License-Identifier: Apache-2.0
"""Measures everything, writes `build/bench.json` and `docs/reference/benchmarks.md`, and prints the table."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench import assessing, crossing, decisions, faces, lasting, rows, supply, switching, waking
from tests.bench.measure import Measure

SUBJECTS = (decisions, rows, faces, assessing, crossing, waking, switching, lasting, supply)
HEAD = """# Benchmarks

Made by `make bench`; never edited by hand. A number without an aim stands beside others, or waits for one.
"""


def main() -> int:
    """Measure, write, print."""
    Path("build").mkdir(exist_ok=True)
    taken: list[Measure] = []
    for subject in SUBJECTS:
        for measure in _measured(subject):
            taken.append(measure)
            met = {True: "met", False: "NOT MET", None: ""}[measure.met]
            print(f"{measure.name:48} {_number(measure.value):>10} {measure.unit:4} {measure.aim:10} {met}")
    said = [{"name": m.name, "value": m.value, "unit": m.unit, "aim": m.aim, "met": m.met, "how": m.how} for m in taken]
    Path("build/bench.json").write_text(json.dumps(said, indent=2) + "\n")
    Path("docs/reference/benchmarks.md").write_text(_page(taken))
    return 0


def _measured(subject: ModuleType) -> Iterator[Measure]:
    """Yield what a subject measures; a part that this machine lacks is said, and costs only its own numbers."""
    try:
        yield from subject.measures()
    except pytest.skip.Exception as missing:
        print(f"not measured: {missing}")


def _page(taken: list[Measure]) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True).stdout
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    where = f"Last run {when} at {commit.strip() or 'no commit'}, two cores, Python {platform.python_version()}."
    lines = [HEAD, where, "", "| what | measured | aim | met | how |", "|---|---|---|---|---|"]
    for m in taken:
        met = {True: "yes", False: "**no**", None: ""}[m.met]
        lines.append(f"| {m.name} | {_number(m.value)} {m.unit} | {m.aim} | {met} | {m.how} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
