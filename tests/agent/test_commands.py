# SPDX-License-Identifier: Apache-2.0
"""What a person at the cabinet types and reads: the commands against a running agent, and without one."""

import argparse
import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from checkvalve.agent import main
from checkvalve.agent.commands import line, shown
from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.protocol.exchange import State
from tests.agent import filled, small
from tests.agent.cabinet import Cabinet, opened
from tests.agent.device import Device, told
from tests.agent.living import living


class Typed:
    """Somebody who types commands at a cabinet, and what they read."""

    def __init__(self, cabinet: Cabinet, capsys: pytest.CaptureFixture[str]) -> None:
        self.cabinet, self.capsys = cabinet, capsys

    async def __call__(self, *words: str, data: Path | None = None) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it printed."""
        where = ("--data", str(data or self.cabinet.data), "--socket-path", str(self.cabinet.path))
        code = await asyncio.to_thread(main.run, [*words, *where])
        said = self.capsys.readouterr()
        return code, said.out, said.err


async def _two(device: Device) -> None:
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    assert await device.deploy(small.quick(2)) is State.COMMITTED
    await device.settle()


def test_status_is_read_at_a_glance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @told
    async def play() -> None:
        device = Device()
        await _two(device)
        async with opened(device, tmp_path) as cabinet:
            typed = Typed(cabinet, capsys)
            code, out, _ = await typed("status")
            assert code == 0
            assert "runs          historian 2  (sha256:" in out
            assert "before it     historian 1  (sha256:" in out
            assert "  pump          running\n" in out
            code, out, _ = await typed("status", "--json")
            assert json.loads(out)["live"]["engine"] == "simulated"
            code, out, _ = await typed("status", data=tmp_path)  # another device's, which has not joined
            assert code == 1

    play()


def test_hold_back_and_release_are_typed_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @told
    async def play() -> None:
        device = Device()
        await _two(device)
        async with opened(device, tmp_path) as cabinet:
            typed = Typed(cabinet, capsys)
            code, out, _ = await typed("hold", "--reason", "pump seal", "--number", "4711", "--name", "Anna")
            assert (code, out.startswith("Held: pump seal.")) == (0, True)
            code, out, _ = await typed("status")
            assert "HELD          Anna: pump seal (number 4711), since 20" in out
            code, out, _ = await typed("back", "--dry-run")
            assert (code, out.startswith("It would go back to historian 1")) == (0, True)
            code, _, err = await typed("back")
            assert (code, "--yes" in err, "cabinet.unasked" in err) == (1, True, True)
            assert device.position.next_attempt == ""
            code, out, _ = await typed("back", "--yes")
            assert (code, out.startswith("Going back to historian 1")) == (0, True)
            await device.drive(lambda: device.position.state is State.HELD)
            code, out, _ = await typed("status")
            assert "waits for     Held by Anna: pump seal (number 4711)." in out
            code, out, _ = await typed("release-hold")
            assert (code, out) == (0, "Lifted the tag of Anna: pump seal.\n")
            await device.drive(lambda: device.runs == small.quick(1).digest)
            code, _, err = await typed("release-hold")
            assert (code, "hold.not_found" in err) == (1, True)
            code, _, err = await typed("release-hold", "--all")
            assert (code, "cabinet.unasked" in err) == (1, True)

    play()


def test_a_window_takes_a_time_and_says_what_is_wrong_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    async def play() -> None:
        async with opened(Device(), tmp_path) as cabinet:
            typed = Typed(cabinet, capsys)
            code, out, _ = await typed("window", "open", "45m")
            assert (code, "open for 45 minutes" in out) == (0, True)
            code, out, _ = await typed("status")
            assert "window        open for 45 minutes" in out
            assert (await typed("window", "close"))[1] == "The window is closed.\n"
            for span in ("", "9h", "0m", "soon"):
                code, _, err = await typed("window", "open", *([span] if span else []))
                assert (code, "cabinet.span" in err) == (1, True)

    play()


def test_logs_have_the_service_in_front_and_obey_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    async def play() -> None:
        device = Device()
        await filled.deploy(device, filled.release(1), DOES=f"log=red \x1b[31m {filled.SECRET}")
        await device.settle()
        async with opened(device, tmp_path) as cabinet:
            typed = Typed(cabinet, capsys)
            code, out, _ = await typed("logs", "--lines", "5")
            assert (code, out) == (0, "pump          red \N{REPLACEMENT CHARACTER}[31m [secret pin]\n")
            code, out, _ = await typed("logs", "pump", "--since", "10m", "--json")
            assert json.loads(out)["service"] == "pump"
            code, _, err = await typed("logs", "pump", "--since", "later")
            assert (code, "cabinet.span" in err) == (1, True)
            code, _, err = await typed("logs", "--lines", "0")
            assert (code, "cabinet.number" in err) == (1, True)

    play()


def test_a_support_bundle_is_written_for_its_owner_and_over_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    async def play() -> None:
        async with opened(Device(), tmp_path) as cabinet:
            typed, file = Typed(cabinet, capsys), tmp_path / "b.tar.gz"
            code, out, _ = await typed("support-bundle", str(file))
            assert (code, out.startswith(f"{file}: ")) == (0, True)
            assert file.stat().st_mode & 0o777 == 0o600
            with tarfile.open(file) as archive:
                assert "support/manifest.json" in archive.getnames()
            code, _, err = await typed("support-bundle", str(file))
            assert (code, "bundle.file" in err) == (1, True)

    play()


@pytest.mark.parametrize(("answer", "meant"), [("y", True), ("yes", True), ("", False), ("n", False), ("quit", False)])
def test_a_dangerous_command_asks_at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str, *, meant: bool) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as typed, os.fdopen(os.dup(slave), "w") as read, os.fdopen(master, "wb") as person:
        monkeypatch.setattr(sys, "stdin", typed)
        monkeypatch.setattr(sys, "stderr", read)
        person.write(answer.encode() + b"\n")
        person.flush()
        assert line.sure(argparse.Namespace(yes=False), "Go back?") is meant


def test_spans_are_read_in_seconds_minutes_hours_and_days() -> None:
    assert [line.span(each, "x") for each in ("90s", "45m", "2h", "1d")] == [90, 2_700, 7_200, 86_400]
    for each in ("", "45", "m", "1.5h", "45 m", "9999999d"):
        with pytest.raises(InvalidError):
            line.span(each, "x")
    assert shown.safe("a\x1b[2Jb\u202ec\td") == "a\ufffd[2Jb\ufffdc\td"


@pytest.mark.parametrize(
    "command",
    "join run status logs back hold release-hold window policy doctor support-bundle version".split(),
)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.run([command, "--help"])
    assert caught.value.code == 0
    assert f"checkvalve-agent {command}" in capsys.readouterr().out.rpartition("Example:")[2]


def test_a_reader_who_leaves_is_no_trace(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from checkvalve.main import agent; agent()", "version", "--data", str(tmp_path)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_without_a_plane_and_then_without_the_agent_the_cabinet_still_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    async def play() -> None:
        async with living(tmp_path, "--engine", "simulated") as device:
            await device.join()
            await device.begin()
            assert await device.deploy(small.quick(1)) is State.COMMITTED
            assert await device.deploy(small.quick(2)) is State.COMMITTED

            async def typed(*words: str) -> tuple[int, str, str]:
                code = await asyncio.to_thread(main.run, [*words, "--data", str(device.data)])
                said = capsys.readouterr()
                return code, said.out, said.err

            device.plane.knobs.refuses = UnavailableError("plane.busy", "Busy.")
            code, out, _ = await typed("back", "--yes", "--json")
            assert code == 0
            attempt = json.loads(out)["attempt"]
            await device.until(lambda: (device.status().attempt, device.status().state) == (attempt, "committed"))
            assert device.status().active == small.quick(1).digest
            await device.end(signal.SIGKILL)  # its socket stays behind
            assert (device.data / "agent.sock").is_socket()
            code, out, _ = await typed("status")
            assert (code, "agent         does not run" in out) == (0, True)
            code, _, err = await typed("hold", "--reason", "x")
            assert (code, "cabinet.closed" in err) == (4, True)
            code, out, _ = await typed("doctor", "--json")
            assert (code, json.loads(out)["findings"][0]["layer"]) == (1, "agent")
            code, _, _ = await typed("support-bundle", str(tmp_path / "b.tgz"), "--engine", "simulated")
            assert code == 0
            device.plane.knobs.refuses = None
            await device.begin()
            await device.until(lambda: device.told(attempt) is State.COMMITTED)
            code, out, _ = await typed("hold", "--reason", "cable")
            assert code == 0

    play()
