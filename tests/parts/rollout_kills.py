# SPDX-License-Identifier: Apache-2.0
"""The plane is killed at a moment of a rollout to six devices, and started again; then everything is compared.

A moment is a state of a device that the plane dies in, or one of its own writes: killed inside it, when all of it is
carried out and nothing is committed, or after it, when all of it is committed and nobody has heard.
"""

import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx

from checkvalve.server.rollouts.model import Outcome
from checkvalve.server.rollouts.model import State as Stage
from tests.parts.impatient import DIES
from tests.parts.plane import PlaneProcess
from tests.parts.rolling import LATE, Fleet

_WRITES = (
    ("rollout.start", 1),
    ("device.visit", 1),  # the canary's receipt
    ("rollout.advance", 1),  # the rest opens
    *(("device.visit", number) for number in range(2, 7)),  # the others' receipts
    ("rollout.advance", 2),  # the end
)
MOMENTS = (
    "canary verifies",
    "rest verifies",
    *(f"{name} {number} {how}" for name, number in _WRITES for how in ("inside", "after")),
)


def killed(fleet: Fleet, moment: str) -> None:
    """Have a rollout to all devices started, kill the plane at this moment, start it, and see that all is as it was."""
    plane, version = fleet.estate.plane, fleet.fresh()
    ident = fleet.proposed(version)
    if moment.endswith("verifies"):
        fleet.post(ident, "start")
        watched = fleet.canary if moment.startswith("canary") else fleet.agents[-1]
        fleet.until(lambda: fleet.state(ident, watched) == "verifying")
        assert plane.kill() == -signal.SIGKILL
    else:
        (plane.directory / DIES).write_text(moment)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(fleet.post, ident, "start")
            assert plane.died(LATE) == -signal.SIGKILL  # its devices may not have found it again yet
            with contextlib.suppress(httpx.HTTPError):  # it may have died of this
                asked.result()
    plane.start()
    if fleet.rollout(ident).state is Stage.PROPOSED:  # nothing was committed, and nobody was told that it was
        assert moment == "rollout.start 1 inside"
        fleet.post(ident, "start")
    fleet.until(fleet.is_(ident, Stage.DONE), LATE)
    assert set(fleet.outcomes(ident).values()) == {Outcome.COMMITTED}
    fleet.until(lambda: fleet.run(version))
    fleet.accounted(ident, wave=1, finish=1)


def one_of_two(fleet: Fleet, role: str) -> None:
    """Have a rollout to all devices looked after by two processes, one of which is killed meanwhile."""
    plane, version = fleet.estate.plane, fleet.fresh()
    assert plane.stop() == 0
    both = {each: PlaneProcess(plane.directory, plane.database, plane.program) for each in ("devices", "operators")}
    try:
        for name, each in both.items():
            each.start("--role", name)
        ident = fleet.start(version)
        fleet.until(lambda: fleet.state(ident, fleet.canary) == "verifying", LATE)
        assert both[role].kill() == -signal.SIGKILL
        if role == "operators":  # the other looks after it alone
            fleet.until(fleet.is_(ident, Stage.DONE), LATE)
        both[role].start("--role", role)
        fleet.until(fleet.is_(ident, Stage.DONE), LATE)
    finally:
        for each in both.values():
            each.stop()
        plane.start()
    assert set(fleet.outcomes(ident).values()) == {Outcome.COMMITTED}
    fleet.until(lambda: fleet.run(version))
    fleet.accounted(ident, wave=1, finish=1)
