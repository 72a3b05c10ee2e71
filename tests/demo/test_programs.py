# SPDX-License-Identifier: Apache-2.0
"""The programs of the demo's containers are real ones: this machine runs those that are made for it."""

import platform
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from checkvalve.demo import programs
from checkvalve.demo.programs import Architecture

HERE = programs.MACHINES[platform.machine()]


def _file(directory: Path, content: bytes) -> str:
    path = directory / "program"
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


def test_a_program_that_ends_says_its_line_and_ends_with_its_code(tmp_path: Path) -> None:
    done = subprocess.run([_file(tmp_path, programs.ends(HERE, 7, 0, "no recipe"))], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"no recipe\n")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_stays_ends_when_it_is_asked_to(
    tmp_path: Path, how: signal.Signals, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    process = subprocess.Popen([_file(tmp_path, programs.stays(HERE))])
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: "State:\tS" in status.read_text())
    process.send_signal(signal.SIGSTOP)  # a call that waits fails of this, and is made again
    process.send_signal(signal.SIGCONT)
    assert process.poll() is None
    process.send_signal(how)
    assert process.wait(10) == 0


def test_a_program_that_stays_says_its_line_first(tmp_path: Path) -> None:
    process = subprocess.Popen([_file(tmp_path, programs.stays(HERE, "here"))], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline() == b"here\n"
    process.terminate()
    assert process.communicate(timeout=10)[1] == b""
    assert process.returncode == 0


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_a_program_is_one_small_segment_for_its_machine(architecture: Architecture, machine: int) -> None:
    program = programs.stays(architecture)
    assert program[:4] == b"\x7fELF"
    assert struct.unpack_from("<HH", program, 16) == (2, machine)
    (entry,) = struct.unpack_from("<Q", program, 24)
    kind, flags, offset, address, _, size, memory, _ = struct.unpack_from("<IIQQQQQQ", program, 64)
    assert (kind, flags, offset, size, memory) == (1, 5, 0, len(program), len(program))
    assert address < entry < address + size < address + 1_000


def test_calls_on_arm64_are_the_words_that_its_manual_gives() -> None:
    code = programs.ends("arm64", 3, 0, "")[-5 * 4 :]
    # movz x0, #3; movk x0, #0, lsl 16; movz x8, #94 (exit_group); movk x8, #0, lsl 16; svc #0
    assert struct.unpack("<5I", code) == (0xD2800060, 0xF2A00000, 0xD2800BC8, 0xF2A00008, 0xD4000001)
