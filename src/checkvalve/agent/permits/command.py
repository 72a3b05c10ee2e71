# SPDX-License-Identifier: Apache-2.0
"""Runs a permit command, as little trusting as it can be run: it may hang, crash, flood, fork, or be gone.

Rules: 1. no shell, no terminal, nothing to read, two variables in its environment, `/` as its directory; 2. it leads a
process group of its own, all of which is killed when it has ended or its time is over; 3. what it did after its time
was over does not count, not even an exit with 0; 4. of its output so much is read as is needed to tell that it is not
what was wanted, and none at all if nothing was; 5. it was reaped by nobody when its group is killed, so that its number
can be nobody else's.
"""

import contextlib
import os
import pwd
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from checkvalve import clock
from checkvalve.agent.policy import Command
from checkvalve.agent.waiting import Said

MOST = 4096  # bytes of output that are looked at
STEP = 0.01  # seconds between two looks
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
YES = Said(yes=True)


@dataclass
class _Run:
    """A command at work. `over` is when its time is; `said` what it has written so far."""

    process: "subprocess.Popen[bytes]"
    over: float
    said: bytearray = field(default_factory=bytearray)

    @property
    def ended(self) -> Any:  # noqa: ANN401  # `os.waitid_result` exists on Linux only, for mypy
        """Return how it ended, without reaping it; None while it runs."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def read(self) -> None:
        """Take what is there to be read now."""
        pipe = self.process.stdout
        with contextlib.suppress(OSError):
            while pipe is not None and len(self.said) <= MOST and (piece := os.read(pipe.fileno(), MOST)):
                self.said += piece


def ask(permit: Command, stop: threading.Event) -> Said:
    """Return what the command says. It blocks for as long as the command may take, or until `stop` is set."""
    try:
        with _started(permit) as run:
            return _heard(run, permit, stop)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else f"there is no user {permit.user}"
        return _no("permit.unreadable", f"The permit command {permit.argv[0]} cannot be run: {why}.")


@contextlib.contextmanager
def _started(permit: Command) -> Iterator[_Run]:
    process = subprocess.Popen(  # noqa: S603  # people at the device wrote what is run
        list(permit.argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if permit.says else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
        **_user(permit.user),
    )
    try:
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
        yield _Run(process, clock.monotonic() + permit.timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # rule 5: this process reaps, and it has not yet
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


def _user(name: str) -> dict[str, Any]:
    """Return what has it run as somebody else."""
    if not name:
        return {}
    who = pwd.getpwnam(name)
    if who.pw_uid == os.geteuid():
        return {}
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": os.getgrouplist(name, who.pw_gid)}


def _heard(run: _Run, permit: Command, stop: threading.Event) -> Said:
    pipes = [] if run.process.stdout is None else [run.process.stdout]
    name = permit.argv[0]
    while (ended := run.ended) is None:
        if clock.monotonic() >= run.over or stop.is_set():  # rule 3
            return _no("permit.late", f"The permit command {name} did not end within {permit.timeout_s:g} s.")
        if len(run.said) > MOST:
            return _no("permit.no", f"The permit command {name} said far more than it should have.")
        ready, _, _ = select.select(pipes, (), (), STEP)
        if ready:
            before = len(run.said)
            run.read()
            pipes = pipes if len(run.said) > before else []  # it closed its output, and goes on
    run.read()
    if ended.si_code != os.CLD_EXITED:
        return _no("permit.no", f"The permit command {name} was ended by signal {ended.si_status}.")
    if ended.si_status != 0:
        return _no("permit.no", f"The permit command {name} says no: it ended with {ended.si_status}.")
    if permit.says and bytes(run.said).strip() != permit.says.encode():
        return _no("permit.no", f"The permit command {name} ended well, and did not say what the policy wants to hear.")
    return YES


def _no(code: str, sentence: str) -> Said:
    return Said(yes=False, code=code, sentence=sentence)
