# SPDX-License-Identifier: Apache-2.0
"""A plane that waits for nobody long, and dies on demand: `python -m tests.parts.impatient WORDS...`.

Devices that are not always online report each second, and one that is not heard for some seconds holds up no rollout.
The rules are the plane's own; only the numbers are others.

Where a file `dies` lies in its data directory, it ends by SIGKILL at the write that the file names: `rollout.advance 2
inside` is the second time from there on that one was done about a rollout, when all is carried out and nothing is
committed; `after` is when all is committed and nobody was told.
"""

import os
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

from checkvalve.main import main
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.db.database import Database
from checkvalve.server.exchange.visit import Visited
from checkvalve.server.fleet import model, queries
from checkvalve.server.tasks import seen

PROGRAM = (sys.executable, "-m", "tests.parts.impatient")
SILENCE = timedelta(seconds=6)
DIES = "dies"


class Deadly:
    """Counts what is written about rollouts, and ends the process at the moment that the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def install(self) -> None:
        """Stand in the way of every write."""
        submit = Database._submit_write
        deadly = self

        def watched(self: Database, name: str, function: Any, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
            def carried_out(tx: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                value = function(tx, *args, **kwargs)
                deadly.meet(name, value, "inside")
                return value

            done = submit(self, name, carried_out, *args, **kwargs)
            done.add_done_callback(lambda one: deadly.told(name, one))
            return done

        Database._submit_write = watched  # type: ignore[method-assign]

    def told(self, name: str, done: "Future[Any]") -> None:
        """Take note of a commit."""
        if done.exception() is None:
            self.meet(name, done.result(), "after")

    def meet(self, name: str, value: object, how: str) -> None:
        """Count, and end the process if this is the moment."""
        try:
            wanted = self._file.read_text().split()
        except FileNotFoundError:
            self._count.clear()
            return
        if not _about_a_rollout(name, value):
            return
        with self._lock:  # each moment by itself: several writes may be carried out before they are committed as one
            self._count[name, how] += 1
            if wanted == [name, str(self._count[name, how]), how]:
                self._file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)


def _about_a_rollout(name: str, value: object) -> bool:
    """Tell whether this write did something about a rollout: most visits and turns do not."""
    if isinstance(value, Visited):
        return bool(value.rollouts)
    return name.startswith("rollout.") and bool(value)


if __name__ == "__main__":
    model.INTERVALS[LinkClass.ASYNC] = 1
    queries.SILENCE = SILENCE
    seen.WITHIN = 1.0
    if "--data" in sys.argv:
        Deadly(Path(sys.argv[sys.argv.index("--data") + 1]) / DIES).install()
    main()
