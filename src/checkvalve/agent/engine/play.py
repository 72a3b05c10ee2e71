# SPDX-License-Identifier: Apache-2.0
"""What does a simulated container do?

Its service says so in the environment variable `CHECKVALVE_SIMULATE`, in words with `;` between them:

- `exit=CODE`: it ends with this code, at once or `after=SECONDSs` (`exit=1;after=3s` with `restart: always` loops);
- `unhealthy`, `starting`: what its health check comes to, if it has one; else it is healthy after one interval;
- `listen=PORT`: probes of this port alone pass (several may be said; none: all ports);
- `status=CODE`: what it answers an http probe with (200); `exec=CODE`: what a command in it ends with (0);
- `deaf`: no probe passes; `refuse`: it cannot be started;
- `log=TEXT`: what it says as it starts; `write=FILE:TEXT`: what it then writes into each volume that it may write to.

Without a word it runs, is healthy, and every probe passes.
"""

import re
from dataclasses import dataclass

from checkvalve.errors import ConflictError

VARIABLE = "CHECKVALVE_SIMULATE"
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)s\Z")
_FLAGS = frozenset({"unhealthy", "starting", "deaf", "refuse"})


@dataclass(frozen=True, slots=True)
class Play:
    """How one container behaves; `exit` None: it runs until it is stopped."""

    exit: int | None = None
    after: float = 0.0
    flags: frozenset[str] = frozenset()
    listen: frozenset[int] = frozenset()
    status: int = 200
    exec: int = 0
    log: str = ""
    write: tuple[tuple[str, str], ...] = ()


def read(text: str) -> Play:
    """Return what the variable says; `ConflictError` (`engine.refused`) for words that mean nothing."""
    flags, listen, write = set(), set(), []
    numbers: dict[str, int] = {}
    after, log = 0.0, ""
    for word in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = word.partition("=")
        if word in _FLAGS:
            flags.add(word)
        elif key in ("exit", "status", "exec") and _NUMBER.match(value):
            numbers[key] = int(value)
        elif key == "listen" and _NUMBER.match(value):
            listen.add(int(value))
        elif key == "after" and (found := _SECONDS.match(value)):
            after = float(found[1])
        elif key == "log":
            log = value
        elif key == "write" and ":" in value:
            file, _, content = value.partition(":")
            write.append((file, content))
        else:
            raise ConflictError("engine.refused", f"{VARIABLE} says {word!r}, which means nothing.")
    return Play(
        exit=numbers.get("exit"),
        after=after,
        flags=frozenset(flags),
        listen=frozenset(listen),
        status=numbers.get("status", 200),
        exec=numbers.get("exec", 0),
        log=log,
        write=tuple(write),
    )
