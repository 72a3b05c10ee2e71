# SPDX-License-Identifier: Apache-2.0
"""The floors are those of the tree, and the linter of imports holds them."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import contracts, tree


def test_the_contracts_say_what_the_tree_is() -> None:
    current = contracts.FILE.read_text()
    assert contracts.text(current) == current, "run `make fix`"


def test_every_room_is_under_contract_with_all_its_decisions() -> None:
    parser = configparser.ConfigParser()
    parser.read(contracts.FILE)
    section = parser["importlinter:contract:rooms"]
    assert section["containers"].split() == [f"checkvalve.server.{room}" for room in tree.rooms()]
    for room in tree.rooms():
        for name in tree.decisions(room):
            assert f"({name})" in section["layers"].split()
            assert (
                f"checkvalve.server.{room}.{name}" in parser["importlinter:contract:pure-own"]["source_modules"].split()
            )


def test_a_file_without_the_mark_is_refused() -> None:
    with pytest.raises(SystemExit, match="mark"):
        contracts.text("[importlinter]\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("importer", "line", "contract"),
    [
        (
            "server/audit/queries.py",
            "from checkvalve.server.access import model",
            "floors of the server",
        ),  # upward between rooms
        (
            "server/access/model.py",
            "from checkvalve.server.access import queries",
            "inside a room",
        ),  # upward within a room
        (
            "server/access/decide.py",
            "from checkvalve import clock",
            "what decides touches nothing of ours that acts",
        ),  # a decision that reads the time
        ("server/access/drawer.py", "", "inside a room"),  # a file of a kind that the room's contract does not list
        ("crypto/keys.py", "from checkvalve.crypto import seal", "nothing goes in a circle"),
        ("server/spare.py", "", "floors of the server"),  # a floor that nobody declared
        ("crypto/keys.py", "import checkvalve.server", "places"),  # upward between places
    ],
)
def test_the_linter_catches_a_breach(tmp_path: Path, importer: str, line: str, contract: str) -> None:
    package = tmp_path / "checkvalve"
    for path in ("", "server", "server/audit", "server/access", "server/db", "crypto"):
        (package / path).mkdir()
        (package / path / "__init__.py").write_text("")
    for path in (
        "errors",
        "ids",
        "lines",
        "canonical",
        "clock",
        "crypto/keys",
        "crypto/seal",
        "server/audit/queries",
        "server/audit/model",
    ):
        (package / f"{path}.py").write_text("")
    for path in ("model", "queries", "decide"):
        (package / f"server/access/{path}.py").write_text("")
    (package / "crypto/seal.py").write_text("from checkvalve.crypto import keys\n")
    (tmp_path / ".importlinter").write_text(_of_this_size(contracts.FILE.read_text()))
    assert _broken(tmp_path) == []
    with (package / importer).open("a") as file:
        file.write(line + "\n")
    assert contract in _broken(tmp_path)


def _of_this_size(text: str) -> str:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    parser["importlinter:contract:rooms"]["containers"] = "\ncheckvalve.server.audit\ncheckvalve.server.access"
    parser["importlinter:contract:pure-own"]["source_modules"] = "\ncheckvalve.server.access.decide"
    parser["importlinter:contract:pure-own"]["forbidden_modules"] = "\ncheckvalve.clock"
    for name in parser.sections():
        if name.rpartition(":")[2] not in {"importlinter", "places", "floors", "acyclic", "rooms", "pure-own"}:
            parser.remove_section(name)
    lines: list[str] = []
    for name in parser.sections():
        lines.append(f"[{name}]")
        lines += [f"{key} = {value}".replace("\n", "\n    ") for key, value in parser[name].items()]
    return "\n".join(lines) + "\n"


def _broken(folder: Path) -> list[str]:
    program = "import sys; sys.path.insert(0, '.'); from importlinter import cli; cli.lint_imports(no_cache=True)"
    said = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert "Contracts: " in said, said
    return [line.removesuffix(" BROKEN") for line in said.splitlines() if line.endswith(" BROKEN")]
