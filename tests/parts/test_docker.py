# SPDX-License-Identifier: Apache-2.0
"""The shell that keeps the tests' own dockerd does what a machine's service manager would do."""

import subprocess
from pathlib import Path

import pytest

from tests.parts import docker

DAEMON = """#!/bin/sh
echo started >> {here}/starts
read -r word < {here}/$(wc -l < {here}/starts) || exit 0
[ "$word" = killed ] && touch {here}/again
exit 1
"""


@pytest.mark.parametrize(
    ("ends", "starts"),
    [
        (("fails",), 1),
        (("killed", "ends"), 2),
        (("killed", "fails", "fails", "ends"), 4),
        (("killed", "fails", "fails", "fails", "fails", "fails"), 5),
        (("killed", "fails", "killed", "fails", "fails", "fails", "ends"), 7),
    ],
    ids=["does not start", "killed", "killed, and twice without containerd", "never again", "killed twice"],
)
def test_a_daemon_that_was_killed_and_does_not_start_at_once_is_started_again_three_times(
    tmp_path: Path, ends: tuple[str, ...], starts: int
) -> None:
    for number, end in enumerate(ends, start=1):
        (tmp_path / str(number)).write_text("" if end == "ends" else f"{end}\n")
    daemon = tmp_path / "dockerd"
    daemon.write_text(DAEMON.format(here=tmp_path))
    daemon.chmod(0o700)
    kept = docker.KEPT.format(setup=":", again=tmp_path / "again", halt=":")
    ran = subprocess.run(["sh", "-c", kept, str(daemon)], check=False, timeout=60)
    assert (tmp_path / "starts").read_text().count("started") == starts
    assert ran.returncode == (0 if ends[starts - 1] == "ends" else 1)
