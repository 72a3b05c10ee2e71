# SPDX-License-Identifier: Apache-2.0
"""The agent in a process that things happen to: `python -m tests.agent.process ...` is `checkvalve-agent ...`.

With `CHECKVALVE_KILL_AT=N` in its environment it ends by SIGKILL as soon as it has written N records to its journal.
With `CHECKVALVE_AHEAD=SECONDS` its wall clock is so far ahead (behind, if negative; not before 1970).
With `CHECKVALVE_RETURN=SECONDS` it tries the first address of its plane again so soon.
After failures it waits some seconds at most before it asks again, not minutes: tests wait for it.
It imports nothing else, so that its memory is the agent's.
"""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from checkvalve import clock, ids
from checkvalve.agent import main, parts
from checkvalve.agent.journal import Journal
from checkvalve.agent.link import tls

KILL_AT = "CHECKVALVE_KILL_AT"
AHEAD = "CHECKVALVE_AHEAD"
RETURN = "CHECKVALVE_RETURN"
MOST, FIRST = 4.0, 1.0  # seconds to wait after failures

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def _run() -> int:
    left = int(os.environ.get(KILL_AT, "0"))
    ahead = float(os.environ.get(AHEAD, "0"))
    tls.RETURN = float(os.environ.get(RETURN, tls.RETURN))
    parts.backoff.__defaults__ = (MOST, FIRST)
    if left:
        _dies_after(left)
    if ahead:
        _goes_wrong(timedelta(seconds=ahead))
    return main.run(sys.argv[1:])


def _dies_after(left: int) -> None:
    write = Journal.write

    def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        nonlocal left
        written = write(*args, **kwargs)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    Journal.write = counted  # type: ignore[method-assign]


def _goes_wrong(ahead: timedelta) -> None:
    right = clock.now

    def now() -> datetime:
        return max(_FIRST, right() + ahead)

    def new_id() -> str:
        return ids.encode(int(now().timestamp() * 1000), clock.entropy(10))

    clock.now, clock.new_id = now, new_id


if __name__ == "__main__":
    sys.exit(_run())
