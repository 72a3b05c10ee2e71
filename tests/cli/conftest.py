# SPDX-License-Identifier: Apache-2.0
"""A plane to talk to, servers that pretend to be one, and a terminal to type into."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.impostor import Authority, Impostor
from tests.cli.terminal import Terminal, sign_in
from tests.parts.plane import PASSWORD, PlaneProcess


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take away what the developer's own environment says."""
    for name in ("URL", "TOKEN", "CA", "CONFIG", "TIMEOUT"):
        monkeypatch.delenv(f"CHECKVALVE_{name}", raising=False)
    for name in ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY", "https_proxy", "all_proxy", "http_proxy", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def terminals(
    tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Terminal]:
    """Return a maker of terminals, one for each person."""

    def made(name: str) -> Terminal:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        return Terminal(home, environment, capsys)

    return made


@pytest.fixture
def terminal(terminals: Callable[[str], Terminal]) -> Terminal:
    """Return one terminal where nobody is signed in."""
    return terminals("home")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """Serve one plane for all tests of this process: each makes what it needs, under names of its own."""
    directory = tmp_path_factory.mktemp("cli")
    (directory / "password").write_text(PASSWORD + "\n")
    plane = PlaneProcess(directory / "plane")
    made = plane.init("--name", "norra")
    assert made.returncode == 0, made.stderr
    yield plane.start()
    plane.close()


@pytest.fixture
def signed_in(terminal: Terminal, plane: PlaneProcess) -> Terminal:
    """Return a terminal where the administrator is signed in."""
    sign_in(terminal, plane, "admin")
    return terminal


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a certificate authority of its own, with a certificate for localhost."""
    return Authority.made(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def impostor(authority: Authority) -> Iterator[Impostor]:
    """Serve something that is no plane."""
    with Impostor.serving(authority) as served:
        yield served
