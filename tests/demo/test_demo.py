# SPDX-License-Identifier: Apache-2.0
"""The demo interrupted, killed and shown wrong facts; that all of it holds is seen by `tests/proofs/test_demo.py`."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from checkvalve.demo import main, report
from checkvalve.demo.facts import Fact, Picture
from checkvalve.demo.stage import Stage
from tests.conftest import NOON

DEMO = (sys.executable, "-m", "checkvalve.main", "demo", "--engine", "simulated")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_that_runs(
    tmp_path: Path, how: signal.Signals, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    # As at a terminal, also where the tests run in the background and take no interrupt.
    command = ["env", "--default-signal=INT", *DEMO, "--build", str(tmp_path)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until((tmp_path / "demo" / "plane.pid").exists)
    demo.send_signal(how)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "The demo was interrupted." in said
    assert running(tmp_path) == []


@pytest.mark.slow
def test_what_a_killed_demo_left_is_stopped_and_removed_by_the_next(
    tmp_path: Path, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    demo = subprocess.Popen([*DEMO, "--build", str(tmp_path)], stdout=subprocess.DEVNULL)
    plane = tmp_path / "demo" / "plane.pid"
    wait_until(lambda: plane.exists() and bool(plane.read_text()))
    demo.kill()
    demo.wait()
    wait_until(lambda: len(running(tmp_path)) == 1)  # the plane
    done = subprocess.run(
        [*DEMO, "--stop", "--build", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Nothing of the demo runs any more.")
    assert running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_fact_that_does_not_hold_is_said_and_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(_: Stage) -> list[Fact]:
        return [Fact("Good", "1", "1", "look", held=True), Fact("Bad", "2", "1", "look", held=False)]

    monkeypatch.setattr(main, "ACTS", (("An act", play),))
    assert main.run(["demo", "--exit", "--engine", "simulated", "--build", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "The containers are simulated (it was asked for)" in said
    assert "NOT HELD  Bad" in said
    assert said.splitlines()[-1] == "demo: 1 facts held, 1 DID NOT"
    assert "1 of 2 facts held" in (tmp_path / "demo-report.html").read_text()


def test_a_defect_in_an_act_stops_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    monkeypatch.setattr(Stage, "stop", lambda _: stopped.set())

    def play(_: Stage) -> list[Fact]:
        raise KeyError("a defect")

    monkeypatch.setattr(main, "ACTS", (("An act", play),))
    with pytest.raises(KeyError, match="a defect"):
        main.run(["demo", "--engine", "simulated", "--build", str(tmp_path)])
    assert stopped.is_set()


def test_the_report_shows_what_was_measured_as_text(tmp_path: Path) -> None:
    fact = Fact("<b>claim</b>", "1 & 2", "1", "look", held=True)
    pictures = [Picture("<i>", "a < b", "<svg></svg>")]
    played = [report.Played("<script>", 1.0, (fact,))]
    page = report.write(tmp_path / "r.html", played, NOON, pictures, "on <Docker>").read_text()
    assert "&lt;b&gt;claim&lt;/b&gt;" in page
    assert "<svg></svg>" in page
    for markup in ("<script>", "<i>", "<Docker>", "a < b"):
        assert markup not in page


def running(directory: Path) -> list[str]:
    """Return the commands of all other processes that name the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                said = (entry / "cmdline").read_text()
            except OSError:
                continue
            found += [said] if str(directory) in said else []
    return found
