# SPDX-License-Identifier: Apache-2.0
"""`checkvalve-agent policy`: what people at the device lay down is checked first, and replaced whole."""

import json
from pathlib import Path

import pytest

from checkvalve.agent import main, policy
from checkvalve.agent.commands import ruling

GOOD = {"permit": {"kind": "command", "argv": ["/bin/true"], "timeout_s": 5}, "window": "opened"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the directory of a device."""
    made = tmp_path / "device"
    made.mkdir()
    return made


def _run(folder: Path, *words: str) -> int:
    return main.run(["policy", *words, "--data", str(folder)])


def _file(folder: Path, value: object) -> str:
    made = folder.parent / "given.json"
    made.write_text(json.dumps(value))
    return str(made)


def test_a_policy_is_set_whole_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "set", _file(folder, GOOD)) == 0
    shown = capsys.readouterr()
    assert "a yes that comes later than 2 s is a no" in shown.err
    assert policy.parse((folder / policy.FILE).read_bytes()).window == "opened"
    assert (folder / policy.FILE).stat().st_mode & 0o777 == 0o600
    assert _run(folder, "show") == 0
    assert "the command /bin/true" in capsys.readouterr().out
    assert sorted(each.name for each in folder.iterdir()) == [policy.FILE]


def test_what_is_no_policy_takes_no_ones_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "set", _file(folder, GOOD)) == 0
    before = (folder / policy.FILE).read_bytes()
    bad: object
    for bad in ({"permit": "no"}, {"on_failure": "hold"}, []):
        for what in ("check", "set"):
            assert _run(folder, what, _file(folder, bad)) == 1
            assert "[policy.damaged]" in capsys.readouterr().err
    assert _run(folder, "set", "/nonexistent") == 1
    assert _run(folder, "set") == 1
    assert _run(folder, "show", "x") == 1
    assert (folder / policy.FILE).read_bytes() == before


def test_a_set_that_was_cut_short_is_in_nobodys_way(folder: Path) -> None:
    (folder / ruling.NEW).write_text("half")
    assert _run(folder, "set", _file(folder, GOOD)) == 0
    assert not (folder / ruling.NEW).exists()


def test_a_device_without_a_policy_says_that_nothing_is_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "show", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["permit"], said["window"], said["on_failure"]) == (None, "always", "rollback")
    assert _run(folder, "ask") == 1
    assert "[policy.no_permit]" in capsys.readouterr().err


def test_a_permit_can_be_tried(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    permit = folder.parent / "permit"
    _run(folder, "set", _file(folder, {"permit": {"kind": "file", "path": str(permit)}}))
    capsys.readouterr()
    assert _run(folder, "ask") == 1
    assert capsys.readouterr().out.startswith("No: ")
    permit.write_text("yes\n")
    assert _run(folder, "ask", "--json") == 0
    assert json.loads(capsys.readouterr().out)["yes"] is True
