# SPDX-License-Identifier: Apache-2.0
"""The demo holds with real containers as it does with played ones, and leaves nothing on the engine."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.demo.test_demo import running
from tests.parts import docker

COMMAND = (sys.executable, "-m", "checkvalve.main", "demo", "--exit", "--engine", "docker")
FACTS = 31
KINDS = (("ps", "-aq"), ("network", "ls", "-q"), ("image", "ls", "-aq"), ("volume", "ls", "-q"))


@pytest.mark.slow
@pytest.mark.real_parts
@pytest.mark.timeout(300)
def test_the_demo_holds_on_docker_and_leaves_nothing_there(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="checkvalve-demo-") as directory, docker.running(Path(directory)) as engine:
        before = [set(engine.run(*kind).split()) for kind in KINDS]
        done = subprocess.run(
            [*COMMAND, "--build", str(tmp_path)],
            env=os.environ | {"DOCKER_HOST": engine.socket},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout.splitlines()
        assert (done.returncode, said[-1:]) == (0, [f"demo: {FACTS} facts held"]), done.stdout + done.stderr
        assert said[1].startswith("The containers run on Docker ")
        assert [set(engine.run(*kind).split()) for kind in KINDS] == before
        assert [file.name for file in tmp_path.iterdir()] == ["demo-report.html"]
        page = (tmp_path / "demo-report.html").read_text()
        assert f"{FACTS} of {FACTS} facts held" in page
        assert page.count("<svg") == 5
        for remote in ("http://", "src=", "href=", "@import", "url("):
            assert remote not in page
        assert "https://" not in page.replace("https://127.0.0.1", "")
        assert running(tmp_path) == []
