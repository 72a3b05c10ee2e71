# SPDX-License-Identifier: Apache-2.0
"""The commands of the guide, run in their order against a real plane by the people they are written for."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cabinet import Cabinet
from tests.parts import archives
from tests.parts.guide import GUIDE, commands
from tests.parts.plane import CHECKVALVE, PASSWORD, PlaneProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Ids that the guide writes in capitals, and the command whose `--quiet` prints them.
MADE_BY = {
    "BINDING": ("binding", "create"),
    "ROLLOUT": ("rollout", "draft"),
    "APPROVAL": ("rollout", "propose"),
}
LINE = ("device", "invite")  # what it prints is typed on a device
TYPED = {("person", "create"), ("token", "create")}  # where a person types a password
SEALED = {("keys", "make"), ("keys", "init"), ("keys", "sign"), ("release", "sign")}  # and where a passphrase


class Desk:
    """One person at a terminal, signed in to the plane by CLI."""

    def __init__(self, plane: PlaneProcess, directory: Path, login: str) -> None:
        self.password = directory / "password"
        self.password.write_text(PASSWORD + "\n")
        self._folder = directory
        self._env = {**os.environ, "CHECKVALVE_CONFIG": str(directory / f"{login}.json")}
        self.run("login", plane.url, "--pin", plane.pin, "--login", login, "--password-file", str(self.password))

    def run(self, *words: str) -> str:
        """Run a command and return what it printed; fail on any exit code but 0."""
        done = subprocess.run(
            [*CHECKVALVE, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self._env,
            cwd=self._folder,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def follow(self, words: list[str], made: dict[str, str]) -> str:
        """Run a command of the guide, with the ids that earlier ones made."""
        said = [made.get(word, word) for word in words]
        if tuple(words[:2]) in TYPED:
            said += ["--password-file", str(self.password)]
        if tuple(words[:2]) in SEALED:
            said += ["--passphrase-file", str(self.password)]
        if ">" in said:
            at = said.index(">")
            (self._folder / said[at + 1]).write_text(self.run(*said[:at]))
            return ""
        for name, command in MADE_BY.items():
            if tuple(words[:2]) == command:
                made[name] = self.run(*said, "--quiet").split()[0]
                return made[name]
        return self.run(*said, "--yes")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[PlaneProcess]:
    plane = PlaneProcess(tmp_path / "plane")
    assert plane.init().returncode == 0
    yield plane.start()
    plane.close()


def test_the_guide_can_be_followed_word_by_word(plane: PlaneProcess, tmp_path: Path) -> None:
    admin = Desk(plane, tmp_path, "admin")
    made: dict[str, str] = {}
    people = list(commands("people.md"))
    assert len(people) >= 8
    for words in people:
        admin.follow(words, made)
    admin.run("person", "enable", "bo")
    admin.run("binding", "create", "bo", "operator", "--scope", "Norra Water")
    admin.run(
        "person",
        "create",
        "ingrid",
        "--name",
        "Ingrid",
        "--scope",
        "Norra Water",
        "--password-file",
        str(admin.password),
    )
    admin.run("binding", "create", "ingrid", "access-approver", "--scope", "Norra Water")
    _release(plane, tmp_path, admin, made)
    _devices(plane, tmp_path, admin, made)
    press = admin.run("device", "invite", "--site", "Visby waterworks", "--tag", "press-line", "--json")
    Cabinet(tmp_path / "press").joined(json.loads(press)["command"])
    desks = {"rollout": Desk(plane, tmp_path, "bo"), "approval": Desk(plane, tmp_path, "ingrid")}
    said = [desks[words[0]].follow(words, made) for words in commands("approvals.md")]
    assert any("pump-station@sha256:" in text for text in said)
    assert "started" in desks["rollout"].run("rollout", "show", made["ROLLOUT"])
    made["ENTRY"] = admin.run("audit", "list", "--limit", "1", "--quiet").split()[0]
    for words in commands("record.md"):
        if ">" not in words:
            admin.follow(words, made)


def _release(plane: PlaneProcess, folder: Path, admin: Desk, made: dict[str, str]) -> None:
    """Follow the page on releases, with the compose file that it shows."""
    words = ["--name", "Rut", "--scope", "Norra Water", "--password-file", str(admin.password)]
    admin.run("person", "create", "rut", *words)
    admin.run("binding", "create", "rut", "release-manager", "--scope", "Norra Water")
    rut = Desk(plane, folder, "rut")
    (folder / "historian.tar").write_bytes(archives.docker([archives.Image(names=["historian:2.4"])]))
    (block,) = re.findall(r"```yaml\n(.*?)```", (GUIDE / "releases.md").read_text(), re.DOTALL)
    (folder / "compose.yaml").write_text(block)
    said = [(admin if words[0] == "trust" else rut).follow(words, made) for words in commands("releases.md")]
    assert len(said) >= 15
    assert '"state":"published"' in rut.run("release", "list", "--json")
    for command in re.findall(r"\| `checkvalve ([^`…]*)` \|", (GUIDE / "releases.md").read_text()):
        rut.run(*shlex.split(command.replace("2.4.0", "2.4.1")), "--yes")
        if command.split()[1] in {"withdraw", "floor", "renew"}:
            rut.run("release", "discard", "--yes")


def _devices(plane: PlaneProcess, folder: Path, admin: Desk, made: dict[str, str]) -> None:
    """Follow the page on devices, with a machine of its own that the printed line is typed on."""
    cabinet = Cabinet(folder / "cabinet")
    said: list[list[str]] = []
    for words in commands("devices.md"):
        out = admin.follow(words, made)
        said.append(words)
        if tuple(words[:2]) == LINE:
            made["DEVICE"] = cabinet.joined(out.strip()).device
            cabinet.signs(plane)
            other = admin.run("device", "invite", "--site", "Visby waterworks", "--json")
            made["INVITE"] = json.loads(other)["id"]
    assert len(said) >= 14
    shown = admin.run("device", "show", made["DEVICE"])
    assert "retired: Replaced." in shown
    assert "pump 3" in shown


def test_the_record_page_says_how_to_check_an_entry_with_stock_tools(plane: PlaneProcess, tmp_path: Path) -> None:
    admin = Desk(plane, tmp_path, "admin")
    entry = admin.run("audit", "list", "--limit", "1", "--quiet").split()[0]
    (tmp_path / "entry.json").write_bytes(admin.run("audit", "show", entry, "--raw").encode())
    block = (GUIDE / "record.md").read_text()
    (line,) = (line for line in block.splitlines() if "sha256sum" in line)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split()[0] in admin.run("audit", "show", entry, "--json")
