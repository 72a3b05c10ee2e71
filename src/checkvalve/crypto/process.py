# SPDX-License-Identifier: Apache-2.0
"""Keeps what a process has in its memory from everybody else on the machine: keys and secrets stand there in the clear.

No core file is written of it, whatever the machine's settings are, and no process of the same user may read its memory
or attach to it (prctl(2), PR_SET_DUMPABLE). Both are asked for once, at the start, and hold for this process alone: a
program that it starts begins anew with the second.
"""

import ctypes
import resource
from contextlib import suppress

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
_NO_CORE = (0, 0)
_M_ARENA_MAX = -8  # of mallopt(3)


def harden() -> None:
    """Keep this process's memory to itself."""
    resource.setrlimit(resource.RLIMIT_CORE, _NO_CORE)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def lean() -> None:
    """Have one heap for all threads of this process, which has few: each heap of its own keeps what it once had.

    A C library without mallopt(3) goes on as it does.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give memory that is not used back to the machine (malloc_trim(3)): after work, before a long rest."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
