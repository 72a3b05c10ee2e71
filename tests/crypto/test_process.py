# SPDX-License-Identifier: Apache-2.0
"""Programs of ours keep their memory to themselves from their first line on."""

import subprocess
import sys

import pytest

from checkvalve.crypto import process

LOOK = """
import contextlib, ctypes, resource, sys
from checkvalve import main
sys.argv = [{program!r}, *{words!r}]
with contextlib.suppress(SystemExit):
    {call}()
core, dumpable = resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
sys.stderr.write(f"core={{core}} dumpable={{dumpable}}")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "call", "words"),
    [
        ("checkvalve-agent", "main.agent", ["version"]),
        ("checkvalve", "main.main", ["serve", "--help"]),
        ("checkvalve", "main.main", ["version"]),
    ],
)
def test_no_core_is_written_and_nobody_attaches(program: str, call: str, words: list[str]) -> None:
    code = LOOK.format(program=program, call=call, words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.endswith("core=(0, 0) dumpable=0"), done.stderr


def test_a_lean_process_goes_on_as_before() -> None:
    process.lean()
    process.trim()
    assert bytearray(1 << 20) == bytes(1 << 20)
