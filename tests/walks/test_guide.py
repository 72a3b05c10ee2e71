# SPDX-License-Identifier: Apache-2.0
"""The commands of the guide, run in their order against a real plane by the people they are written for."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from tests.cli.cabinet import Cabinet
from tests.cli.terminal import Terminal, password_file, sign_in
from tests.parts import archives
from tests.parts.guide import GUIDE, blocks, commands
from tests.parts.plane import PASSWORD, PlaneProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Ids that the guide writes in capitals, and the command whose `--quiet` prints them.
MADE_BY = {
    "BINDING": ("binding", "create"),
    "ROLLOUT": ("rollout", "draft"),
    "APPROVAL": ("rollout", "propose"),
}
ID = re.compile("[0-9a-z]{26}")
LINE = ("device", "invite")  # what it prints is typed on a device
TYPED = {("person", "create"), ("token", "create")}  # where a person types a password
SEALED = {("keys", "make"), ("keys", "init"), ("keys", "sign"), ("release", "sign")}  # and where a passphrase


class Desk:
    """One person at a terminal, signed in to the plane by CLI."""

    def __init__(self, plane: PlaneProcess, terminal: Terminal, login: str) -> None:
        self.password = password_file(plane)
        self.run = terminal.done
        self.type = terminal
        sign_in(terminal, plane, login)

    def follow(self, words: list[str], made: dict[str, str]) -> str:
        """Run a command of the guide, with the ids that earlier ones made."""
        said = [made.get(word, word) for word in words]
        if tuple(words[:2]) in TYPED:
            said += ["--password-file", self.password]
        if tuple(words[:2]) in SEALED:
            said += ["--passphrase-file", self.password]
        while "--secret" in said:  # a person types it twice
            at = said.index("--secret")
            said[at : at + 2] = ["--secret-file", f"{said[at + 1]}={self.password}"]
        if ">" in said:
            at = said.index(">")
            Path(said[at + 1]).write_text(self.run(*said[:at]) + "\n")
            return ""
        for name, command in MADE_BY.items():
            if tuple(words[:2]) == command:
                made[name] = self.run(*said, "--quiet").split()[0]
                return made[name]
        return self.run(*said) if "--yes" in said else self.run(*said, "--yes")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[PlaneProcess]:
    """Serve a plane; people work in the directory beside it."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    plane = PlaneProcess(tmp_path / "plane")
    assert plane.init().returncode == 0
    yield plane.start()
    plane.close()


@pytest.fixture
def desk(
    plane: PlaneProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Desk]:
    """Return what signs people in, each in a home of their own, all in the same directory."""
    for name in ("URL", "TOKEN", "CA", "CONFIG"):
        monkeypatch.delenv(f"CHECKVALVE_{name}", raising=False)
    monkeypatch.chdir(tmp_path)

    def signed_in(login: str) -> Desk:
        home = tmp_path / f"home-{login}"
        home.mkdir()
        return Desk(plane, Terminal(home, monkeypatch, capsys), login)

    return signed_in


def test_the_guide_can_be_followed_word_by_word(
    plane: PlaneProcess, tmp_path: Path, desk: Callable[[str], Desk]
) -> None:
    admin = desk("admin")
    made: dict[str, str] = {}
    people = list(commands("people.md"))
    assert len(people) >= 8
    for words in people:
        admin.follow(words, made)
    admin.run("person", "enable", "bo")
    admin.run("binding", "create", "bo", "operator", "--scope", "Norra Water")
    whole = ("--name", "Ingrid", "--scope", "Norra Water", "--password-file", admin.password)
    admin.run("person", "create", "ingrid", *whole)
    admin.run("binding", "create", "ingrid", "access-approver", "--scope", "Norra Water")
    rut = _release(tmp_path, admin, desk, made)
    _devices(plane, tmp_path, admin, made)
    press = admin.run("device", "invite", "--site", "Visby waterworks", "--tag", "press-line", "--json")
    Cabinet(tmp_path / "press").joined(json.loads(press)["command"])
    desks = {"rollout": desk("bo"), "approval": desk("ingrid")}
    said = [desks[words[0]].follow(words, made) for words in commands("approvals.md")]
    assert any("pump-station@sha256:" in text for text in said)
    assert "started" in desks["rollout"].run("rollout", "show", made["ROLLOUT"])
    made["ENTRY"] = admin.run("audit", "list", "--limit", "1", "--quiet").split()[0]
    for words in commands("record.md"):
        if ">" not in words:
            admin.follow(words, made)
    _values(plane, tmp_path, admin, rut, desks["rollout"])


