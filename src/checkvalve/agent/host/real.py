# SPDX-License-Identifier: Apache-2.0
"""Starts this machine anew, by what its init system has for it (walk errand, 6).

Rules: 1. no shell, a program by its whole path, nothing to read, and an environment of its own; 2. systemd is asked if
it runs this machine, and nobody is asked for a password; else `reboot` of the system, which only root may; 3. an agent
in a container is not on the machine: it says so, and does not try; 4. a program that does not end in time is killed,
and that is a failure: nothing else is tried then, for it may have been heard.
"""

import asyncio
import os
from asyncio import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from checkvalve.errors import UnavailableError

PATIENCE = 30.0  # seconds
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_SYSTEMD = ("/usr/bin/systemctl", "/bin/systemctl")
_OTHERS = ("/usr/sbin/reboot", "/sbin/reboot")
_CONTAINERS = (".dockerenv", "run/.containerenv")


@dataclass(frozen=True)
class Real:
    """`ports.Host` of the machine whose files are below `root`; `user` is the number of who asks."""

    root: Path = Path("/")
    user: int | None = None

    def unable(self) -> str:
        """Return why the agent cannot start this machine anew (rules 2 and 3)."""
        if any((self.root / name).exists() for name in _CONTAINERS):
            return "The agent runs in a container here, and from there the machine cannot be started anew."
        if self._argv():
            return ""
        return (
            "This agent may not start the machine anew: it does not run as root, and no systemd is there to be asked."
        )

    async def reboot(self) -> None:
        """Have it started anew; `UnavailableError` (`reboot.failed`)."""
        argv = self._argv()
        if not argv:
            raise _failed(self.unable())
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            raise _failed(f"{argv[0]} cannot be run: {error.strerror}.") from error
        said = await _ended(process, argv[0])
        if process.returncode:
            raise _failed(f"{argv[0]} ended with {process.returncode}{': ' + said if said else ''}.")

    def _argv(self) -> Sequence[str]:
        """Return what is run, () if there is nothing (rule 2)."""
        if (self.root / "run/systemd/system").is_dir() and (found := self._program(_SYSTEMD)):
            return (found, "--no-ask-password", "reboot")
        user = os.geteuid() if self.user is None else self.user
        found = self._program(_OTHERS)
        return (found,) if user == 0 and found else ()

    def _program(self, names: Sequence[str]) -> str:
        paths = (self.root / name.lstrip("/") for name in names)
        return next((str(each) for each in paths if os.access(each, os.X_OK)), "")


async def _ended(process: subprocess.Process, name: str) -> str:
    """Wait for its end; return the last line of what it complained of (rule 4)."""
    try:
        async with asyncio.timeout(PATIENCE):
            _, errors = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise _failed(f"{name} did not end within {PATIENCE:.0f} s.") from error
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1].strip().rstrip(".")[:300] if lines else ""


def _failed(sentence: str) -> UnavailableError:
    return UnavailableError("reboot.failed", sentence, "Start it anew at the device.")
