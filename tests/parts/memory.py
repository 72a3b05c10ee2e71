# SPDX-License-Identifier: Apache-2.0
"""A folder in memory, for what tests make by the thousand and nobody reads afterwards: databases, directories."""

import os
import shutil
from pathlib import Path

_SHARED = Path("/dev/shm")
_ENOUGH = 4 << 30


def folder() -> Path | None:
    """Return one with room for all tests, whose programs may run; None where there is none, which costs time only.

    A database is copied in a hundredth of a second here; on a disk it takes up to forty times as long. No test cuts the
    power of this machine: what a killed process has written is there, on a disk as in memory.
    """
    if not (_SHARED.is_dir() and os.access(_SHARED, os.W_OK)):
        return None
    runs = not os.statvfs(_SHARED).f_flag & os.ST_NOEXEC
    return _SHARED if runs and shutil.disk_usage(_SHARED).free > _ENOUGH else None
