# SPDX-License-Identifier: Apache-2.0
"""What every command has, and the door that every error leaves by."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from checkvalve import __version__
from checkvalve.cli import main, output
from checkvalve.cli.main import ELSEWHERE
from tests.cli.impostor import Impostor
from tests.cli.terminal import Terminal, Typist, process
from tests.parts.plane import CHECKVALVE

NOUNS = "scope person role binding token session audit approval rollout keys image release trust".split()


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for noun, group in get_command(main.app).commands.items():  # type: ignore[attr-defined]
        if hasattr(group, "commands"):
            for verb in group.commands:
                yield noun, verb
        elif noun not in ELSEWHERE:
            yield (noun,)


ALL = list(commands())


def test_help_lists_all_commands_and_those_of_the_planes_machine(terminal: Terminal) -> None:
    said = terminal.done("--help")
    for word in [*NOUNS, "login", "logout", "whoami", "init", "serve", "reset-password", "demo"]:
        assert f"\n  {word} " in said
    assert "Example:" in said
    assert "5 verification failed" in said


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_command_says_what_it_does_with_an_example_that_is_its_own(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    said = terminal.done(*words, "--help")
    assert f"checkvalve {' '.join(words)}" in said.split("Example:")[1]
    for option in ("--json", "--quiet", "--yes"):
        assert option in said


@pytest.mark.slow
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_no_password_or_token_is_an_argument(terminal: Terminal, words: tuple[str, ...]) -> None:
    said = terminal.done(*words, "--help")
    assert "--password " not in said
    assert "--token " not in said


def test_the_version_is_told(terminal: Terminal) -> None:
    assert terminal.done("--version") == f"checkvalve {__version__}"


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "scope nonsense",
        "rollout draft",
        "scope create planet Mars",
        "audit list --limit 0",
        "whoami --nonsense",
        "serve-me",
        "--json serve",
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(terminal: Terminal, words: str) -> None:
    said = terminal(*words.split())
    assert said.code == 2
    assert said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "words", [["rollout", "show", "../people"], ["audit", "show", "x"], ["approval", "show", "%2e"]]
)
def test_what_is_no_id_is_not_sent(terminal: Terminal, impostor: Impostor, words: list[str]) -> None:
    impostor.signed_in_at(terminal.config)
    said = terminal(*words)
    assert (said.code, "[cli.id]" in said.err) == (2, True)
    assert impostor.heard == []


def test_whoever_is_not_signed_in_is_told_how(terminal: Terminal) -> None:
    said = terminal("rollout", "list")
    assert said.code == 1
    assert "checkvalve login" in said.err
    assert said.out == ""


def test_a_change_that_asks_is_refused_where_nobody_can_answer(terminal: Terminal, impostor: Impostor) -> None:
    impostor.signed_in_at(terminal.config)
    said = terminal("token", "revoke", "01m831q1fzsf7at3qyjsc0dv48")
    assert (said.code, "--yes" in said.err) == (2, True)
    assert impostor.heard == []


def test_a_defect_of_ours_shows_where_and_no_trace(
    terminal: Terminal, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor.signed_in_at(terminal.config)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(terminal.config.read_text())

    monkeypatch.setattr(output, "fields", broken)
    me = {"person": {"id": "x", "login": "a", "name": "A", "home": "/", "made_at": "", "disabled_at": None}}
    me |= {"bindings": [], "permissions": {}, "session": None, "token": None, "csrf": None}  # type: ignore[dict-item]
    impostor.answers(200, "application/json", json.dumps(me).encode())
    said = terminal("whoami")
    assert said.code == 1
    assert "ZeroDivisionError at test_main.py:" in said.err
    assert "Traceback" not in said.err
    assert "cvt_" not in said.err


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_error_worth_a_word(tmp_path: Path, impostor: Impostor) -> None:
    items = [
        {
            "id": f"{number:026}",
            "path": f"/{number:026}/",
            "parent": "/",
            "kind": "site",
            "name": "N" * 80,
            "made_at": "",
        }
        for number in range(5_000)
    ]
    impostor.answers(200, "application/json", json.dumps({"items": items, "next": None}).encode())
    impostor.signed_in_at(tmp_path / ".config" / "checkvalve" / "config.json")
    for words in (["scope", "list"], ["scope", "list", "--json"], ["scope", "list", "--quiet"]):
        running = subprocess.Popen(
            [*CHECKVALVE, *words],
            env={**os.environ, "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
        running.stderr.close()
        running.wait(30)


def test_no_colour_where_nobody_looks(tmp_path: Path) -> None:
    assert "\x1b" not in process(tmp_path, "--help").stdout


def test_a_table_fits_the_terminal(tmp_path: Path, impostor: Impostor, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NO_COLOR", "1")
    item = {"name": "operator", "sentence": "Drafts and starts rollouts. " * 9, "permissions": ["rollout.start"] * 9}
    impostor.answers(200, "application/json", json.dumps({"items": [item], "next": None}).encode())
    impostor.signed_in_at(tmp_path / ".config" / "checkvalve" / "config.json")
    typist = Typist(tmp_path, "role", "list", columns=60)
    assert typist.ends() == 0
    lines = re.sub(r"\x1b\[[01]m", "", typist.seen).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in "".join(lines), "there is a colour, with NO_COLOR set"


def test_text_of_a_plane_cannot_steer_the_terminal(terminal: Terminal, impostor: Impostor) -> None:
    item = {"name": "op\x1b[2Jerator", "sentence": "[red]Drafts\u202e[/red]\n", "permissions": []}
    impostor.answers(200, "application/json", json.dumps({"items": [item], "next": None}).encode())
    impostor.signed_in_at(terminal.config)
    said = terminal.done("role", "list")
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[red]Drafts" in said
