# SPDX-License-Identifier: Apache-2.0
"""Where the demo's devices have their secrets: in memory, in a directory of each demo's own.

A device keeps them below /run; the demo may be played by somebody who may not write there.
"""

import shutil
from pathlib import Path

from checkvalve.crypto import digests

ROOT = Path("/dev/shm")  # noqa: S108 - memory is what is wanted
SECRET = ".secret"


def folder(mark: str) -> Path:
    """Return the directory of the demo with this mark."""
    return ROOT / f"checkvalve-demo-{digests.sha256_hex(mark.encode())[:12]}"


def made(mark: str) -> Path | None:
    """Return it, made; None where there is no such memory."""
    try:
        folder(mark).mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder(mark)


def holding(mark: str, text: bytes) -> int:
    """Return how many files in it hold this text and nothing else."""
    files = [file for file in folder(mark).rglob(f"*{SECRET}") if file.is_file()]
    return sum(file.read_bytes() == text for file in files)


def clear(mark: str) -> None:
    """Have none."""
    shutil.rmtree(folder(mark), ignore_errors=True)
