# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a Unix socket? The kernel says it (`SO_PEERCRED`); nobody has to sign in.

Who became root is named by who signed in: the kernel keeps that beside each process (`loginuid`).
"""

import pwd
import socket
import struct
from pathlib import Path

_FORM = struct.Struct("3i")  # pid, uid, gid
_NOBODY = 2**32 - 1  # nobody signed in: a service


def of(line: socket.socket, proc: Path = Path("/proc")) -> str:
    """Return the name of who holds the other end: `anna`, `root`, `root (anna)`, `uid 1004`. It may ask a directory."""
    pid, uid, _ = _FORM.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _FORM.size))
    if uid:
        return name(uid)
    person = _signed_in(proc / str(pid) / "loginuid")
    return f"root ({name(person)})" if person not in (0, _NOBODY) else "root"


def name(uid: int) -> str:
    """Return what a user is called, cut to what a tag holds."""
    try:
        return pwd.getpwuid(uid).pw_name[:80]
    except (KeyError, OverflowError):
        return f"uid {uid}"


def _signed_in(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return _NOBODY
