# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it, and that it would say so if something did not hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkvalve.demo import main, report
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage
from tests.conftest import NOON


@pytest.mark.slow
def test_the_demo_holds_what_it_claims_and_leaves_nothing_but_its_report(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "checkvalve.main", "demo", "--exit", "--build", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[-1]) == (0, "demo: 15 facts held"), done.stdout + done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["demo-report.html"]
    page = (tmp_path / "demo-report.html").read_text()
    assert "15 of 15 facts held" in page
    assert "http" not in page.replace("https://127.0.0.1", "").replace("http-equiv", "")
    running = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _runs_in(entry, tmp_path)]
    assert running == []


def test_a_fact_that_does_not_hold_is_said_and_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(_: Stage) -> list[Fact]:
        return [Fact("Good", "1", "1", "look", held=True), Fact("Bad", "2", "1", "look", held=False)]

    monkeypatch.setattr(main, "ACTS", (("An act", play),))
    assert main.run(["demo", "--exit", "--build", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "NOT HELD  Bad" in said
    assert said.splitlines()[-1] == "demo: 1 facts held, 1 DID NOT"
    assert "1 of 2 facts held" in (tmp_path / "demo-report.html").read_text()


def test_the_report_shows_what_was_measured_as_text(tmp_path: Path) -> None:
    fact = Fact("<b>claim</b>", "1 & 2", "1", "look", held=True)
    page = report.write(tmp_path / "r.html", [report.Played("<script>", 1.0, (fact,))], NOON).read_text()
    assert "&lt;b&gt;claim&lt;/b&gt;" in page
    assert "<script>" not in page


def _runs_in(process: Path, directory: Path) -> bool:
    try:
        return process.name != str(os.getpid()) and str(directory) in (process / "cmdline").read_text()
    except OSError:
        return False