def _release(folder: Path, admin: Desk, desk: Callable[[str], Desk], made: dict[str, str]) -> Desk:
    """Follow the page on releases, with the compose files that it shows; return who made them."""
    words = ["--name", "Rut", "--scope", "Norra Water", "--password-file", admin.password]
    admin.run("person", "create", "rut", *words)
    admin.run("binding", "create", "rut", "release-manager", "--scope", "Norra Water")
    rut = desk("rut")
    (folder / "historian.tar").write_bytes(archives.docker([archives.Image(names=["historian:2.4"])]))
    (folder / "gateway.tar").write_bytes(archives.docker([archives.Image(names=["plant/gateway:3.1.0"])]))
    rut.run("image", "import", "gateway.tar", "--scope", "Norra Water")
    (folder / "compose.yaml").write_text(blocks("releases.md", "yaml")[0])
    shutil.copy(GUIDE.parents[1] / "examples" / "compose" / "gateway.yaml", folder)
    said = []
    for words in commands("releases.md"):
        if "podman" in words:
            refused = rut.type(*words)
            assert (refused.code, "policy: keep" in refused.out) == (1, True)
        else:
            said.append((admin if words[0] == "trust" else rut).follow(words, made))
    assert len(said) >= 15
    assert '"state":"published"' in rut.run("release", "list", "--json")
    for command in re.findall(r"\| `checkvalve ([^`…]*)` \|", (GUIDE / "releases.md").read_text()):
        rut.run(*shlex.split(command.replace("2.4.0", "2.4.1")), "--yes")
        if command.split()[1] in {"withdraw", "floor", "renew"}:
            rut.run("release", "discard", "--yes")
    return rut


def _values(plane: PlaneProcess, folder: Path, admin: Desk, rut: Desk, operator: Desk) -> None:
    """Follow the pages on values and on tags, with the release that the page on releases leaves open."""
    _open(folder, rut)
    admin.run("scope", "create", "site", "Visby", "--scope", "Norra Water")
    invite = json.loads(admin.run("device", "invite", "--site", "Visby", "--tag", "pump", "--json"))
    device = Cabinet(folder / "pump-3").joined(invite["command"], "--name", "pump-3").device
    digest = json.loads(rut.run("release", "show", "pump-station@3.1.0", "--json"))["digest"]
    database = Database.open(plane.database, plane.directory)
    runs = sa.update(schema.devices).where(schema.devices.c.id == device).values(active=digest)
    database.write_now("runs", lambda tx: tx.run(runs))
    database.close()
    made: dict[str, str] = {}
    said = [operator.follow(words, made) for words in commands("values.md")]
    assert len(said) >= 12
    assert any("BROKER" in text and "Norra Water/Visby" in text for text in said)
    assert any("has started" in text for text in said)
    tags: list[str] = []
    for words in commands("holds.md"):
        if tuple(words[:2]) == ("hold", "add"):
            tags.append(operator.run(*words, "--quiet"))
        else:
            operator.follow([tags.pop(0) if ID.fullmatch(word) else word for word in words], made)
    assert tags == []


def _open(folder: Path, rut: Desk) -> None:
    """Make and sign the release with variables that the page on releases shows, in two versions."""
    words = ("--scope", "Norra Water", "--yes")
    for version in ("3.1.0", "3.2.0"):
        text = blocks("releases.md", "yaml")[1].replace("  version: 3.1.0", f"  version: {version}")
        (folder / "open.yaml").write_text(f"name: pump-station\n{text}")
        rut.run("release", "create", "open.yaml", *words)
    rut.run("release", "sign", "--key", "keys/targets.key", "--passphrase-file", rut.password, "--yes")
    (folder / "meters.toml").write_text("rate = 9600\n")


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


def test_the_record_page_says_how_to_check_an_entry_with_stock_tools(
    tmp_path: Path, desk: Callable[[str], Desk]
) -> None:
    admin = desk("admin")
    entry = admin.run("audit", "list", "--limit", "1", "--quiet").split()[0]
    (tmp_path / "entry.json").write_bytes(admin.type("audit", "show", entry, "--raw").out.encode())
    block = (GUIDE / "record.md").read_text()
    (line,) = (line for line in block.splitlines() if "sha256sum" in line)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split()[0] in admin.run("audit", "show", entry, "--json")
